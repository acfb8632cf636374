"""From what a person asked to a complete, checked :class:`~engine.spec.ExperimentSpec`."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.backends import BACKENDS
from engine.backends.base import Backend
from engine.datasets import DATASETS, catalog_dataset
from engine.datasets.user_file import UserFile, is_user_file
from engine.errors import (
    ContradictionError,
    InvalidValueError,
    UnavailableError,
    UnknownNameError,
)
from engine.measure.environment import usable_cores
from engine.models import FAMILIES, MODELS, find_model
from engine.models.base import ModelFacts
from engine.models.catalog import FolderSource, ModelEntry
from engine.scenarios import SCENARIOS
from engine.spec import RESPONSE, SINGLE_STREAM, Choice, Effort, ExperimentSpec, Scalar, Task
from engine.techniques import TECHNIQUES
from engine.techniques.base import ArtifactTechnique, Group, Technique

DEFAULT_BACKEND = "torch"


def resolve(
    *,
    model: str,
    dataset: str | None = None,
    task: Task | str | None = None,
    techniques: Sequence[Choice] = (),
    backend: Choice | None = None,
    effort: Effort | str = Effort.QUICK,
    scenario: Choice = SINGLE_STREAM,
    batch_size: int = 1,
    seed: int = 0,
) -> ExperimentSpec:
    """Check names, bounds and combinations, and write every default out.

    Raises:
        RequestError: with one sentence that says what to change.
    """
    wanted = _enum(Task, "task", task) if task else None
    entry = find_model(model, wanted)
    wanted = wanted or entry.task
    if wanted != entry.task:
        raise ContradictionError(f"'{model}' is a model for {entry.task}, not for {wanted}.")
    reference = _dataset(entry, dataset)
    runtime = _backend(backend or Choice(name=DEFAULT_BACKEND), entry.task)
    steps = tuple(_step(choice, entry) for choice in techniques)
    _check_stack(steps, BACKENDS.get(runtime.name))
    try:
        return ExperimentSpec(
            task=entry.task,
            model=_absolute_model(model),
            dataset=reference,
            techniques=steps,
            backend=runtime,
            effort=_enum(Effort, "effort", effort),
            scenario=_scenario(scenario, batch_size, entry),
            batch_size=batch_size,
            seed=seed,
        )
    except ValidationError as error:
        raise InvalidValueError(_sentence("the experiment", error)) from None


def suits(technique: Technique[Any], backend: Backend[Any]) -> bool:
    """Tell whether what a technique leaves behind can run on a backend."""
    changes = technique.formats is None or backend.format in technique.formats
    return changes and (backend.takes_split_models or not technique.splits_model)


def technique_problem(name: str, task: Task, backend: str) -> str | None:
    """Return why a technique cannot be chosen for a task on a backend, or ``None``."""
    technique = TECHNIQUES.get(name)
    if task not in technique.tasks:
        return f"{technique.title} does not fit {task}."
    if not suits(technique, BACKENDS.get(backend)):
        able = [other.title for other in BACKENDS if suits(technique, other)]
        return f"{technique.title} cannot be done on {BACKENDS.get(backend).title}; choose {' or '.join(able)}."
    return None


def missing_packages(technique: Technique[Any]) -> list[str]:
    """Return what a technique needs and this installation lacks."""
    missing = []
    for package in technique.packages:
        try:
            version(package)
        except PackageNotFoundError:
            missing.append(package)
    return missing


def model_facts(entry: ModelEntry) -> ModelFacts:
    """Return what is known of a model without loading it."""
    source = entry.sources[0] if entry.sources else None
    if isinstance(source, FolderSource):
        from pathlib import Path

        return FAMILIES.get(entry.family).facts(entry.variant, Path(source.path))
    exits = entry.exits if entry.exits is not None or entry.layers is None else entry.layers - 1
    return ModelFacts(
        family=entry.family,
        layers=entry.layers,
        heads=entry.heads,
        flops=entry.flops,
        widths=entry.widths,
        exits=exits,
        positions=entry.positions,
    )


def _absolute_model(reference: str) -> str:
    """Return a folder's absolute path, since a worker has a folder of its own; other references as they are."""
    return str(Path(reference).resolve()) if reference not in MODELS and Path(reference).is_dir() else reference


