"""What responses are made of, against tokens that came at known moments."""

import numpy as np
import pytest

from engine.analysis.tokens import badge, token_metrics


def test_first_and_further_tokens_are_told_apart() -> None:
    moments = np.tile(0.1 + 0.02 * np.arange(10), (6, 1))
    found = token_metrics([moments, moments * 1.0001])
    assert found["first_token_p50_ms"].value == pytest.approx(100, rel=1e-3)
    assert found["time_per_token_p50_ms"].value == pytest.approx(20, rel=1e-3)
    assert found["inter_token_p95_ms"].value is None, "108 pauses carry no 95th percentile"
    assert found["tokens_per_s"].value == pytest.approx(10 / 0.28, rel=1e-3)
    assert found["time_per_token_p50_ms"].ci95 is not None
    assert token_metrics([np.tile(moments, (2, 1))])["inter_token_p95_ms"].value is None
    together = token_metrics([moments, moments * 1.0001], requests=4)
    assert together["tokens_per_s"].value == pytest.approx(40 / 0.28, rel=1e-3)
    assert together["time_per_token_p50_ms"] == found["time_per_token_p50_ms"]
    many = token_metrics([np.tile(moments, (3, 1))])
    assert many["inter_token_p95_ms"].value == pytest.approx(20)
    assert many["inter_token_p95_ms"].n == 162


def test_a_badge_follows_from_the_measured_response() -> None:
    assert [badge(value) for value in (None, 600.0, 1000.0, 1001.0, 10_000.0, 10_001.0)] == [
        "",
        "sub-second",
        "sub-second",
        "second-level",
        "second-level",
        "",
    ]
