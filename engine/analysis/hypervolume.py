"""How much of the plot the frontier covers, and how that grew run by run."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.analysis.frontier import FrontierInfo
from engine.analysis.pareto import Direction

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """The covered share of the plot after each run, in the order in which the runs were asked for."""

    run_ids: tuple[int, ...]
    shares: tuple[float, ...]

    @property
    def last(self) -> float:
        """The share that all runs together cover."""
        return self.shares[-1] if self.shares else 0.0


def hypervolumes(x: Array, y: Array) -> Array:
    """Return the area that the first 1, 2, ... n points dominate, both axes minimised, up to the point ``(1, 1)``.

    That is the hypervolume indicator of two objectives (Zitzler & Thiele 1998), kept up to date point by point: the
    frontier is a sorted list, a new point removes those it dominates and adds the area between its neighbours.
    O(n log n) in all, because each point is removed at most once.

    Args:
        x: shape ``(n,)``; points at or beyond 1 add nothing.
        y: shape ``(n,)``.
    """
    front: list[tuple[float, float]] = []
    area, areas = 0.0, np.zeros(len(x))
    for number, point in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        area += _insert(front, point)
        areas[number] = area
    return areas


def growth(info: FrontierInfo, *, log_x: bool) -> Growth:
    """Return how the covered share of the plot grew.

    The whole is the rectangle between the worst and the best value of each axis over all runs of the plot, with the
    first axis on the scale on which it is drawn; so the share depends on which runs are shown and compares only within
    one plot.
    """
    points = sorted(info.points, key=lambda point: point.run.id)
    x = _costs([point.x.value for point in points], info.x.direction or "minimize", log=log_x)
    y = _costs([point.y.value for point in points], info.y.direction or "minimize", log=False)
    shares = np.clip(hypervolumes(x, y), 0.0, 1.0)
    return Growth(tuple(point.run.id for point in points), tuple(shares.tolist()))


def _insert(front: list[tuple[float, float]], point: tuple[float, float]) -> float:
    """Add a point to a frontier sorted by its first coordinate and return the area that it adds."""
    x, y = point
    place = bisect.bisect_left(front, (x, -math.inf))
    if x >= 1 or y >= 1 or (place and front[place - 1][1] <= y):
        return 0.0
    if place < len(front) and front[place][0] == x and front[place][1] <= y:
        return 0.0
    end = place
    while end < len(front) and front[end][1] >= y:
        end += 1
    ceiling, left, added = (front[place - 1][1] if place else 1.0), x, 0.0
    for other_x, other_y in front[place:end]:
        added += (other_x - left) * (ceiling - y)
        left, ceiling = other_x, other_y
    right = front[end][0] if end < len(front) else 1.0
    added += (right - left) * (ceiling - y)
    front[place:end] = [point]
    return added


def _costs(values: Sequence[float | None], way: Direction, *, log: bool) -> Array:
    """Return values between 0, the best, and 1, the worst."""
    numbers = np.asarray([math.nan if value is None else value for value in values], dtype=np.float64)
    if log and len(numbers) and numbers.min() > 0:
        numbers = np.log10(numbers)
    if way == "maximize":
        numbers = -numbers
    spread = float(np.ptp(numbers)) if len(numbers) else 0.0
    return (numbers - numbers.min()) / spread if spread else np.zeros(len(numbers))
