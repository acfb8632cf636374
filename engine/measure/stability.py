"""Reasons to doubt a measurement, each a warning with a stable code and a sentence."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine import cautions
from engine.measure.processes import ProcessReport
from engine.results import AccuracyChange, Disturbance, LatencySummary, NumericalCheck, Warning

FOREIGN_LIMIT = 0.10
"""Share of the timed cores that others may use before a timing counts as noisy."""
STEAL_LIMIT = 0.05
MIGRATION_LIMIT = 100.0
"""Moves between cores, a second, in the worst process."""
DRIFT_LIMIT = 0.25
"""How far the cores' speed may move between the processes of one run."""
COLLAPSE_LOSS = 0.10
COLLAPSE_SHARE = 0.95
NUMERICAL_AGREEMENT = {"samples": 0.98, "next tokens": 0.99}
"""Below this share an export that should keep the answers did not, by what is compared."""


def timing_warnings(latency: LatencySummary) -> Iterator[Warning]:
    """Yield what pyperf's check would say of a sample (rule 8)."""
    if latency.std_ms >= 0.10 * latency.mean_ms:
        share = latency.std_ms / latency.mean_ms
        yield cautions.UNSTABLE(share=f"{share:.0%}")
    low, high = 1 - latency.min_ms / latency.mean_ms, latency.max_ms / latency.mean_ms - 1
    if max(low, high) >= 0.50:
        yield cautions.WIDE_RANGE(
            low=f"{latency.min_ms:.3g}", high=f"{latency.max_ms:.3g}", mean=f"{latency.mean_ms:.3g}"
        )
    if latency.mean_ms < 1:
        yield cautions.SHORT(mean=f"{latency.mean_ms:.3g}")
    if latency.ci95_ms and latency.p50_ms and latency.ci95_ms[1] - latency.ci95_ms[0] > 0.02 * latency.p50_ms:
        yield cautions.FEW_PROCESSES(n=str(latency.processes))


def disturbance(reports: Sequence[ProcessReport]) -> Disturbance:
    """Return what was seen of the machine while these processes ran; of shares and rates, the worst process's."""
    clocks = [float(np.median(marks)) for report in reports if len(marks := _readings(report, "yardstick_ns"))]
    return Disturbance(
        foreign_share=_worst(report.foreign_share for report in reports),
        steal_share=_worst(report.steal_share for report in reports),
        migrations=_worst(_single(report, "migrations_per_s") for report in reports),
        clock_drift=max(clocks) / min(clocks) - 1 if clocks and min(clocks) > 0 else None,
        pinned=all(report.pinned for report in reports),
    )


def noise(seen: Disturbance) -> float:
    """Return how much a timing was disturbed; above 1 it counts as noisy. What cannot be read does not count."""
    limits = (
        (seen.foreign_share, FOREIGN_LIMIT),
        (seen.steal_share, STEAL_LIMIT),
        (seen.migrations, MIGRATION_LIMIT),
        (seen.clock_drift, DRIFT_LIMIT),
    )
    return max((value / limit for value, limit in limits if value is not None), default=0.0)


def load_warnings(seen: Disturbance) -> Iterator[Warning]:
    """Yield a warning if the machine did something else while it was timed, or could not be watched."""
    if seen.foreign_share is not None and seen.foreign_share > FOREIGN_LIMIT:
        yield cautions.FOREIGN_LOAD(share=f"{seen.foreign_share:.0%}")
    elif seen.steal_share is not None and seen.steal_share > STEAL_LIMIT:
        yield cautions.STEAL(share=f"{seen.steal_share:.0%}")
    elif seen.migrations is not None and seen.migrations > MIGRATION_LIMIT:
        yield cautions.MIGRATIONS(n=f"{seen.migrations:.0f}")
    elif seen.clock_drift is not None and seen.clock_drift > DRIFT_LIMIT:
        yield cautions.DRIFT(share=f"{seen.clock_drift:.0%}")
    if seen.foreign_share is None:
        yield cautions.UNWATCHED()
    if not seen.pinned:
        yield cautions.NOT_PINNED()


def _readings(report: ProcessReport, name: str) -> NDArray[np.float64]:
    """Return an array of an answer as numbers, empty where there is none."""
    return np.atleast_1d(np.asarray(report.arrays.get(name, ()), dtype=np.float64))


def _single(report: ProcessReport, name: str) -> float | None:
    """Return a single number of an answer, ``None`` where there is none."""
    values = _readings(report, name)
    return float(values[0]) if len(values) and np.isfinite(values[0]) else None


def _worst(values: Iterable[float | None]) -> float | None:
    """Return the largest of what could be read."""
    return max((value for value in values if value is not None), default=None)


def accuracy_warnings(
    change: AccuracyChange, baseline_accuracy: float, predictions: NDArray[np.int64], logits: NDArray[np.float32]
) -> Iterator[Warning]:
    """Yield the collapse alarm (rule 17) and a warning of answers that are not numbers."""
    if not np.isfinite(logits).all():
        share = float((~np.isfinite(logits).reshape(len(logits), -1).all(axis=1)).mean())
        yield cautions.NOT_NUMBERS(share=f"{share:.1%}")
    if baseline_accuracy > 0 and -change.value / baseline_accuracy > COLLAPSE_LOSS:
        yield cautions.COLLAPSE(loss=f"{-change.value:.1%}", baseline=f"{baseline_accuracy:.1%}")
    counts = np.bincount(predictions[predictions >= 0], minlength=1)
    top = float(counts.max() / len(predictions))
    if top > COLLAPSE_SHARE:
        yield cautions.ONE_CLASS(share=f"{top:.0%}")


def numerical_warnings(
    check: NumericalCheck | None, *, changes_numbers: bool, unit: str = "samples"
) -> Iterator[Warning]:
    """Yield the numerical alarm where an export that should keep the numbers did not.

    Args:
        changes_numbers: whether a technique such as quantization changes them on purpose.
        unit: what was compared, ``"samples"`` or ``"next tokens"``.
    """
    if check is not None and not changes_numbers and check.agreement < NUMERICAL_AGREEMENT[unit]:
        difference = "NaN" if check.max_abs_difference is None else f"{check.max_abs_difference:.2g}"
        said = cautions.OTHER_TOKENS if unit == "next tokens" else cautions.OTHER_ANSWERS
        yield said(share=f"{1 - check.agreement:.1%}", n=str(check.samples), difference=difference)
