"""Reading study files: many experiments under one name, written out or as a grid."""

import itertools
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from engine.errors import InvalidValueError, RequestError, UnavailableError
from engine.resolve import resolve
from engine.spec import Choice, Effort, ExperimentSpec, Frozen, Scalar, Study, Task

MAX_EXPERIMENTS = 10_000
MAX_FILE_BYTES = 1 << 20


class StudyEntry(Frozen):
    """One experiment of a study file; a list where one value is meant makes a grid."""

    model: str | list[str]
    backend: str | list[str] = "torch"
    techniques: list[str] | list[list[str]] = Field(default_factory=list)
    dataset: str | None = None
    task: Task | None = None
    effort: Effort | list[Effort] = Effort.QUICK
    scenario: str | list[str] = "single-stream"
    batch_size: int | list[int] = 1
    seed: int | list[int] = 0


class StudyFile(Frozen):
    """What a study file may hold."""

    name: str = Field(min_length=1, max_length=100)
    experiments: list[StudyEntry] = Field(min_length=1)


def parse_choice(text: str) -> Choice:
    """Read ``name`` or ``name:key=value,key=value``; values are read as YAML scalars.

    Raises:
        InvalidValueError: if a parameter has no value.
    """
    name, _, rest = text.partition(":")
    params: dict[str, Scalar] = {}
    for part in filter(None, rest.split(",")):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise InvalidValueError(f"'{part}' in '{text}' is no parameter. Write {name}:key=value,key=value.")
        params[key.strip()] = _scalar(value.strip())
    return Choice(name=name.strip(), params=params)


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        RequestError: with the number of the experiment that is wrong.
    """
    if not path.is_file():
        raise InvalidValueError(f"There is no study file '{path}'. Check the path.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidValueError(f"'{path.name}' is larger than 1 MiB; split the study.")
    return parse_study(path.read_text("utf-8", errors="replace"), path.name)


def parse_study(text: str, source: str) -> Study:
    """Check a study's text; ``source`` names it in messages.

    What this machine cannot run is left out, with the reason: a study may be written for machines of several kinds.

    Raises:
        RequestError: with the number of the experiment that is wrong, or the reason if nothing at all can be run.
    """
    try:
        _refuse_aliases(text, source)
        file = StudyFile.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            raise _refused(source, error) from None
        told = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidValueError(f"'{source}' is no valid YAML ({told}).") from error
    specs: list[ExperimentSpec] = []
    left_out: list[str] = []
    asked = 0
    for number, entry in enumerate(file.experiments, start=1):
        for combination in _grid(entry):
            asked += 1
            if asked > MAX_EXPERIMENTS:
                raise InvalidValueError(f"'{source}' asks for over {MAX_EXPERIMENTS:,} runs; make the grid smaller.")
            try:
                specs.append(_resolve(combination))
            except UnavailableError as error:
                left_out.append(f"experiment {number}: {error}")
            except RequestError as error:
                raise InvalidValueError(f"'{source}', experiment {number}: {error}") from error
    if not asked:
        raise InvalidValueError(f"'{source}' asks for no run: a list in it is empty. Give it a value, or leave it out.")
    if not specs:
        raise UnavailableError(f"'{source}', {left_out[0]}")
    unique = {spec.fingerprint: spec for spec in specs}
    return Study(name=file.name, experiments=tuple(unique.values()), left_out=tuple(dict.fromkeys(left_out)))


def _refuse_aliases(text: str, source: str) -> None:
    """Refuse ``*name``: a few lines of them stand for more values than any memory holds."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise InvalidValueError(f"'{source}' uses an alias (*{event.anchor}); write the values out.")


def _refused(source: str, error: ValidationError) -> InvalidValueError:
    """Return the first problem of a validation as a sentence."""
    problem = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, problem["loc"])) or "the file"
    return InvalidValueError(f"'{source}': {place}: {problem['msg']}.")


def demo_specs(task: Task | None = None) -> list[ExperimentSpec]:
    """Return the demo study's experiments, of one task if given."""
    text = (resources.files("engine.studies") / "demo.yaml").read_text("utf-8")
    study = parse_study(text, "demo.yaml")
    return [spec for spec in study.experiments if task is None or spec.task == task]


def _grid(entry: StudyEntry) -> Iterator[dict[str, Any]]:
    """Yield all combinations of the entry's lists; a list of lists of techniques is a list of stacks."""
    fields = entry.model_dump()
    stacks = fields.pop("techniques")
    fields["techniques"] = stacks if stacks and isinstance(stacks[0], list) else [stacks]
    choices = [value if isinstance(value, list) else [value] for value in fields.values()]
    for values in itertools.product(*choices):
        yield dict(zip(fields, values, strict=True))


def _resolve(fields: dict[str, Any]) -> ExperimentSpec:
    """Resolve one combination."""
    steps = [parse_choice(text) for text in fields.pop("techniques")]
    return resolve(
        **{
            **fields,
            "techniques": steps,
            "backend": parse_choice(fields["backend"]),
            "scenario": parse_choice(fields["scenario"]),
        }
    )


def _scalar(text: str) -> Scalar:
    """Read a value as YAML does; what is no scalar stays text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, bool) and text.lower() not in ("true", "false"):
        return text  # YAML 1.1 takes "off" and "no" for booleans, of which they may be the name of a choice
    return value if isinstance(value, bool | int | float | str) else text
