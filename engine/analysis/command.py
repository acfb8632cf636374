"""What repeats an experiment: the command line, a study file, a few lines of Python."""

import shlex
from collections.abc import Sequence

import yaml

from engine.backends import BACKENDS
from engine.scenarios import SCENARIOS
from engine.spec import SINGLE_STREAM, Choice, Effort, ExperimentSpec, Frozen, Scalar
from engine.techniques import TECHNIQUES


def command_line(spec: ExperimentSpec) -> str:
    """Return the ``subsecond run`` command for a spec; values that are defaults are left out."""
    words = ["subsecond", "run", spec.model, "--dataset", spec.dataset]
    for choice in spec.techniques:
        config = TECHNIQUES.get(choice.name).config_type if choice.name in TECHNIQUES else None
        words += ["-t", _written(choice, config)]
    options = BACKENDS.get(spec.backend.name).options_type if spec.backend.name in BACKENDS else None
    words += ["--backend", _written(spec.backend, options)]
    if spec.effort is not Effort.QUICK:
        words += ["--effort", spec.effort.value]
    if spec.scenario != SINGLE_STREAM:
        asked = SCENARIOS.get(spec.scenario.name).options_type if spec.scenario.name in SCENARIOS else None
        words += ["--scenario", _written(spec.scenario, asked)]
    if spec.batch_size != 1:
        words += ["--batch-size", str(spec.batch_size)]
    if spec.seed:
        words += ["--seed", str(spec.seed)]
    return shlex.join(words)


def study_yaml(specs: Sequence[ExperimentSpec], name: str) -> str:
    """Return a study file of these experiments, every parameter written out."""
    entries = [_entry(spec) for spec in specs]
    text: str = yaml.safe_dump({"name": name, "experiments": entries}, sort_keys=False, allow_unicode=True, width=120)
    return text


def python_code(spec: ExperimentSpec) -> str:
    """Return a program that runs an experiment again and prints what came out."""
    steps = "".join(f"        {_choice_code(choice)},\n" for choice in spec.techniques)
    techniques = f"[\n{steps}    ]" if steps else "[]"
    return f"""from engine.resolve import resolve
from engine.serving import follow
from engine.spec import Choice
from engine.store.store import Store

spec = resolve(
    model={spec.model!r},
    dataset={spec.dataset!r},
    task={str(spec.task)!r},
    techniques={techniques},
    backend={_choice_code(spec.backend)},
    effort={spec.effort.value!r},
    scenario={_choice_code(spec.scenario)},
    batch_size={spec.batch_size},
    seed={spec.seed},
)
store = Store("experiments.db")
(record,) = follow(store, store.enqueue([spec]), lambda records: None)
print(record.result or record.error)
"""


def _entry(spec: ExperimentSpec) -> dict[str, object]:
    return {
        "model": spec.model,
        "dataset": spec.dataset,
        "task": str(spec.task),
        "techniques": [_written(choice, None) for choice in spec.techniques],
        "backend": _written(spec.backend, None),
        "effort": spec.effort.value,
        "scenario": _written(spec.scenario, None),
        "batch_size": spec.batch_size,
        "seed": spec.seed,
    }


def _choice_code(choice: Choice) -> str:
    return f"Choice(name={choice.name!r}, params={choice.params!r})"


def _written(choice: Choice, config: type[Frozen] | None) -> str:
    given = {
        name: value for name, value in choice.params.items() if config is None or not _is_default(config, name, value)
    }
    if not given:
        return choice.name
    return f"{choice.name}:{','.join(f'{name}={_scalar(value)}' for name, value in given.items())}"


def _is_default(config: type[Frozen], name: str, value: Scalar) -> bool:
    field = config.model_fields.get(name)
    return field is not None and not field.is_required() and field.get_default(call_default_factory=True) == value


def _scalar(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
