"""Runs side by side: what differs by more than chance, what is tied, and on which samples they disagree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from engine.analysis.comparability import differing_keys
from engine.analysis.measures import format_with_interval, is_share
from engine.analysis.pareto import SMALLEST_DIFFERENCE
from engine.analysis.statistics import compare_predictions, interval_of_medians
from engine.errors import ContradictionError, InvalidValueError
from engine.metrics import METRICS
from engine.metrics.base import MetricInfo
from engine.results import AccuracyChange, Interval, Metric, RawData, RunRecord, RunResult, flat_metrics

FEWEST, MOST = 2, 6
SAME_ANSWERS = frozenset({"task", "dataset", "split", "samples"})
"""What must be equal before answers are compared; the rest of a context is about timing."""
LATENCY = "latency_p50_ms"
BY_SPEEDUPS = "{ratio}x as fast, by speed-ups over the same baseline"
BY_BOOTSTRAP = "{ratio}x as fast, by bootstrap of the medians"
EVIDENCE = (BY_SPEEDUPS, BY_BOOTSTRAP)
Predictions = NDArray[np.int64]


class Difference(StrEnum):
    """How a run's number stands to the same number of the first run."""

    REFERENCE = "reference"
    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"
    """It differs, and neither more nor less is better."""
    TIED = "tied"
    UNKNOWN = "not comparable"


@dataclass(frozen=True)
class ComparedNumber:
    """One cell: the number with its interval, how it stands to the first run's, and by which paired evidence."""

    text: str
    difference: Difference
    evidence: str = ""


@dataclass(frozen=True)
class ComparedMetric:
    """One row: a metric over all runs."""

    info: MetricInfo
    numbers: tuple[ComparedNumber, ...]


@dataclass(frozen=True)
class Comparison:
    """Two to six finished runs side by side; the first one is what the others are held against."""

    runs: tuple[RunRecord, ...]
    metrics: tuple[ComparedMetric, ...]
    differing: tuple[str, ...]
    """Keys of the context in which they differ."""
    agreement: tuple[tuple[float | None, ...], ...]
    """Share of samples with the same prediction, run by run."""
    disagreed: tuple[int, ...]
    """Positions in the scored split where not all runs answer the same."""


def compare_runs(records: Sequence[RunRecord], raws: Sequence[RawData]) -> Comparison:
    """Set finished runs side by side.

    Args:
        records: two to six runs.
        raws: their raw arrays, in the same order.

    Raises:
        InvalidValueError: if there are too few or too many.
        ContradictionError: if one of them has no result.
    """
    if not FEWEST <= len(records) <= MOST:
        raise InvalidValueError(f"Two to six runs can be compared, not {len(records)}.")
    unfinished = next((record for record in records if record.result is None), None)
    if unfinished is not None:
        raise ContradictionError(f"Run {unfinished.id} has no result ({unfinished.status}); choose finished runs.")
    results = [record.result for record in records if record.result is not None]
    differing = tuple(differing_keys([result.context for result in results]))
    predictions = _predictions(results, raws)
    flats = [flat_metrics(result) for result in results]
    names = [info for info in METRICS if any(_value(flat, info.name) is not None for flat in flats)]
    judge = _Judge(records, results, raws, flats, predictions)
    rows = tuple(
        ComparedMetric(info, tuple(judge.number(info, place) for place in range(len(records)))) for info in names
    )
    return Comparison(tuple(records), rows, differing, _agreement(predictions), _disagreed(predictions))


def answers_change(raw: RawData, other: RawData) -> AccuracyChange | None:
    """Compare the answers of two runs sample by sample; ``None`` where they did not answer the same samples."""
    first, second = raw.arrays.get("predictions"), other.arrays.get("predictions")
    if first is None or second is None or not _same_labels(raw, other):
        return None
    return compare_predictions(*(array.astype(np.int64) for array in (first, second, raw.arrays["labels"])))


def latency_ratio(raw: RawData, other: RawData) -> tuple[float, Interval | None] | None:
    """Return how many times as long as ``other`` a run takes, with a 95 % interval; ``None`` without samples.

    Each side's median has a bootstrap interval over its processes, then its samples; the two are independent, so that
    their half widths on the log scale add up as squares.
    """
    sides = [_processes(one) for one in (raw, other)]
    if not all(sides):
        return None
    medians = [float(np.mean([np.log(np.median(samples)) for samples in side])) for side in sides]
    intervals = [interval_of_medians(side) for side in sides]
    ratio = math.exp(medians[0] - medians[1])
    halves = [_half_width(interval) for interval in intervals if interval]
    if len(halves) < 2:
        return ratio, None
    reach = math.hypot(*halves)
    return ratio, (ratio * math.exp(-reach), ratio * math.exp(reach))


