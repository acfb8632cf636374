import pytest

from engine.analysis.measures import (
    column_title,
    format_gap,
    format_metric,
    format_with_interval,
    is_share,
    metric_info,
    scaled,
)
from engine.metrics import METRICS
from engine.metrics.base import MetricInfo
from engine.results import Metric

PERPLEXITY = MetricInfo(name="p", title="Perplexity", description="", direction="minimize", quality=True)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency_p50_ms", 1.62, "1.62 ms"),
        ("accuracy", 0.858, "85.8 %"),
        ("agreement", 0.5, "50.0 %"),
        ("speedup", 3.714, "3.71x"),
        ("size_bytes", 22.9e6, "22.9 MB"),
        ("throughput_per_s", 1234.5, "1,234/s"),
        ("load_s", 0.41, "410 ms"),
        ("energy_j_per_query", 0.0201, "20.1 mJ"),
        ("parameters", 22.7e6, "22.7 M"),
        ("mcnemar_p", 0.0312, "0.0312"),
        ("accuracy", None, "n/a"),
        ("accuracy", float("nan"), "n/a"),
    ],
)
def test_a_value_is_written_with_its_unit(name: str, value: float | None, text: str) -> None:
    assert format_metric(METRICS.get(name), value) == text


def test_perplexity_is_no_share() -> None:
    assert not is_share(PERPLEXITY)
    assert format_metric(PERPLEXITY, 46.53) == "46.5"
    assert column_title(PERPLEXITY) == "Perplexity"
    assert is_share(METRICS.get("macro_f1"))


def test_an_interval_is_written_alike() -> None:
    metric = Metric(value=0.858, ci95=(0.84, 0.876))
    assert format_with_interval(METRICS.get("accuracy"), metric) == "85.8 % [84.0 %, 87.6 %]"
    assert format_with_interval(METRICS.get("accuracy"), Metric(value=0.858)) == "85.8 %"


def test_differences_of_shares_are_points() -> None:
    assert format_gap(METRICS.get("accuracy"), -0.013) == "1.3 points"
    assert format_gap(METRICS.get("latency_p50_ms"), 0.5) == "500 µs"


def test_tables_show_percent_and_megabytes() -> None:
    assert column_title(METRICS.get("accuracy")) == "Accuracy, %"
    assert scaled(METRICS.get("size_bytes"), 23e6) == pytest.approx(23)
    assert scaled(METRICS.get("accuracy"), None) is None


def test_a_metric_of_a_later_release_is_a_plain_number() -> None:
    assert format_metric(metric_info("tokens_of_tomorrow"), 3.0) == "3"
