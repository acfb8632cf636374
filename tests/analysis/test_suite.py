from types import MappingProxyType

import pytest

from engine.analysis.suite import across_models, same_conditions, suite_rows
from engine.results import Metric
from tests.analysis.rows import Row, row_of
from tests.dashboard.samples import sample_records
from tests.fakes import make_context


def run(
    number: int,
    model: str,
    speedup: float | None,
    change: float | None = 0.0,
    *,
    techniques: str = "int8-dynamic(per_channel=True)",
    backend: str = "onnxruntime",
) -> Row:
    metrics = {"speedup": Metric(value=speedup), "accuracy_change": Metric(value=change)}
    return Row(number, model, techniques, backend, "context", MappingProxyType(metrics))


def test_a_variant_has_the_geometric_mean_of_its_models_and_their_worst_change() -> None:
    (row,) = across_models([run(1, "a", 2.0, -0.01), run(2, "b", 8.0, 0.02), run(3, "c", 4.0, -0.03)])
    assert row.variant == "int8-dynamic · onnxruntime"
    assert row.speedup == pytest.approx(4.0)  # the cube root of 2 * 8 * 4
    assert (row.worst_change, row.models) == (-0.03, ("a", "b", "c"))


def test_one_variant_that_is_twice_as_fast_here_and_half_as_fast_there_buys_nothing() -> None:
    (row,) = across_models([run(1, "a", 2.0), run(2, "b", 0.5)])
    assert row.speedup == pytest.approx(1.0)


def test_the_latest_run_of_each_model_counts_whatever_its_parameters() -> None:
    later = run(9, "a", 3.0, techniques="int8-dynamic(per_channel=False)")
    (row,) = across_models([later, run(1, "a", 100.0, -0.5), run(2, "b", 12.0)])
    assert row.speedup == pytest.approx(6.0)  # the square root of 3 * 12
    assert row.worst_change == 0.0


def test_a_variant_of_one_model_and_the_baseline_itself_are_no_suite() -> None:
    alone = [run(1, "a", 2.0), run(2, "a", 3.0)]
    baselines = [run(3, model, 1.0, techniques="", backend="torch(threads=2)") for model in ("a", "b")]
    assert across_models([*alone, *baselines]) == []
    assert across_models([]) == []


@pytest.mark.parametrize("speedup", [None, 0.0, float("nan"), float("inf")])
def test_a_run_without_a_usable_speed_up_does_not_count(speedup: float | None) -> None:
    assert across_models([run(1, "a", 2.0), run(2, "b", speedup)]) == []


def test_the_fastest_comes_first_and_an_unknown_change_stays_unknown() -> None:
    pruned = [run(number, model, 9.0, techniques="prune-structured") for number, model in ((1, "a"), (2, "b"))]
    rows = suite_rows(across_models([run(3, "a", 2.0), run(4, "b", 2.0, None), *pruned]))
    assert [row["Variant"] for row in rows] == ["prune-structured · onnxruntime", "int8-dynamic · onnxruntime"]
    assert rows[1] | {"Speed-up": 0} == {
        "Variant": "int8-dynamic · onnxruntime",
        "Speed-up": 0,
        "Worst change": "n/a",
        "Models": 2,
        "Measured on": "a, b",
    }


def test_a_whole_sweep_of_two_models_has_its_common_variants() -> None:
    rows = {row.variant: row for row in across_models([row_of(record) for record in sample_records()])}
    assert set(rows) == {
        "no technique · onnxruntime",
        "int8-dynamic · onnxruntime",
        "prune-magnitude · onnxruntime",
        "distill + int8-dynamic · onnxruntime",
    }
    expected = ((15.3 / 3.2) * (0.131 / 0.031)) ** 0.5
    assert rows["int8-dynamic · onnxruntime"].speedup == pytest.approx(expected)
    assert rows["int8-dynamic · onnxruntime"].worst_change == pytest.approx(-0.003)


def test_conditions_are_the_same_where_only_the_question_differs() -> None:
    chosen = make_context()
    other_data = make_context(dataset="movie-reviews", samples=7, input_shape="tokens")
    others = [
        make_context(**change)
        for change in ({"machine": "m-2"}, {"threads": 1}, {"scenario": "offline"}, {"batch_size": 8})
    ]
    assert same_conditions([chosen, other_data, *others], chosen) == [chosen, other_data]