@dataclass(frozen=True)
class _Judge:
    records: Sequence[RunRecord]
    results: Sequence[RunResult]
    raws: Sequence[RawData]
    flats: Sequence[dict[str, Metric]]
    predictions: Sequence[Predictions | None]

    def number(self, info: MetricInfo, place: int) -> ComparedNumber:
        metric = self.flats[place].get(info.name, Metric(value=None))
        text = format_with_interval(info, metric)
        if place == 0:
            return ComparedNumber(text, Difference.REFERENCE)
        first = self.flats[0].get(info.name, Metric(value=None))
        if metric.value is None or first.value is None or not self._is_comparable(info, place):
            return ComparedNumber(text, Difference.UNKNOWN)
        differs, evidence = self._differs(info, metric, first, place)
        if not differs:
            return ComparedNumber(text, Difference.TIED, evidence)
        if info.direction is None:
            return ComparedNumber(text, Difference.DIFFERENT, evidence)
        less = metric.value < first.value
        better = less if info.direction == "minimize" else not less
        return ComparedNumber(text, Difference.BETTER if better else Difference.WORSE, evidence)

    def _is_comparable(self, info: MetricInfo, place: int) -> bool:
        differing = set(self.results[0].context.differences(self.results[place].context))
        return not differing & SAME_ANSWERS if info.quality else not differing

    def _differs(self, info: MetricInfo, metric: Metric, first: Metric, place: int) -> tuple[bool, str]:
        if info.name == "accuracy":
            change = answers_change(self.raws[place], self.raws[0])
            if change is not None:
                return change.is_different, f"McNemar p = {change.p_value:.3g}"
        if info.name == LATENCY:
            found = self._latency(place)
            if found is not None:
                return found
        return _intervals_differ(info, metric, first)

    def _latency(self, place: int) -> tuple[bool, str] | None:
        """Compare speeds by what each run is over the same baseline, which drifts along, else by bootstrap."""
        mine, first = (self.results[index].speedup for index in (place, 0))
        same_model = self.records[place].spec.model == self.records[0].spec.model
        if same_model and mine.ci95 and first.ci95:
            log_ratio = math.log(mine.value / first.value)
            reach = math.hypot(_half_width(mine.ci95), _half_width(first.ci95))
            said = BY_SPEEDUPS.format(ratio=f"{math.exp(log_ratio):.2f}")
            return _is_apart(log_ratio, reach), said
        found = latency_ratio(self.raws[place], self.raws[0])
        if found is None or found[1] is None:
            return None
        value, interval = found[0], found[1]
        said = BY_BOOTSTRAP.format(ratio=f"{1 / value:.2f}")
        return _is_apart(math.log(value), _half_width(interval)), said


def _half_width(interval: Interval) -> float:
    """Return half the width of an interval of ratios on the log scale."""
    return math.log(interval[1] / interval[0]) / 2


def _is_apart(log_ratio: float, reach: float) -> bool:
    return abs(log_ratio) > reach and abs(math.expm1(log_ratio)) > SMALLEST_DIFFERENCE


def _intervals_differ(info: MetricInfo, metric: Metric, first: Metric) -> tuple[bool, str]:
    value, other = metric.value or 0.0, first.value or 0.0
    scale = 1.0 if is_share(info) else min(abs(value), abs(other))
    large = abs(value - other) > SMALLEST_DIFFERENCE * scale
    if metric.ci95 is None or first.ci95 is None:
        return large, ""
    apart = metric.ci95[0] > first.ci95[1] or metric.ci95[1] < first.ci95[0]
    return large and apart, ""


def _same_labels(raw: RawData, other: RawData) -> bool:
    labels, others = raw.arrays.get("labels"), other.arrays.get("labels")
    return labels is not None and others is not None and np.array_equal(labels, others)


def _value(flat: dict[str, Metric], name: str) -> float | None:
    return flat.get(name, Metric(value=None)).value


def _processes(raw: RawData) -> list[NDArray[np.float64]]:
    seconds = raw.arrays.get("candidate_latency_s")
    if seconds is None or not len(seconds):
        return []
    process = raw.arrays.get("candidate_process", np.zeros(len(seconds), dtype=np.int64))
    values = np.asarray(seconds, dtype=np.float64)
    return [values[process == number] for number in np.unique(process)]


def _predictions(results: Sequence[RunResult], raws: Sequence[RawData]) -> list[Predictions | None]:
    """Return each run's predictions, ``None`` for one that did not answer the samples of the first."""
    first = results[0].context
    found: list[Predictions | None] = []
    for result, raw in zip(results, raws, strict=True):
        made = raw.arrays.get("predictions")
        same = not set(first.differences(result.context)) & SAME_ANSWERS and _same_labels(raws[0], raw)
        found.append(made.astype(np.int64) if made is not None and same else None)
    return found


def _agreement(predictions: Sequence[Predictions | None]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(
        tuple(None if one is None or other is None else float((one == other).mean()) for other in predictions)
        for one in predictions
    )


def _disagreed(predictions: Sequence[Predictions | None]) -> tuple[int, ...]:
    known = [one for one in predictions if one is not None]
    if len(known) < 2:
        return ()
    return tuple(int(place) for place in np.flatnonzero((np.stack(known) != known[0]).any(axis=0)))
