"""Which points no other point dominates, and which of the others are only nominally worse."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["minimize", "maximize"]

SMALLEST_DIFFERENCE = 0.01
"""Below 1 % (of the value, or of the whole scale for a quality metric) two runs are tied."""


class Standing(StrEnum):
    """Where a point stands among the points of its plot."""

    FRONTIER = "frontier"
    TIED = "tied"
    DOMINATED = "dominated"


def frontier_mask(
    x: NDArray[np.float64], y: NDArray[np.float64], x_way: Direction, y_way: Direction
) -> NDArray[np.bool_]:
    """Tell for each point whether no other point is at least as good on both axes and better on one.

    Sorts once, then takes one running minimum: O(n log n). Points with the same coordinates as a frontier point are on
    the frontier too; a point with a non-finite coordinate never is.

    Args:
        x: shape ``(n,)``.
        y: shape ``(n,)``.
        x_way: which way is better on the first axis.
        y_way: which way is better on the second axis.
    """
    mask = np.zeros(len(x), dtype=np.bool_)
    finite = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(finite):
        return mask
    cost_x = x[finite] if x_way == "minimize" else -x[finite]
    cost_y = y[finite] if y_way == "minimize" else -y[finite]
    order = np.lexsort((cost_y, cost_x))
    sorted_x, sorted_y = cost_x[order], cost_y[order]
    starts = np.searchsorted(sorted_x, sorted_x, side="left")
    best_of_same_x = sorted_y[starts]
    best_so_far = np.concatenate(([np.inf], np.minimum.accumulate(sorted_y)))
    best_of_smaller_x = best_so_far[starts]
    mask[finite[order]] = (sorted_y == best_of_same_x) & (sorted_y < best_of_smaller_x)
    return mask


@dataclass(frozen=True)
class Axis:
    """One axis of a plot as arrays of shape ``(n,)``; without an interval ``low`` and ``high`` equal the value."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    way: Direction
    absolute: bool = False
    """Whether the smallest difference that counts is a part of the scale (accuracy) or of the value (latency)."""

    def better(self, index: int) -> NDArray[np.bool_]:
        """Tell for each point whether the point at ``index`` is better by more than chance and more than 1 %.

        More than chance means that the two 95 % intervals do not meet, which is stricter than a test at 5 %.
        """
        apart = self.high[index] < self.low if self.way == "minimize" else self.low[index] > self.high
        gap = np.abs(self.value - self.value[index])
        scale = 1.0 if self.absolute else np.minimum(np.abs(self.value), np.abs(self.value[index]))
        return np.asarray(apart & (gap > SMALLEST_DIFFERENCE * scale), dtype=np.bool_)


@dataclass(frozen=True)
class PairedEvidence:
    """Speed-up over the baseline of the same run: two of one group compare better than their latencies do."""

    speedup: Axis
    group: NDArray[np.int64]
    """Runs with an equal non-negative number share a baseline; a negative one has no interval."""


def standings(x: Axis, y: Axis, paired: PairedEvidence | None = None) -> list[Standing]:
    """Return where each point stands.

    A point off the frontier is *tied* when no frontier point that dominates it is better on either axis by more than
    chance and more than 1 %. A point with a non-finite coordinate is dominated; leave such points out before.

    Args:
        paired: evidence that replaces the first axis' own intervals wherever two points share a baseline.
    """
    on_frontier = frontier_mask(x.value, y.value, x.way, y.way)
    clearly_worse = np.zeros(len(x.value), dtype=np.bool_)
    for index in np.flatnonzero(on_frontier).tolist():
        dominates = _at_least_as_good(x, index) & _at_least_as_good(y, index)
        better_x = x.better(index)
        if paired is not None and paired.group[index] >= 0:
            same = paired.group == paired.group[index]
            better_x = np.where(same, paired.speedup.better(index), better_x)
        clearly_worse |= dominates & (better_x | y.better(index))
    clearly_worse |= ~(np.isfinite(x.value) & np.isfinite(y.value))
    names = np.where(on_frontier, Standing.FRONTIER, np.where(clearly_worse, Standing.DOMINATED, Standing.TIED))
    return [Standing(str(name)) for name in names]


def _at_least_as_good(axis: Axis, index: int) -> NDArray[np.bool_]:
    if axis.way == "minimize":
        return np.asarray(axis.value[index] <= axis.value, dtype=np.bool_)
    return np.asarray(axis.value[index] >= axis.value, dtype=np.bool_)
