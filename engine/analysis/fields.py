"""What a point may be coloured or sized by: any name a run has, any number that differs between runs."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.analysis.frontier import MeasuredRun, plain_name, stack_name
from engine.metrics import METRICS
from engine.metrics.base import MetricInfo

NOISY = "noisy"
"""The warning that something else was at work while a run was timed."""
QUIET, NO_TECHNIQUE, NO_STUDY, OTHER = "quiet", "no technique", "no study", "other"
OWN_WORDS = (NOISY, QUIET, NO_TECHNIQUE, NO_STUDY, OTHER)
"""Values that are words of ours and no names, so that they can be translated."""


@dataclass(frozen=True)
class Category:
    """A name that a run has."""

    name: str
    title: str
    of: Callable[[MeasuredRun], str]


def is_noisy(run: MeasuredRun) -> bool:
    """Tell whether something else was at work while a run was timed."""
    return NOISY in run.warnings


CATEGORIES = (
    Category("model", "Model", lambda run: run.model),
    Category("backend", "Backend", lambda run: plain_name(run.backend)),
    Category("options", "Backend and options", lambda run: run.backend),
    Category("techniques", "Techniques", stack_name),
    Category("parameters", "Techniques and parameters", lambda run: run.techniques or NO_TECHNIQUE),
    Category("study", "Study", lambda run: run.study or NO_STUDY),
    Category("noise", "Noise", lambda run: NOISY if is_noisy(run) else QUIET),
)


def categories(runs: Sequence[MeasuredRun]) -> list[Category]:
    """Return the names in which these runs differ."""
    return [category for category in CATEGORIES if len({category.of(run) for run in runs}) > 1]


def numbers(runs: Sequence[MeasuredRun]) -> list[MetricInfo]:
    """Return the metrics in which these runs differ."""
    first: dict[str, float] = {}
    undecided, varying = METRICS.names(), set[str]()
    for run in runs:
        for name in undecided:
            metric = run.metrics.get(name)
            if metric is not None and metric.value is not None and first.setdefault(name, metric.value) != metric.value:
                varying.add(name)
        undecided = [name for name in undecided if name not in varying]
    return [info for info in METRICS if info.name in varying]


def category(name: str | None) -> Category | None:
    """Return the category of that name, ``None`` where there is none."""
    return next((entry for entry in CATEGORIES if entry.name == name), None)


def most_common(values: Sequence[str], limit: int) -> list[str]:
    """Return the values that most runs have, at most ``limit``, in the order in which they first appear."""
    kept = {value for value, _ in Counter(values).most_common(limit)}
    return [value for value in dict.fromkeys(values) if value in kept]
