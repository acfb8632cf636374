"""What the raw arrays of one run show: the spread of its latency, its confusions and its flips."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.results import RawData

CURVE_POINTS = 300
MAX_CLASSES = 20
THIS_RUN, BASELINE = "this run", "baseline"
_SIDES = (("candidate_latency_s", THIS_RUN), ("baseline_latency_s", BASELINE))


@dataclass(frozen=True)
class LatencyCurve:
    """An empirical distribution: ``all_ms[i]`` is the time within which ``shares[i]`` of the queries were answered."""

    name: str
    shares: tuple[float, ...]
    all_ms: tuple[float, ...]
    by_process_ms: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class LatencyBox:
    """Quartiles, whiskers within 1.5 IQR (Tukey) and everything beyond them."""

    name: str
    q1_ms: float
    median_ms: float
    q3_ms: float
    low_ms: float
    high_ms: float
    outliers_ms: tuple[float, ...]


@dataclass(frozen=True)
class Confusion:
    """Samples by true class (row) and predicted class (column)."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Flips:
    """Samples on which exactly one of baseline and variant is right."""

    gained: tuple[int, ...]
    """Positions in the test split that only the variant has right."""
    lost: tuple[int, ...]
    """Positions in the test split that only the baseline has right."""


def latency_curves(raw: RawData) -> list[LatencyCurve]:
    """Return the curves of candidate and baseline, those for which samples were kept."""
    found = [latency_curve(raw, side, name) for side, name in (("candidate", THIS_RUN), ("baseline", BASELINE))]
    return [curve for curve in found if curve is not None]


def latency_curve(raw: RawData, side: str, name: str) -> LatencyCurve | None:
    """Return the curve of one side of a run under a name, ``None`` where no samples were kept."""
    seconds = raw.arrays.get(f"{side}_latency_s")
    if seconds is None or not len(seconds):
        return None
    process = raw.arrays.get(f"{side}_process", np.zeros(len(seconds), dtype=np.int64))
    return _curve(name, np.asarray(seconds, dtype=np.float64) * 1e3, process)


def latency_boxes(raw: RawData) -> list[LatencyBox]:
    """Return the boxes of candidate and baseline, those for which samples were kept."""
    return [
        _box(name, np.asarray(raw.arrays[key], dtype=np.float64) * 1e3) for key, name in _SIDES if key in raw.arrays
    ]


def confusion(raw: RawData) -> Confusion | None:
    """Return the confusion matrix, ``None`` where predictions were not kept or the classes are too many to show."""
    labels, predictions = raw.arrays.get("labels"), raw.arrays.get("predictions")
    if labels is None or predictions is None or not len(labels):
        return None
    names = raw.arrays.get("classes", np.arange(max(labels.max(), predictions.max()) + 1))
    classes = len(names)
    if classes > MAX_CLASSES:
        return None
    answered = np.asarray(predictions, dtype=np.int64) >= 0  # -1 stands for an answer that is not a number
    cells = (np.asarray(labels, dtype=np.int64) * classes + np.asarray(predictions, dtype=np.int64))[answered]
    counts = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    return Confusion(tuple(map(str, names)), tuple(tuple(int(cell) for cell in row) for row in counts))


def flips(raw: RawData) -> Flips | None:
    """Return which samples changed sides, ``None`` where predictions were not kept."""
    labels, predictions = raw.arrays.get("labels"), raw.arrays.get("predictions")
    baseline = raw.arrays.get("baseline_predictions")
    if labels is None or predictions is None or baseline is None:
        return None
    right, was_right = predictions == labels, baseline == labels
    return Flips(_positions(right & ~was_right), _positions(was_right & ~right))


def _positions(mask: NDArray[np.generic]) -> tuple[int, ...]:
    return tuple(int(position) for position in np.flatnonzero(mask))


def _curve(name: str, values_ms: NDArray[np.float64], process: NDArray[np.generic]) -> LatencyCurve:
    shares = np.linspace(0, 1, CURVE_POINTS)
    each = [np.quantile(values_ms[process == number], shares) for number in np.unique(process)]
    by_process = tuple(tuple(curve.tolist()) for curve in each)
    return LatencyCurve(name, tuple(shares.tolist()), tuple(np.quantile(values_ms, shares).tolist()), by_process)


def _box(name: str, values_ms: NDArray[np.float64]) -> LatencyBox:
    q1, median, q3 = (float(value) for value in np.quantile(values_ms, [0.25, 0.5, 0.75]))
    reach = 1.5 * (q3 - q1)
    inside = values_ms[(values_ms >= q1 - reach) & (values_ms <= q3 + reach)]
    outside = values_ms[(values_ms < q1 - reach) | (values_ms > q3 + reach)]
    return LatencyBox(name, q1, median, q3, float(inside.min()), float(inside.max()), tuple(np.sort(outside).tolist()))
