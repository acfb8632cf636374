import gc
import math
import weakref
from dataclasses import replace
from types import MappingProxyType

import pytest

from engine.analysis.frontier import (
    MOST_KEPT,
    FrontierInfo,
    axis_metrics,
    frontier_info,
    once,
    stack_name,
    variant_name,
)
from engine.analysis.pareto import Standing
from engine.errors import ContradictionError, InvalidValueError, UnknownNameError
from engine.results import Metric
from tests.analysis.rows import Row, row_of, text_rows
from tests.dashboard.samples import sample_records


def with_metric(row: Row, name: str, value: float | None) -> Row:
    return replace(row, metrics=MappingProxyType({**row.metrics, name: Metric(value=value)}))


def test_points_keep_the_order_of_the_runs_and_know_their_standing() -> None:
    info = frontier_info(text_rows())
    standing = {variant_name(point.run): point.standing for point in info.points}
    assert [point.run.id for point in info.points] == [row.id for row in text_rows()]
    assert standing["prune-structured + int8-dynamic · onnxruntime"] is Standing.FRONTIER
    assert standing["distill · onnxruntime"] is Standing.DOMINATED
    assert [variant_name(point.run) for point in info.points if point.is_baseline] == ["baseline"]


def test_the_frontier_runs_from_left_to_right() -> None:
    places = [point.x.value or 0 for point in frontier_info(text_rows()).on_frontier()]
    assert len(places) == 4
    assert places == sorted(places)


def test_a_run_as_good_as_a_frontier_run_within_chance_is_tied() -> None:
    rows = text_rows()
    best = next(row for row in rows if "prune-structured" in row.techniques and "int8" in row.techniques)
    almost = {**best.metrics, "latency_p50_ms": Metric(value=2.45, ci95=(2.3, 2.6), n=300)}
    twin = replace(best, id=99, metrics=MappingProxyType(almost))
    assert frontier_info([*rows, twin]).points[-1].standing is Standing.TIED


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_runs_without_a_finite_value_are_left_out_and_counted(value: float | None) -> None:
    rows = text_rows()
    info = frontier_info([with_metric(rows[0], "accuracy", value), *rows[1:]])
    assert (len(info.points), info.left_out) == (len(rows) - 1, 1)


def test_no_runs_give_an_empty_plot() -> None:
    assert frontier_info([]).points == ()


def test_a_mix_of_contexts_is_refused() -> None:
    with pytest.raises(ContradictionError, match="Choose one context"):
        frontier_info([row_of(record) for record in sample_records()])


def test_axes_must_be_metrics_with_a_better_end() -> None:
    with pytest.raises(InvalidValueError, match="Flips"):
        frontier_info(text_rows(), x="flips")
    with pytest.raises(UnknownNameError, match="latency_p50_ms"):
        frontier_info(text_rows(), x="latency_p50")


def test_a_larger_is_better_axis_turns_the_frontier_around() -> None:
    by_latency = {point.run.id for point in frontier_info(text_rows()).on_frontier()}
    by_throughput = {point.run.id for point in frontier_info(text_rows(), x="throughput_per_s").on_frontier()}
    assert by_throughput == by_latency


def test_only_measured_metrics_with_a_direction_are_offered_as_axes() -> None:
    cost = [info.name for info in axis_metrics(text_rows(), quality=False)]
    assert "latency_p50_ms" in cost
    assert "latency_p99_ms" not in cost, "300 samples do not carry a p99"
    assert "flips" not in cost
    assert [info.name for info in axis_metrics(text_rows(), quality=True)][:2] == ["accuracy", "accuracy_change"]


def test_names_leave_parameters_out() -> None:
    row = replace(text_rows()[0], techniques="prune-structured(heads=0.33, ffn=0.5) + int8-dynamic(per_channel=True)")
    assert stack_name(row) == "prune-structured + int8-dynamic"
    assert variant_name(replace(row, techniques="", backend="onnxruntime(threads=2)")) == "no technique · onnxruntime"


def test_what_was_worked_out_of_a_frontier_lives_as_long_as_it() -> None:
    asked: list[int] = []

    @once
    def double(info: FrontierInfo, number: int) -> int:
        del info
        asked.append(number)
        return 2 * number

    first, second = frontier_info(text_rows()), frontier_info(text_rows())
    assert [double(first, 1), double(first, 1), double(first, 2), double(second, 1)] == [2, 2, 4, 2]
    assert asked == [1, 2, 1]
    assert first != second
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
    assert [double(second, number) for number in range(2 * MOST_KEPT)] == [
        2 * number for number in range(2 * MOST_KEPT)
    ]
