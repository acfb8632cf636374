"""What comes back: when a difference counts, what makes a context, and every number under one name."""

import pytest
from pydantic import ValidationError

from engine.results import AccuracyChange, Context, Metric, Ratio, RunResult, Status, WorkerEvent, flat_metrics
from engine.spec import Task
from tests.fakes import make_context, make_result


@pytest.mark.parametrize(
    ("value", "ci95", "expected"),
    [
        (1.5, (1.4, 1.6), True),
        (0.5, (0.4, 0.6), True),
        (1.5, (0.9, 2.1), False),
        (1.005, (1.001, 1.009), False),
        (1.5, None, False),
        (0.995, (0.991, 0.999), False),
    ],
)
def test_a_ratio_counts_when_its_interval_excludes_one_and_it_exceeds_a_percent(
    value: float, ci95: tuple[float, float] | None, expected: bool
) -> None:
    assert Ratio(value=value, ci95=ci95, pairs=3).is_different is expected


@pytest.mark.parametrize(
    ("value", "p_value", "expected"),
    [(-0.02, 0.01, True), (0.02, 0.05, True), (-0.02, 0.06, False), (-0.01, 0.001, False), (0.0, 1.0, False)],
)
def test_a_change_of_accuracy_counts_when_significant_and_over_a_percent(
    value: float, p_value: float, expected: bool
) -> None:
    change = AccuracyChange(value=value, flips=0, gained=0, lost=0, agreement=1, p_value=p_value)
    assert change.is_different is expected


def test_final_states_are_final() -> None:
    assert [status for status in Status if status.is_final] == [Status.DONE, Status.FAILED, Status.CANCELLED]


@pytest.mark.parametrize("name", Context.model_fields)
def test_every_part_of_a_context_changes_its_key(name: str) -> None:
    context = make_context()
    value = getattr(context, name)
    if name == "task":
        other = context.model_copy(update={name: Task.TEXT_CLASSIFICATION})
    else:
        other = context.model_copy(update={name: value + (1 if isinstance(value, int) else "x")})
    assert other.key != context.key
    assert other.differences(context) == context.differences(other) == [name]


def test_equal_contexts_have_equal_keys() -> None:
    assert make_context().key == make_context().key
    assert make_context().differences(make_context()) == []
    assert len(make_context().key) == 16


def test_a_result_survives_a_round_trip_through_json() -> None:
    result = make_result(warnings=["noisy"])
    assert RunResult.model_validate_json(result.model_dump_json()) == result


def test_every_number_has_one_name_and_its_interval() -> None:
    result = make_result()
    flat = flat_metrics(result)
    assert flat["latency_p50_ms"] == Metric(value=2.0, ci95=result.latency.ci95_ms, n=300)
    assert flat["latency_p99_ms"].value is None
    assert flat["latency_p90_ms"].ci95 is None, "the interval is the median's alone"
    assert flat["baseline_latency_p50_ms"].value == result.baseline.latency.p50_ms
    assert flat["speedup"] == Metric(value=result.speedup.value, ci95=result.speedup.ci95, n=3)
    assert flat["flips"].value == 60
    assert flat["size_bytes"].value == 400_000
    assert flat["accuracy"] == result.metrics["accuracy"]


def test_energy_is_a_number_and_its_source_is_not() -> None:
    result = make_result(throughput_ci95=(480.0, 520.0))
    measured = {"energy_j_per_query": 0.02, "energy_source": "RAPL package-0"}
    flat = flat_metrics(result.model_copy(update={"footprint": result.footprint.model_copy(update=measured)}))
    assert flat["energy_j_per_query"] == Metric(value=0.02)
    assert "energy_source" not in flat
    assert flat["throughput_per_s"].ci95 == (480.0, 520.0)


def test_without_a_check_there_is_no_difference_to_show() -> None:
    assert "max_abs_difference" not in flat_metrics(make_result(numerical_check=None))


def test_progress_is_a_share() -> None:
    with pytest.raises(ValidationError):
        WorkerEvent(stage="time", progress=1.5)
