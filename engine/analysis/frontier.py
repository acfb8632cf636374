"""The frontier of one context as data: what the plot, the table and the answer are made of."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from engine.analysis.pareto import Axis, PairedEvidence, Standing, standings
from engine.analysis.wording import Say, in_english
from engine.errors import ContradictionError, InvalidValueError
from engine.metrics import METRICS
from engine.metrics.base import MetricInfo
from engine.results import Metric
from engine.scenarios import SCENARIOS

DEFAULT_X, DEFAULT_Y = "latency_p50_ms", "accuracy"
PAIRED_AXES = {scenario.headline for scenario in SCENARIOS}
"""What is compared with the baseline in pairs, so that two runs can be told apart by their speed-ups too."""
NOTHING = Metric(value=None)
MOST_KEPT = 32
"""Of so many questions about one frontier the answers are kept, see :func:`once`."""
P = ParamSpec("P")
R = TypeVar("R")
PARAMETERS = re.compile(r"\([^()]*\)")


class MeasuredRun(Protocol):
    """What is needed of a finished run; the store's summaries have it."""

    @property
    def id(self) -> int: ...
    @property
    def study(self) -> str | None: ...
    @property
    def model(self) -> str: ...
    @property
    def techniques(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def context_key(self) -> str | None: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def metrics(self) -> Mapping[str, Metric]: ...


@dataclass(frozen=True)
class Point:
    """One run on the plot."""

    run: MeasuredRun
    x: Metric
    y: Metric
    standing: Standing

    @property
    def is_baseline(self) -> bool:
        """Tell whether this is the reference itself: no technique, PyTorch."""
        return is_baseline(self.run)

    def metric(self, name: str) -> Metric:
        """Return any number of the run, an empty one where it was not measured."""
        return self.run.metrics.get(name, Metric(value=None))


@dataclass(frozen=True, eq=False)
class FrontierInfo:
    """All points of one plot, in the order of the runs given; each is equal to itself only, so that it can be a key."""

    x: MetricInfo
    y: MetricInfo
    points: tuple[Point, ...]
    left_out: int
    """Runs without a finite value on one of the axes."""

    def on_frontier(self) -> list[Point]:
        """Return the frontier from left to right; points that coincide follow one another."""
        front = [point for point in self.points if point.standing is Standing.FRONTIER]
        return sorted(front, key=lambda point: (_number(point.x.value), _number(point.y.value)))

    @cached_property
    def references(self) -> Mapping[int, float]:
        """Each run's baseline on the second axis: its own, or else the newest baseline run of its model."""
        stars = {point.run.model: point.y.value for point in self.points if point.is_baseline}
        found = {}
        for point in self.points:
            own = reference(point.run, self.y.name)
            value = own if own is not None else stars.get(point.run.model)
            if value is not None:
                found[point.run.id] = value
        return found


def once(function: Callable[Concatenate[FrontierInfo, P], R]) -> Callable[Concatenate[FrontierInfo, P], R]:
    """Work out something about a frontier once for the same arguments, as long as the frontier lives.

    A page asks the same of ten thousand points at every change of something else. Arguments must be hashable.
    """
    known: WeakKeyDictionary[FrontierInfo, dict[Any, R]] = WeakKeyDictionary()

    @wraps(function)
    def call(info: FrontierInfo, /, *args: P.args, **kwargs: P.kwargs) -> R:
        answers, asked = known.setdefault(info, {}), (args, *kwargs.items())
        if asked not in answers:
            if len(answers) >= MOST_KEPT:
                answers.clear()
            answers[asked] = function(info, *args, **kwargs)
        return answers[asked]

    return call


def frontier_info(runs: Sequence[MeasuredRun], x: str = DEFAULT_X, y: str = DEFAULT_Y) -> FrontierInfo:
    """Place runs of one context on two axes.

    Raises:
        ContradictionError: if the runs are of several contexts.
        UnknownNameError: if an axis is no metric.
        InvalidValueError: if an axis is a metric of which neither more nor less is better.
    """
    if len({run.context_key for run in runs}) > 1:
        raise ContradictionError("These runs were measured under different conditions. Choose one context to plot.")
    x_info, y_info = _axis_metric(x), _axis_metric(y)
    kept = [run for run in runs if _is_finite(run, x) and _is_finite(run, y)]
    places = standings(_axis(kept, x_info), _axis(kept, y_info), _paired(kept) if x in PAIRED_AXES else None)
    points = tuple(
        Point(run, run.metrics[x], run.metrics[y], standing) for run, standing in zip(kept, places, strict=True)
    )
    return FrontierInfo(x_info, y_info, points, len(runs) - len(kept))


def reference(run: MeasuredRun, name: str) -> float | None:
    """Return what the baseline of the same run has on a metric, where the run was compared with it."""
    value = run.metrics.get(name, NOTHING).value
    change = run.metrics.get(f"{name}_change", NOTHING).value
    return None if value is None or change is None else value - change


def default_x(scenario: str) -> str:
    """Return the metric that says what a variant costs in a scenario, given as a context names it."""
    return SCENARIOS.get(scenario.partition(",")[0]).headline


def is_baseline(run: MeasuredRun) -> bool:
    """Tell whether a run is the reference itself: no technique, PyTorch."""
    return not run.techniques and plain_name(run.backend) == "torch"


def plain_name(label: str) -> str:
    """Return the name of a label without its parameters: ``"onnxruntime(threads=2)"`` gives ``"onnxruntime"``."""
    return label.split("(", 1)[0].strip()


def stack_name(run: MeasuredRun, say: Say = in_english) -> str:
    """Return the techniques' names without parameters, ``"prune-structured + int8-dynamic"``."""
    return PARAMETERS.sub("", run.techniques) or say("no technique")


def variant_name(run: MeasuredRun, say: Say = in_english) -> str:
    """Return what tells a run from its neighbours: ``"int8-dynamic · onnxruntime"``, or ``"baseline"``."""
    return say("baseline") if is_baseline(run) else f"{stack_name(run, say)} · {plain_name(run.backend)}"


def axis_metrics(runs: Sequence[MeasuredRun], *, quality: bool) -> list[MetricInfo]:
    """Return the metrics that can be an axis: they have a direction and at least one of the runs has a value."""
    asked = [info for info in METRICS if info.direction and info.quality is quality]
    missing = {info.name for info in asked}
    for run in runs:
        if not missing:
            break
        missing -= {name for name in missing if name in run.metrics and run.metrics[name].value is not None}
    return [info for info in asked if info.name not in missing]


def _axis_metric(name: str) -> MetricInfo:
    info = METRICS.get(name)
    if info.direction is None:
        raise InvalidValueError(f"'{info.title}' cannot be an axis: neither more nor less of it is better.")
    return info


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _is_finite(run: MeasuredRun, name: str) -> bool:
    metric = run.metrics.get(name)
    return metric is not None and math.isfinite(_number(metric.value))


def _axis(runs: Sequence[MeasuredRun], info: MetricInfo) -> Axis:
    rows = [_bounds(run.metrics.get(info.name)) for run in runs]
    columns = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
    way = info.direction or "minimize"
    return Axis(columns[:, 0], columns[:, 1], columns[:, 2], way, absolute=info.is_share)


def _bounds(metric: Metric | None) -> tuple[float, float, float]:
    if metric is None:
        return math.nan, math.nan, math.nan
    value = _number(metric.value)
    low, high = metric.ci95 or (value, value)
    return value, low, high


def _paired(runs: Sequence[MeasuredRun]) -> PairedEvidence:
    numbers = {model: index for index, model in enumerate(dict.fromkeys(run.model for run in runs))}
    group: NDArray[np.int64] = np.asarray(
        [numbers[run.model] if _has_interval(run, "speedup") else -1 for run in runs], dtype=np.int64
    )
    return PairedEvidence(_axis(runs, METRICS.get("speedup")), group)


def _has_interval(run: MeasuredRun, name: str) -> bool:
    metric = run.metrics.get(name)
    return metric is not None and metric.ci95 is not None
