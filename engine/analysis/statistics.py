"""Numbers with their uncertainty; formulas come from SciPy and scikit-learn wherever they have them."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.results import Interval

Array = NDArray[np.float64]

CONFIDENCE = 0.95
_PERCENTILE_CONFIDENCE = 0.99
_BOOTSTRAP_ROUNDS = 1000


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


def _bootstrap_log_spread(
    groups: Sequence[Callable[[np.random.Generator], float]], seed: int = 0
) -> tuple[float, float]:
    """Return mean and standard error of per-group values by a bootstrap over groups, then within each."""
    generator = np.random.default_rng(seed)
    count = len(groups)
    means = np.empty(_BOOTSTRAP_ROUNDS)
    for number in range(_BOOTSTRAP_ROUNDS):
        chosen = generator.integers(0, count, count)
        means[number] = np.mean([groups[index](generator) for index in chosen])
    return float(means.mean()), float(means.std(ddof=1))


def _interval_of_log_mean(values: Sequence[Array], statistic: Callable[..., float], seed: int = 0) -> Interval | None:
    """Return the 95 % interval, on the original scale, of the mean log statistic over processes.

    The spread comes from a bootstrap over processes, then over the samples of each; because it resamples only a few
    processes, it is widened by ``sqrt(n / (n - 1))`` and Student's t with ``n - 1`` degrees of freedom (Hesterberg 2015,
    "What Teachers Should Know About the Bootstrap", section 4). Fewer than two processes have no interval.
    """
    from scipy.stats import t

    count = len(values)
    if count < 2:
        return None
    groups = [_Resampled(value, statistic) for value in values]
    center = float(np.mean([group.exact for group in groups]))
    _, spread = _bootstrap_log_spread(groups, seed)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * spread * math.sqrt(count / (count - 1))
    return math.exp(center - reach), math.exp(center + reach)


class _Resampled:
    """The log of a statistic of one process's samples; called, that of a bootstrap resample of them."""

    def __init__(self, samples: Array, statistic: Callable[..., float]) -> None:
        self._rows, self._statistic = np.atleast_2d(samples), statistic
        self.exact = math.log(statistic(*self._rows))

    def __call__(self, generator: np.random.Generator) -> float:
        rows = [row[generator.integers(0, len(row), len(row))] for row in self._rows]
        return math.log(self._statistic(*rows))
