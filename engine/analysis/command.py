"""The command line that repeats an experiment."""

import shlex

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
