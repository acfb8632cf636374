"""Numbers with their uncertainty; formulas come from SciPy and scikit-learn wherever they have them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.errors import MeasurementError
from engine.results import AccuracyChange, Interval, LatencySummary, Metric, Ratio

Array = NDArray[np.float64]

CONFIDENCE = 0.95
_PERCENTILE_CONFIDENCE = 0.99
RUN_TO_RUN = 0.04
"""Share of the logarithm of a speed-up by which repeats of one comparison, minutes apart, differ beyond their pairs.

Two programs that differ much feel a machine's state differently: what fills shared caches slows the larger one more.
The pairs of one run share that state and cannot show it. Equal programs share it too, so that nothing is added there.
"""
_BOOTSTRAP_ROUNDS = 4000
_INNER_ROUNDS = 400


def samples_needed(percentile: float) -> int:
    """Return how many samples a percentile needs to be shown: 99 % confidence, one sample to spare.

    That is MLPerf's early stopping: the smallest ``n`` for which two or more samples lie above the percentile with 99 %
    confidence. p50 needs 11, p90 64, p95 130, p97 219, p99 662.
    """
    from scipy.stats import binom

    tail = 1 - percentile / 100
    n = 2
    while binom.cdf(1, n, tail) > 1 - _PERCENTILE_CONFIDENCE:
        n += 1
    return n


_NEEDED: dict[float, int] = {}


def percentile(samples: Array, q: float) -> float | None:
    """Return a percentile, or ``None`` where the sample cannot carry it; never an extrapolation."""
    needed = _NEEDED.setdefault(q, samples_needed(q))
    return float(np.percentile(samples, q)) if len(samples) >= needed else None


def summarize_latency(processes: Sequence[Array]) -> LatencySummary:
    """Summarise latencies of several fresh processes, given in seconds, one array each.

    Raises:
        MeasurementError: if there are no samples, or some are not positive finite numbers.
    """
    from scipy.stats import iqr, median_abs_deviation

    _require_positive(processes)
    pooled = np.concatenate(list(processes)) * 1e3
    low, high = np.percentile(pooled, [25, 75])
    spread = float(iqr(pooled))
    outside = np.maximum(low - pooled, pooled - high)
    interval = interval_of_medians(processes)
    return LatencySummary(
        p50_ms=percentile(pooled, 50),
        p90_ms=percentile(pooled, 90),
        p95_ms=percentile(pooled, 95),
        p99_ms=percentile(pooled, 99),
        mean_ms=float(pooled.mean()),
        std_ms=float(pooled.std(ddof=1)) if len(pooled) > 1 else 0.0,
        mad_ms=float(median_abs_deviation(pooled)),
        min_ms=float(pooled.min()),
        max_ms=float(pooled.max()),
        ci95_ms=(interval[0] * 1e3, interval[1] * 1e3) if interval else None,
        n=len(pooled),
        processes=len(processes),
        outliers_mild=int((outside > 1.5 * spread).sum()),
        outliers_severe=int((outside > 3 * spread).sum()),
    )


def interval_of_medians(processes: Sequence[Array]) -> Interval | None:
    """Return the 95 % interval of the typical median over processes, in the unit of the samples."""
    return _interval([np.log(np.median(samples)) for samples in processes], [_resampled(p) for p in processes])


def rate(processes: Sequence[Array]) -> float:
    """Return samples a second, from seconds a sample by process: the geometric mean over processes."""
    return math.exp(-float(np.mean([np.log(samples.mean()) for samples in processes])))


def interval_of_rates(processes: Sequence[Array]) -> Interval | None:
    """Return the 95 % interval of samples a second, from seconds a sample by process; ``None`` for one process."""
    _require_positive(processes)
    means = [float(np.log(samples.mean())) for samples in processes]
    interval = _interval(means, [np.full(_INNER_ROUNDS, mean) for mean in means])
    return (1 / interval[1], 1 / interval[0]) if interval else None


def paired_speedup(candidate: Sequence[Array], baseline: Sequence[Array], queries: int | None = None) -> Ratio:
    """Return how many times as fast the candidate is: the geometric mean, over pairs and queries, of median times.

    Pair ``i`` holds the processes ``candidate[i]`` and ``baseline[i]`` that took turns, so that a drift of the machine
    touches both.

    Args:
        candidate: seconds by process.
        baseline: seconds by process.
        queries: how many different queries a pass holds, where both sides made whole passes over the same ones. Which
            queries were drawn is then no source of error: it touches both sides alike.

    Raises:
        MeasurementError: if the pairs do not match, or a sample is not a positive finite number.
    """
    if len(candidate) != len(baseline):
        raise MeasurementError(f"{len(candidate)} candidate processes cannot be paired with {len(baseline)}.")
    _require_positive([*candidate, *baseline])
    exact = [_log_typical(b, queries) - _log_typical(c, queries) for c, b in zip(candidate, baseline, strict=True)]
    inner = [_resampled(b, 1, queries) - _resampled(c, 2, queries) for c, b in zip(candidate, baseline, strict=True)]
    interval = _interval(exact, inner, between_runs=RUN_TO_RUN * abs(float(np.mean(exact))))
    return Ratio(value=math.exp(float(np.mean(exact))), ci95=interval, pairs=len(exact))


def _log_typical(samples: Array, queries: int | None) -> float:
    """Return the log of the geometric mean over queries of each query's median; without passes, of the median.

    The median over queries of different lengths lies where few of them are, and jumps; this does not.
    """
    return float(np.log(np.median(_passes(samples, queries), axis=0)).mean())


def _passes(samples: Array, queries: int | None) -> Array:
    """Return the samples of one process as ``(passes, queries)``; one column where they are not whole passes."""
    if not queries or len(samples) < 2 * queries or len(samples) % queries:
        return samples[:, None]
    return samples.reshape(-1, queries)


def _require_positive(processes: Sequence[Array]) -> None:
    """Refuse samples no latency can have."""
    if not processes or not all(len(samples) for samples in processes):
        raise MeasurementError("There are no latency samples. Run the experiment again.")
    if not all(np.isfinite(samples).all() and (samples > 0).all() for samples in processes):
        raise MeasurementError("A latency is zero or not a number: the clock of this machine cannot be trusted.")


def _resampled(samples: Array, seed: int = 0, queries: int | None = None) -> Array:
    """Return log typical times of bootstrap resamples of one process, ``(_INNER_ROUNDS,)``.

    Where the queries are the same on both sides, each query is resampled on its own. Otherwise all samples are: the
    median of ``n`` draws with replacement is the sample's order statistic at ``n`` times a Beta((n+1)/2, (n+1)/2)
    variate, the law of the median of ``n`` uniform numbers; drawing that is exact and does not grow with ``n``.
    """
    generator, table = np.random.default_rng([seed, len(samples)]), _passes(samples, queries)
    if table.shape[1] > 1:
        table = np.sort(table, axis=0)
        count = len(table)
        ranks = generator.beta((count + 1) / 2, (count + 1) / 2, (_INNER_ROUNDS, table.shape[1]))
        chosen = table[(ranks * count).astype(np.intp), np.arange(table.shape[1])]
        drawn: Array = np.log(chosen).mean(axis=1)
        return drawn
    count = len(samples)
    ranks = generator.beta((count + 1) / 2, (count + 1) / 2, _INNER_ROUNDS)
    medians: Array = np.log(np.sort(samples)[(ranks * count).astype(np.intp)])
    return medians


def _interval(exact: Sequence[float], inner: Sequence[Array], between_runs: float = 0.0) -> Interval | None:
    """Return the 95 % interval, off the log scale, of the mean over processes.

    The spread comes from a bootstrap over processes, then over the samples of each. With so few processes that is too
    narrow, so it is widened by ``sqrt(n / (n - 1))`` and Student's t with ``n - 1`` degrees of freedom (Hesterberg
    2015, "What Teachers Should Know About the Bootstrap", sections 4.3 and 5.3). One process has no interval.

    Args:
        exact: log statistic of each process (or pair).
        inner: log statistics of resamples within each, ``(_INNER_ROUNDS,)``.
        between_runs: standard deviation, on the log scale, of what all processes of one run have in common.
    """
    from scipy.stats import bootstrap, norm, t

    count = len(exact)
    if count < 2:
        return None
    table, generator = np.stack(inner), np.random.default_rng(0)

    def mean_over_processes(chosen: NDArray[np.float64], axis: int) -> Array:
        processes = chosen.astype(np.intp)
        means: Array = table[processes, generator.integers(0, _INNER_ROUNDS, processes.shape)].mean(axis=axis)
        return means

    resampled = bootstrap(
        (np.arange(count),), mean_over_processes, n_resamples=_BOOTSTRAP_ROUNDS, method="basic", rng=generator
    )
    spread = float(resampled.standard_error) * math.sqrt(count / (count - 1))
    center, within = float(np.mean(exact)), float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * spread
    reach = math.hypot(within, float(norm.ppf((1 + CONFIDENCE) / 2)) * between_runs)
    return math.exp(center - reach), math.exp(center + reach)


def predictions_of(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class of the largest of ``(n, classes)`` logits, ``-1`` where one of them is not a number.

    An answer that is not a number is no answer: it equals no label, so that it counts as wrong.
    """
    predictions: NDArray[np.int64] = np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)
    return predictions


