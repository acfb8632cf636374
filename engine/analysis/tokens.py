"""What a language model's speed is made of: the first token, each further one, tokens a second."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.analysis import statistics
from engine.results import Metric

Array = NDArray[np.float64]

SUB_SECOND_MS, SECOND_LEVEL_MS = 1_000.0, 10_000.0
BADGES = SUB_SECOND, SECOND_LEVEL = "sub-second", "second-level"


def token_metrics(token_s: Sequence[Array], requests: int = 1) -> dict[str, Metric]:
    """Return the numbers that only text generation has.

    Args:
        token_s: for each process ``(responses, tokens)`` seconds after which each token came.
        requests: answers that were given together; tokens a second are those of all of them.
    """
    first = [moments[:, 0] for moments in token_s]
    each = [(moments[:, -1] - moments[:, 0]) / (moments.shape[1] - 1) for moments in token_s]
    pace = [moments[:, -1] / (requests * moments.shape[1]) for moments in token_s]
    gaps = np.concatenate([np.diff(moments, axis=1).ravel() for moments in token_s])
    return {
        "first_token_p50_ms": _median_ms(first),
        "time_per_token_p50_ms": _median_ms(each),
        "inter_token_p95_ms": Metric(value=_ms(statistics.percentile(gaps, 95)), n=len(gaps)),
        "tokens_per_s": Metric(
            value=statistics.rate(pace), ci95=statistics.interval_of_rates(pace), n=sum(len(own) for own in pace)
        ),
    }


def badge(response_ms: float | None) -> str:
    """Return what a measured whole response may be called; empty beyond ten seconds."""
    if response_ms is None or response_ms > SECOND_LEVEL_MS:
        return ""
    return SUB_SECOND if response_ms <= SUB_SECOND_MS else SECOND_LEVEL


def _median_ms(processes: Sequence[Array]) -> Metric:
    pooled = np.concatenate(list(processes))
    interval = statistics.interval_of_medians(processes)
    return Metric(
        value=_ms(statistics.percentile(pooled, 50)),
        ci95=(interval[0] * 1e3, interval[1] * 1e3) if interval else None,
        n=len(pooled),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
