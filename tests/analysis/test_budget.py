import math
from dataclasses import replace
from types import MappingProxyType

import pytest

from engine.analysis.budget import Budget, judge, miss_sentence, verdict_sentence
from engine.analysis.frontier import frontier_info, reference
from engine.results import Metric
from tests.analysis.rows import Row, text_rows


def without(row: Row, name: str) -> Row:
    return replace(row, metrics=MappingProxyType({key: value for key, value in row.metrics.items() if key != name}))


def test_nothing_asked_lights_nothing() -> None:
    verdict = judge(frontier_info(text_rows()), Budget())
    assert (verdict.passing, verdict.best, verdict.misses) == (frozenset(), None, ())


def test_the_cheapest_run_that_is_good_enough_wins() -> None:
    info = frontier_info(text_rows())
    verdict = judge(info, Budget(x=5.0, drop=0.004))
    assert verdict.best is not None
    assert verdict.best.run.id == 11, "prune-structured + int8-dynamic: 2.4 ms, 0.3 points lost"
    assert verdict.passing == {9, 10, 11}
    assert verdict_sentence(info, verdict).startswith("prune-structured + int8-dynamic · onnxruntime: 2.40 ms")


def test_of_what_can_be_afforded_the_best_answers_win() -> None:
    best = judge(frontier_info(text_rows()), Budget(x=5.0)).best
    assert best is not None
    assert best.run.id == 10, "4.1 ms, 85.7 %"


def test_a_lowest_accuracy_and_a_largest_drop_are_both_kept() -> None:
    info = frontier_info(text_rows())
    assert judge(info, Budget(y=0.857)).passing == {6, 7, 8, 10}
    assert judge(info, Budget(y=0.857, drop=0.0005)).passing == {6, 7}
    assert judge(info, Budget(y=0.857)).y_bound == 0.857


def test_a_run_exactly_at_its_bound_passes() -> None:
    assert 11 in judge(frontier_info(text_rows()), Budget(x=2.4, drop=0.858 - 0.855)).passing


def test_the_nearest_misses_are_named_with_what_they_lack() -> None:
    info = frontier_info(text_rows())
    verdict = judge(info, Budget(x=1.0, y=0.85))
    assert verdict.best is None
    assert verdict.misses[0].point.run.id == 11
    assert len(verdict.misses) == 3
    assert miss_sentence(info, verdict.misses[0]).endswith("latency p50 2.40 ms, 1.40 ms too much")
    assert verdict.misses[0].distance <= verdict.misses[1].distance <= verdict.misses[2].distance


def test_a_miss_on_both_axes_says_both() -> None:
    info = frontier_info(text_rows()[-1:])
    (miss, *_) = judge(info, Budget(x=1.0, y=0.9)).misses
    assert "too much and accuracy 84.6 %, 5.4 points too little" in miss_sentence(info, miss)


def test_more_may_be_better_on_the_first_axis_too() -> None:
    verdict = judge(frontier_info(text_rows(), x="speedup"), Budget(x=5.0))
    assert verdict.passing == {11, 12, 13}


def test_a_drop_where_less_is_better_is_a_rise() -> None:
    info = frontier_info(text_rows(), y="size_bytes")
    verdict = judge(info, Budget(drop=0.0))
    assert verdict.y_bound == 91e6
    assert len(verdict.passing) == 10


def test_a_run_without_its_own_comparison_is_held_against_the_baseline_of_its_model() -> None:
    rows = [without(row, "accuracy_change") for row in text_rows()]
    assert judge(frontier_info(rows), Budget(drop=0.001)).passing == {6, 7, 8, 10}


def test_what_was_compared_with_nothing_has_not_shown_that_it_passes() -> None:
    verdict = judge(frontier_info([without(text_rows()[-1], "accuracy_change")]), Budget(drop=0.5))
    assert verdict.passing == frozenset()
    assert verdict.misses == (), "how far it is from passing is not known"


def test_the_reference_is_the_runs_own_baseline() -> None:
    row = text_rows()[5]
    assert reference(row, "accuracy") == pytest.approx(0.858)
    assert reference(without(row, "accuracy_change"), "accuracy") is None


def test_models_with_other_baselines_share_the_strictest_shade() -> None:
    rows = text_rows()
    numbers = {**rows[0].metrics, "accuracy": Metric(value=0.9), "accuracy_change": Metric(value=0.0)}
    better = replace(rows[0], id=99, model="other", metrics=MappingProxyType(numbers))
    verdict = judge(frontier_info([*rows, better]), Budget(drop=0.01))
    assert verdict.y_bound == pytest.approx(0.89)
    assert {6, 99} <= verdict.passing


def test_an_empty_plot_has_no_verdict() -> None:
    verdict = judge(frontier_info([]), Budget(x=math.pi))
    assert (verdict.best, verdict.misses) == (None, ())