def wilson(successes: int, n: int) -> Metric:
    """Return a share with its 95 % Wilson score interval."""
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return Metric(value=successes / n, ci95=(float(interval.low), float(interval.high)), n=n)


def compare_predictions(
    candidate: NDArray[np.int64], baseline: NDArray[np.int64], labels: NDArray[np.int64]
) -> AccuracyChange:
    """Compare predictions on the same samples, each ``(n,)``, with McNemar's exact test.

    ``-1`` stands for no answer and agrees with nothing. McNemar's exact p-value is the two-sided binomial test of the
    discordant samples against one half.
    """
    from scipy.stats import binomtest

    right, reference = candidate == labels, baseline == labels
    gained, lost = int((right & ~reference).sum()), int((~right & reference).sum())
    p_value = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    return AccuracyChange(
        value=(gained - lost) / len(labels),
        flips=gained + lost,
        gained=gained,
        lost=lost,
        agreement=float(((candidate == baseline) & (candidate >= 0)).mean()),
        p_value=p_value,
    )


def classification_metrics(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, Metric]:
    """Return accuracy, macro precision, recall, F1 and ROC AUC of ``(n, classes)`` logits.

    A ROC AUC that is not defined, because one class only is present or a logit is not finite, is ``None``.
    """
    from scipy.special import softmax
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

    predictions, n = predictions_of(logits), len(labels)
    present = np.union1d(labels, predictions[predictions >= 0])
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predictions, labels=present, average="macro", zero_division=0
    )
    area = None
    if np.isfinite(logits).all() and len(np.unique(labels)) == logits.shape[1]:
        scores = softmax(logits.astype(np.float64), axis=1)
        area = float(roc_auc_score(labels, scores[:, 1] if logits.shape[1] == 2 else scores, multi_class="ovr"))
    return {
        "accuracy": wilson(int((predictions == labels).sum()), n),
        "macro_precision": Metric(value=float(precision), n=n),
        "macro_recall": Metric(value=float(recall), n=n),
        "macro_f1": Metric(value=float(f1), n=n),
        "roc_auc": Metric(value=area, n=n),
    }