def _dataset(entry: ModelEntry, given: str | None) -> str:
    """Return a data set that fits the model."""
    if given is None:
        if entry.default_dataset is None:
            raise InvalidValueError(
                f"'{entry.name}' has no default data set. Name one: --dataset FILE.csv:text=COLUMN,label=COLUMN."
            )
        return entry.default_dataset
    if is_user_file(given):
        file = UserFile.parse(given)
        if not file.path.is_file():
            raise UnknownNameError("data file", str(file.path), ())
        given = f"{file.path.resolve()}:{given.rpartition(':')[2]}"
        found = Task.TEXT_CLASSIFICATION
    else:
        found = catalog_dataset(given)[0].task
    if found != entry.task:
        fitting = [data.name for data in DATASETS if data.task == entry.task]
        raise ContradictionError(
            f"The data set '{given}' is for {found}, the model '{entry.name}' for {entry.task}. "
            f"Choose {' or '.join(fitting)}."
        )
    return given


def backend_problem(name: str, task: Task) -> str | None:
    """Return why a backend cannot be chosen for a task, or ``None``."""
    backend = BACKENDS.get(name)
    if task in backend.tasks:
        return None
    able = [other.name for other in BACKENDS if task in other.tasks]
    return f"{backend.title} does not serve {task}. Choose {' or '.join(able)}."


def _backend(choice: Choice, task: Task) -> Choice:
    """Check a backend and its options; a thread count of zero becomes this machine's."""
    backend = BACKENDS.get(choice.name)
    if problem := backend_problem(choice.name, task):
        raise ContradictionError(problem)
    capability = backend.capabilities()
    if not capability.available:
        raise UnavailableError(f"{backend.title} cannot run here: {capability.reason}")
    params = _params(f"backend {choice.name}", backend.options_type, choice.params)
    cores = usable_cores()
    threads = int(params["threads"]) or cores
    for name, asked in {"threads": threads, "inter_op_threads": int(params.get("inter_op_threads", 1))}.items():
        if asked > cores:
            raise InvalidValueError(f"backend {choice.name}: {name}={asked}, but only {cores} cores can be used here.")
    return Choice(name=choice.name, params={**params, "threads": threads})


def _scenario(choice: Choice, batch_size: int, entry: ModelEntry) -> Choice:
    """Check a scenario and its options; text generation has one of its own, also where none was named."""
    if choice == SINGLE_STREAM and entry.task is Task.TEXT_GENERATION:
        choice = RESPONSE
    scenario = SCENARIOS.get(choice.name)
    if entry.task not in scenario.tasks:
        able = [other.name for other in SCENARIOS if entry.task in other.tasks]
        raise ContradictionError(f"The scenario {choice.name} does not fit {entry.task}. Choose {' or '.join(able)}.")
    if batch_size != 1 and choice.name != SINGLE_STREAM.name:
        raise ContradictionError(
            f"The scenario {choice.name} chooses its own batches; leave the batch size at 1, or choose single-stream."
        )
    params = _params(f"scenario {choice.name}", scenario.options_type, choice.params)
    scenario.check(scenario.options_type.model_validate(params), model_facts(entry).positions)
    return Choice(name=choice.name, params=params)


def _step(choice: Choice, entry: ModelEntry) -> Choice:
    """Check one technique and its parameters against the model."""
    technique: Technique[Any] = TECHNIQUES.get(choice.name)
    if entry.task not in technique.tasks:
        raise ContradictionError(f"{technique.title} does not fit {entry.task}; leave {choice.name} out.")
    if missing := missing_packages(technique):
        raise UnavailableError(f"{technique.title} needs {' and '.join(missing)}: pip install {' '.join(missing)}.")
    params = _params(f"technique {choice.name}", technique.config_type, choice.params)
    technique.check(technique.config_type.model_validate(params), model_facts(entry))
    return Choice(name=choice.name, params=params)


