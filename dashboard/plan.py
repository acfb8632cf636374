"""What a run is going to do, in plain words, before it is queued."""

from dashboard.language import gettext as _
from engine.backends import BACKENDS
from engine.models import MODELS
from engine.scenarios import SCENARIOS
from engine.spec import SINGLE_STREAM, Choice, Effort, ExperimentSpec, Task
from engine.techniques import TECHNIQUES
from engine.techniques.base import ArtifactTechnique

PAIRS = {Effort.QUICK: 3, Effort.STANDARD: 5, Effort.RIGOROUS: 10}


def steps(spec: ExperimentSpec) -> list[str]:
    """Return the stages of a run as sentences, in their order."""
    backend = BACKENDS.get(spec.backend.name)
    before = [choice for choice in spec.techniques if not _is_on_artifact(choice)]
    after = [choice for choice in spec.techniques if _is_on_artifact(choice)]
    form = _("Bring it into the form that {backend} loads, and check its answers against the PyTorch model.")
    timed = _("Time it in {pairs} pairs of fresh processes, in turns with the PyTorch baseline{how}.")
    return [
        _first_step(spec),
        *(_("{step}.").format(step=_title(choice)) for choice in before),
        form.format(backend=_(backend.title)),
        *(_("{step}.").format(step=_title(choice)) for choice in after),
        timed.format(pairs=PAIRS[spec.effort], how=_arrivals(spec)),
        _("Score this very artifact on the test split, sample by sample against the baseline."),
        _("Put the point on the frontier, with its intervals."),
    ]


def _first_step(spec: ExperimentSpec) -> str:
    title = _model_title(spec.model)
    if spec.task is Task.TEXT_GENERATION:
        return _("Load {model} and unpack its weights, unless an earlier run has done so.").format(model=title)
    trained = _("Load {model} and train it on {data}, unless an earlier run has done so.")
    return trained.format(model=title, data=spec.dataset)


def _is_on_artifact(choice: Choice) -> bool:
    return isinstance(TECHNIQUES.get(choice.name), ArtifactTechnique)


def _title(choice: Choice) -> str:
    technique = TECHNIQUES.get(choice.name)
    fields = technique.config_type.model_fields
    values = (f"{_(fields[name].title or name).lower()} {_written(value)}" for name, value in choice.params.items())
    listed = ", ".join(values)
    return f"{_(technique.title)}: {listed}" if listed else _(technique.title)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return _("on") if value else _("off")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _model_title(name: str) -> str:
    return _(MODELS.get(name).title) if name in MODELS else name


def _arrivals(spec: ExperimentSpec) -> str:
    if spec.scenario.name != SINGLE_STREAM.name:
        scenario = SCENARIOS.get(spec.scenario.name)
        return f": {scenario.label(scenario.options_type.model_validate(spec.scenario.params))}"
    return (
        _(", one query at a time") if spec.batch_size == 1 else _(", {n} queries at a time").format(n=spec.batch_size)
    )
