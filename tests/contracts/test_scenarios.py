"""What every scenario promises, whoever adds the next one."""

from typing import Any

import numpy as np
import pytest

from engine.analysis.frontier import default_x
from engine.measure.paired import Timed
from engine.measure.processes import ProcessReport
from engine.measure.timing import Plan, Query
from engine.metrics import METRICS
from engine.scenarios import SCENARIOS
from engine.scenarios.base import Bench, Scenario
from engine.spec import CLASSIFICATION

each = pytest.mark.parametrize("scenario", list(SCENARIOS), ids=lambda scenario: scenario.name)
each_of_classifiers = pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if scenario.tasks & CLASSIFICATION],
    ids=lambda scenario: scenario.name,
)
"""That of text generation asks for answers with tokens; see ``tests/scenarios/test_response.py``."""


def timed(scenario: Scenario[Any]) -> Timed:
    """Time on a clock that a query moves by 2 ms, 1 ms of it preparation."""
    now = 0

    def clock() -> int:
        nonlocal now
        now += 10
        return now

    def work(_: object = None) -> None:
        nonlocal now
        now += 1_000_000

    def sleep(seconds: float) -> None:
        nonlocal now
        now += int(seconds * 1e9)

    passes = []
    bench = Bench(
        lambda size: [Query(work, work)] * max(1, 64 // max(1, size)),
        Plan(3, 50, 0.1, 0.01),
        clock,
        sleep,
        lambda: passes.append(now),
        seed=0,
    )
    arrays = scenario.time(bench, scenario.options_type())
    assert passes, "the machine is watched between passes"
    return Timed([ProcessReport(dict(arrays), None, 0.0, 0.0)] * 3, "variant")


@each
def test_it_describes_itself(scenario: Scenario[Any]) -> None:
    assert scenario.title
    assert scenario.summary.endswith(".")
    assert METRICS.get(scenario.headline).direction
    for field in scenario.options_type.model_fields.values():
        assert field.title
        assert field.description


@each
def test_its_label_begins_with_its_name_so_that_a_context_can_be_read(scenario: Scenario[Any]) -> None:
    label = scenario.label(scenario.options_type())
    assert label.partition(",")[0] == scenario.name
    assert default_x(label) == scenario.headline


@each_of_classifiers
def test_it_answers_with_times_and_keeps_the_warm_up_apart(scenario: Scenario[Any]) -> None:
    for report in timed(scenario).reports:
        assert {"run_ns", "whole_ns", "warmup_ns"} <= set(report.arrays)
        assert len(report.arrays["run_ns"]) == len(report.arrays["whole_ns"]) >= 50
        assert len(report.arrays["warmup_ns"])


@each_of_classifiers
def test_a_reading_has_positive_seconds_of_every_process(scenario: Scenario[Any]) -> None:
    reading = scenario.read(timed(scenario), 1, scenario.options_type())
    for part in (reading.latency, reading.latency_with_preprocessing, reading.pace, reading.cost):
        assert len(part) == 3
        assert all(len(samples) and np.isfinite(samples).all() and (samples > 0).all() for samples in part)


@each_of_classifiers
def test_it_draws_at_least_what_a_single_stream_needs(scenario: Scenario[Any]) -> None:
    assert scenario.samples_needed(1, scenario.options_type(), 100) >= 100
