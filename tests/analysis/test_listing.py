from dataclasses import replace

import pytest

from engine.analysis.frontier import frontier_info
from engine.analysis.listing import frontier_rows, without_constants
from tests.analysis.rows import text_rows


def test_frontier_rows_begin_with_the_frontier_and_drop_a_constant_model() -> None:
    rows = frontier_rows(frontier_info(text_rows()))
    assert [row["Run"] for row in rows[:4]] == [13, 11, 10, 7]
    assert "Model" not in rows[0]
    other = replace(text_rows()[0], id=50, model="other")
    assert "Model" in frontier_rows(frontier_info([*text_rows(), other]))[0]


def test_an_axis_that_has_no_column_gets_one() -> None:
    rows = frontier_rows(frontier_info(text_rows(), x="peak_memory_bytes"))
    assert rows[0]["Peak memory, MB"] == pytest.approx(310)


def test_a_column_that_says_the_same_of_every_run_is_hidden() -> None:
    rows = text_rows()
    assert "Noise" not in frontier_rows(frontier_info(rows))[0]
    shown = frontier_rows(frontier_info([replace(rows[0], warnings=("noisy",)), *rows[1:]]))
    assert [row["Run"] for row in shown if row["Noise"]] == [rows[0].id]


def test_a_column_that_only_some_rows_have_is_kept() -> None:
    rows = without_constants([{"a": 1, "b": 2}, {"a": 1}], keep=())
    assert rows == [{"b": 2}, {}]


def test_one_row_keeps_everything() -> None:
    assert without_constants([{"a": 1}], keep=()) == [{"a": 1}]


def test_only_some_runs_and_only_the_best_can_be_listed() -> None:
    info = frontier_info(text_rows())
    assert [row["Run"] for row in frontier_rows(info, limit=2)] == [13, 11]
    assert [row["Run"] for row in frontier_rows(info, only={7, 13})] == [13, 7]
