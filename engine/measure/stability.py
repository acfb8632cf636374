"""Reasons to doubt a measurement, each a warning with a stable code and a sentence."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.measure.processes import ProcessReport
from engine.results import AccuracyChange, LatencySummary, NumericalCheck, Warning

FOREIGN_LIMIT = 0.10
"""Share of all cores that others may use before a timing counts as noisy."""
STEAL_LIMIT = 0.05
COLLAPSE_LOSS = 0.10
COLLAPSE_SHARE = 0.95
NUMERICAL_AGREEMENT = 0.98


def timing_warnings(latency: LatencySummary) -> Iterator[Warning]:
    """Yield what pyperf's check would say of a sample (rule 8)."""
    if latency.std_ms >= 0.10 * latency.mean_ms:
        share = latency.std_ms / latency.mean_ms
        yield Warning(
            code="unstable",
            message=f"The standard deviation is {share:.0%} of the mean: trust the median, or run again.",
        )
    low, high = 1 - latency.min_ms / latency.mean_ms, latency.max_ms / latency.mean_ms - 1
    if max(low, high) >= 0.50:
        yield Warning(
            code="wide-range",
            message=f"Single queries took {latency.min_ms:.3g} to {latency.max_ms:.3g} ms around a mean of "
            f"{latency.mean_ms:.3g} ms; look at the distribution before quoting a tail.",
        )
    if latency.mean_ms < 1:
        yield Warning(
            code="short",
            message=f"One query takes {latency.mean_ms:.3g} ms: calls and interrupts weigh as much as the model; "
            "compare speed-ups rather than milliseconds.",
        )
    if latency.ci95_ms and latency.p50_ms and latency.ci95_ms[1] - latency.ci95_ms[0] > 0.02 * latency.p50_ms:
        yield Warning(
            code="few-processes",
            message=f"{latency.processes} processes do not fix the median to 1 %: raise the effort to tell close "
            "variants apart.",
        )


def noise(reports: Sequence[ProcessReport]) -> float:
    """Return how much others disturbed a timing; above 1 it counts as noisy."""
    foreign = max(report.foreign_share for report in reports) / FOREIGN_LIMIT
    return max(foreign, max(report.steal_share for report in reports) / STEAL_LIMIT)


def load_warnings(reports: Sequence[ProcessReport]) -> Iterator[Warning]:
    """Yield a warning if others used the machine while it was timed."""
    foreign = max(report.foreign_share for report in reports)
    steal = max(report.steal_share for report in reports)
    if foreign > FOREIGN_LIMIT:
        yield Warning(
            code="noisy", message=f"Other programs used {foreign:.0%} of the cores while this was timed; run it again."
        )
    elif steal > STEAL_LIMIT:
        yield Warning(
            code="noisy",
            message=f"The hypervisor took away {steal:.0%} of the cores while this was timed; run it again.",
        )


def accuracy_warnings(
    change: AccuracyChange, baseline_accuracy: float, predictions: NDArray[np.int64], logits: NDArray[np.float32]
) -> Iterator[Warning]:
    """Yield the collapse alarm (rule 17) and a warning of answers that are not numbers."""
    if not np.isfinite(logits).all():
        share = float((~np.isfinite(logits).all(axis=1)).mean())
        yield Warning(code="nan", message=f"{share:.1%} of the answers are not numbers: do not use this variant.")
    if baseline_accuracy > 0 and -change.value / baseline_accuracy > COLLAPSE_LOSS:
        yield Warning(
            code="collapse",
            message=f"Accuracy fell by {-change.value:.1%}, over a tenth of the baseline's {baseline_accuracy:.1%}.",
        )
    top = float(np.bincount(predictions).max() / len(predictions))
    if top > COLLAPSE_SHARE:
        yield Warning(code="one-class", message=f"{top:.0%} of the answers are the same class.")


def numerical_warnings(check: NumericalCheck | None, *, changes_numbers: bool) -> Iterator[Warning]:
    """Yield the numerical alarm where an export that should keep the numbers did not.

    Args:
        changes_numbers: whether a technique such as quantization changes them on purpose.
    """
    if check is not None and not changes_numbers and check.agreement < NUMERICAL_AGREEMENT:
        difference = "not a number" if check.max_abs_difference is None else f"{check.max_abs_difference:.2g}"
        yield Warning(
            code="numerical",
            message=f"The exported model answers {1 - check.agreement:.1%} of {check.samples} samples differently from "
            "the "
            f"model it was made from (largest difference {difference}).",
        )