def _check_stack(steps: Sequence[Choice], backend: Backend[Any]) -> None:
    """Refuse stacks that contradict themselves."""
    techniques = [TECHNIQUES.get(choice.name) for choice in steps]
    for place, technique in enumerate(techniques):
        earlier = techniques[:place]
        if technique in earlier:
            raise ContradictionError(f"{technique.name} is in the stack twice; once is enough.")
        for other in earlier:
            _check_pair(other, technique)
        if technique.formats is not None and backend.format not in technique.formats:
            raise ContradictionError(
                f"{technique.name} cannot change '{backend.format}' artifacts; it knows {sorted(technique.formats)}."
            )
        if not suits(technique, backend):
            able = [other.name for other in BACKENDS if suits(technique, other)]
            raise ContradictionError(
                f"{backend.title} runs models in one piece, and {technique.name} cuts them in two. "
                f"Leave it out, or choose {' or '.join(able)}."
            )
    whole = next((technique.name for technique in techniques if technique.needs_whole_model), None)
    split = next((technique.name for technique in techniques if technique.splits_model), None)
    if split and whole:
        raise ContradictionError(f"{whole} needs the model in one piece, which {split} cuts in two. Leave one out.")


def _check_pair(first: Technique[Any], second: Technique[Any]) -> None:
    """Refuse two techniques that exclude each other, or that cannot follow in this order."""
    if first.group is second.group is Group.ADAPTIVE and first.exclusive and second.exclusive:
        raise ContradictionError(f"{first.name} and {second.name} both guess ahead; leave one of them out.")
    if first.group is second.group and first.exclusive and second.exclusive:
        raise ContradictionError(f"{first.name} and {second.name} both quantize; a model can be quantized once.")
    if isinstance(first, ArtifactTechnique) and not isinstance(second, ArtifactTechnique):
        raise ContradictionError(
            f"{second.name} comes after {first.name}, but quantized weights cannot be trained or cut. "
            f"Put {first.name} last."
            if first.group is Group.QUANTIZATION
            else f"{second.name} comes after {first.name}, but an exported graph cannot be trained or cut. "
            f"Put {first.name} last."
        )
    if first.splits_model and not isinstance(second, ArtifactTechnique):
        raise ContradictionError(
            f"{second.name} comes after {first.name}, which cuts the model in two. Put {first.name} behind it."
        )
    is_quantized = isinstance(first, ArtifactTechnique) and first.group is Group.QUANTIZATION
    if is_quantized and second.group is Group.GRAPH:
        raise ContradictionError(
            f"{second.name} comes after {first.name} and would find nothing to fuse. Put {second.name} before it."
        )


def _params(where: str, config: type[BaseModel], given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return all parameters of a choice, defaults included, so that a later default cannot change what was asked.

    Raises:
        UnknownNameError: for a parameter that does not exist.
        InvalidValueError: for a value out of bounds.
    """
    for name in given:
        if name not in config.model_fields:
            raise UnknownNameError(f"parameter of {where} called", name, config.model_fields)
    try:
        full = config.model_validate(dict(given))
        return full.model_dump(mode="json", exclude=_unwritten(full))
    except ValidationError as error:
        raise InvalidValueError(_sentence(where, error)) from None


def _unwritten(params: BaseModel) -> set[str]:
    """Return those at their default that came when runs had been recorded without them, which must not run again."""
    return {
        name
        for name, field in type(params).model_fields.items()
        if isinstance(field.json_schema_extra, dict)
        and field.json_schema_extra.get("unwritten")
        and getattr(params, name) == field.default
    }


def _sentence(where: str, error: ValidationError) -> str:
    """Return the first problem of a validation as one sentence."""
    problem = error.errors(include_url=False)[0]
    name = ".".join(map(str, problem["loc"])) or "value"
    text = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{where}: {name}={problem.get('input')!r} is refused, {text}."


def _enum(kind: type[Any], name: str, value: Any) -> Any:
    """Return the member of an enumeration by its value."""
    try:
        return kind(value)
    except ValueError:
        raise UnknownNameError(name, str(value), [str(member) for member in kind]) from None
