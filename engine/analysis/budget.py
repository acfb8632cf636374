"""What fits a budget: the best run within it, what is allowed, and the nearest misses when nothing passes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.analysis.frontier import FrontierInfo, Point, once, variant_name
from engine.analysis.measures import format_gap, format_metric
from engine.analysis.wording import Say, in_english
from engine.metrics.base import MetricInfo
from engine.results import Metric
from engine.spec import Frozen

MOST_MISSES = 3
ROUNDING = 1e-9
"""A run exactly at its bound must not fall outside by a rounding error."""
NOTHING = Metric(value=None)


class Budget(Frozen):
    """The bounds a person sets on the two axes of a plot; ``None`` asks for nothing.

    Which side of a bound is allowed follows from the metric: at most where less is better, at least where more is.
    """

    x: float | None = None
    y: float | None = None
    drop: float | None = None
    """How much worse than its own baseline the second axis may be, in that metric's own unit."""

    @property
    def is_set(self) -> bool:
        """Tell whether anything is asked."""
        return any(bound is not None for bound in (self.x, self.y, self.drop))


@dataclass(frozen=True)
class Miss:
    """A run outside the budget, and by how much."""

    point: Point
    over_x: float
    """By how much it is beyond the bound on the first axis, in the metric's unit; zero where it is not."""
    over_y: float
    distance: float
    """How far outside, as a part of what the plot spans."""


@dataclass(frozen=True)
class Verdict:
    """What a budget leaves of a plot."""

    budget: Budget
    passing: frozenset[int]
    """Ids of the runs inside."""
    best: Point | None
    misses: tuple[Miss, ...]
    """The nearest runs outside, only where none is inside."""
    y_bound: float | None
    """The bound on the second axis that holds for every model of the plot; where drops differ, the strictest."""


@once
def judge(info: FrontierInfo, budget: Budget) -> Verdict:
    """Return which points are within a budget and which of them is best.

    Best is the run that is best on the first axis, the cheapest that is good enough; where only the first axis has a
    bound, the one that is best on the second, the best that can be afforded.
    """
    references = {} if budget.drop is None else info.references
    bounds = {point.run.id: _y_bound(info.y, budget, references.get(point.run.id)) for point in info.points}
    inside = [point for point in info.points if budget.is_set and _passes(info, budget, point, bounds[point.run.id])]
    misses: tuple[Miss, ...] = ()
    if budget.is_set and not inside:
        misses = _nearest(info, budget, bounds)
    known = [bound for bound in bounds.values() if bound is not None]
    strictest = (min if info.y.direction == "minimize" else max)(known) if known else None
    passing = frozenset(point.run.id for point in inside)
    return Verdict(budget, passing, _best(info, budget, inside), misses, strictest)


def verdict_sentence(info: FrontierInfo, verdict: Verdict, say: Say = in_english) -> str:
    """Return the best run within the budget with its two numbers, or that there is none."""
    best = verdict.best
    if best is None:
        return say("No run is within this budget.")
    x, y = format_metric(info.x, best.x.value), format_metric(info.y, best.y.value)
    words = say("{variant}: {x}, {metric} {y}")
    return words.format(variant=variant_name(best.run, say), x=x, metric=say(info.y.title).lower(), y=y)


def miss_sentence(info: FrontierInfo, miss: Miss, say: Say = in_english) -> str:
    """Return by how much a run is outside the budget, on each axis on which it is."""
    point, parts = miss.point, []
    for metric, value, over in ((info.x, point.x.value, miss.over_x), (info.y, point.y.value, miss.over_y)):
        if over > ROUNDING:
            too_much = metric.direction == "minimize"
            words = say("{metric} {value}, {gap} too much") if too_much else say("{metric} {value}, {gap} too little")
            title, gap = say(metric.title).lower(), format_gap(metric, over, say)
            parts.append(words.format(metric=title, value=format_metric(metric, value), gap=gap))
    return say("{variant}: {misses}").format(variant=variant_name(point.run, say), misses=say(" and ").join(parts))


def _y_bound(info: MetricInfo, budget: Budget, baseline: float | None) -> float | None:
    """Return the bound on the second axis for one run; one that cannot be compared has not shown that it passes."""
    if budget.drop is None:
        return budget.y
    if baseline is None:
        allowed = -math.inf if info.direction == "minimize" else math.inf
    else:
        allowed = baseline + budget.drop if info.direction == "minimize" else baseline - budget.drop
    if budget.y is None:
        return allowed
    return min(allowed, budget.y) if info.direction == "minimize" else max(allowed, budget.y)


def _excess(info: MetricInfo, value: float | None, bound: float | None) -> float:
    """Return by how much a value is on the wrong side of a bound, zero or less where it is inside."""
    if bound is None:
        return 0.0
    if value is None:
        return math.inf
    return value - bound if info.direction == "minimize" else bound - value


def _passes(info: FrontierInfo, budget: Budget, point: Point, y_bound: float | None) -> bool:
    over_x = _excess(info.x, point.x.value, budget.x)
    return over_x <= ROUNDING and _excess(info.y, point.y.value, y_bound) <= ROUNDING


def _best(info: FrontierInfo, budget: Budget, inside: Sequence[Point]) -> Point | None:
    def cost(metric: MetricInfo, value: float | None) -> float:
        number = math.nan if value is None else value
        return number if metric.direction == "minimize" else -number

    def rank(point: Point) -> tuple[float, float, int]:
        first, second = cost(info.x, point.x.value), cost(info.y, point.y.value)
        only_x = budget.y is None and budget.drop is None
        return (second, first, point.run.id) if only_x else (first, second, point.run.id)

    return min(inside, key=rank, default=None)


def _nearest(info: FrontierInfo, budget: Budget, bounds: dict[int, float | None]) -> tuple[Miss, ...]:
    span_x, span_y = (_span([getattr(point, axis).value for point in info.points]) for axis in ("x", "y"))
    misses = []
    for point in info.points:
        bound = bounds[point.run.id]
        over_x = max(0.0, _excess(info.x, point.x.value, budget.x))
        over_y = max(0.0, _excess(info.y, point.y.value, bound))
        if math.isfinite(over_x) and math.isfinite(over_y):
            distance = max(over_x / span_x, over_y / span_y)
            misses.append(Miss(point, over_x, over_y, distance))
    return tuple(sorted(misses, key=lambda miss: (miss.distance, miss.point.run.id))[:MOST_MISSES])


def _span(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return (max(known) - min(known) if known else 0.0) or 1.0
