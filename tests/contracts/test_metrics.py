"""What every metric must say, and that results hold exactly the metrics that are registered."""

import numpy as np
import pytest

from engine.analysis.statistics import classification_metrics
from engine.metrics import METRICS
from engine.metrics.base import MetricInfo
from engine.results import OfflineResult, ServerResult, flat_metrics
from engine.spec import CLASSIFICATION
from tests.fakes import make_result

each_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
UNITS = {"_ms": "ms", "_s": "s", "_bytes": "bytes", "_per_s": "1/s"}


@each_metric
def test_it_is_explained(metric: MetricInfo) -> None:
    assert metric.title
    assert metric.description
    assert metric.tasks
    assert metric.direction in ("minimize", "maximize", None)


@each_metric
def test_its_unit_is_that_of_its_name(metric: MetricInfo) -> None:
    suffix = max((end for end in UNITS if metric.name.endswith(end)), key=len, default=None)
    if suffix:
        assert metric.unit == UNITS[suffix]


@each_metric
def test_quality_is_better_when_larger(metric: MetricInfo) -> None:
    if metric.quality:
        assert metric.direction == ("minimize" if metric.name == "perplexity" else "maximize")


def test_a_result_holds_exactly_what_is_registered() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    scored = classification_metrics(logits, np.arange(40) % 2)
    offline = OfflineResult(batch_size=8, baseline_batch_size=4, rates={8: 2.0}, baseline_rates={4: 1.0})
    server = ServerResult(
        bound_ms=10, percentile=95, searched=True, rate_per_s=9, baseline_rate_per_s=3, met=True, baseline_met=True
    )
    alone = set(flat_metrics(make_result(metrics=scored)))
    of_scenarios = set(flat_metrics(make_result(metrics=scored, offline=offline, server=server))) - alone
    assert of_scenarios == {"best_batch_size", "max_rate_per_s"}
    assert alone | of_scenarios == {metric.name for metric in METRICS if metric.tasks & CLASSIFICATION}


def test_scores_are_quality_and_costs_are_not() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    scored = set(classification_metrics(logits, np.arange(40) % 2))
    quality = {metric.name for metric in METRICS if metric.quality and metric.tasks & CLASSIFICATION}
    assert quality == scored | {"accuracy_change"}
