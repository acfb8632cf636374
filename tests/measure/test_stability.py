"""Every reason to doubt a measurement: one case that fires, one that does not."""

from collections.abc import Iterable

import numpy as np
import pytest

from engine.measure.processes import ProcessReport
from engine.measure.stability import accuracy_warnings, load_warnings, numerical_warnings, timing_warnings
from engine.results import AccuracyChange, NumericalCheck, Warning
from tests.fakes import make_latency

CALM = {
    "p50_ms": 10.0,
    "mean_ms": 10.0,
    "std_ms": 0.5,
    "min_ms": 9.0,
    "max_ms": 12.0,
    "ci95_ms": (9.95, 10.05),
}


def codes(warnings: Iterable[Warning]) -> list[str]:
    found = list(warnings)
    assert all(warning.message.endswith(".") for warning in found)
    return [warning.code for warning in found]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"std_ms": 1.0}, ["unstable"]),
        ({"std_ms": 0.99}, []),
        ({"max_ms": 15.0}, ["wide-range"]),
        ({"max_ms": 14.9}, []),
        ({"min_ms": 5.0}, ["wide-range"]),
        ({"min_ms": 5.1}, []),
        ({"ci95_ms": (9.8, 10.1)}, ["few-processes"]),
        ({"ci95_ms": (9.9, 10.1)}, []),
        ({"ci95_ms": None}, []),
    ],
)
def test_timing(changes: dict[str, object], expected: list[str]) -> None:
    assert codes(timing_warnings(make_latency(**CALM | changes))) == expected  # type: ignore[arg-type]


def test_a_median_that_is_not_shown_is_not_warned_of() -> None:
    latency = make_latency(10.0).model_copy(update=CALM | {"p50_ms": None, "ci95_ms": (5.0, 15.0)})
    assert codes(timing_warnings(latency)) == []


@pytest.mark.parametrize(("factor", "expected"), [(0.09, ["short"]), (0.11, [])])
def test_queries_under_a_millisecond(factor: float, expected: list[str]) -> None:
    scaled = {
        name: tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor
        for name, value in CALM.items()
    }
    assert codes(timing_warnings(make_latency(**scaled))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("foreign", "steal", "expected"),
    [(0.10, 0.05, []), (0.11, 0.0, ["noisy"]), (0.0, 0.06, ["noisy"]), (0.5, 0.5, ["noisy"])],
)
def test_load(foreign: float, steal: float, expected: list[str]) -> None:
    reports = [ProcessReport({}, None, 0.0, 0.0), ProcessReport({}, None, foreign, steal)]
    assert codes(load_warnings(reports)) == expected


def change(value: float) -> AccuracyChange:
    return AccuracyChange(value=value, flips=0, gained=0, lost=0, agreement=1, p_value=1)


MIXED = np.arange(100) % 2
FINITE = np.zeros((100, 2), np.float32)


@pytest.mark.parametrize(("value", "expected"), [(-0.091, ["collapse"]), (-0.089, []), (0.5, []), (-0.9, ["collapse"])])
def test_a_loss_of_a_tenth_is_an_alarm(value: float, expected: list[str]) -> None:
    assert codes(accuracy_warnings(change(value), 0.9, MIXED, FINITE)) == expected


def test_a_baseline_that_knows_nothing_cannot_collapse() -> None:
    assert codes(accuracy_warnings(change(0.0), 0.0, MIXED, FINITE)) == []


@pytest.mark.parametrize(("ones", "expected"), [(96, ["one-class"]), (95, []), (100, ["one-class"])])
def test_one_answer_to_everything_is_an_alarm(ones: int, expected: list[str]) -> None:
    predictions = np.array([1] * ones + [0] * (100 - ones))
    assert codes(accuracy_warnings(change(0), 0.9, predictions, FINITE)) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_counted(bad: float) -> None:
    logits = FINITE.copy()
    logits[3] = bad
    found = list(accuracy_warnings(change(0), 0.9, MIXED, logits))
    assert codes(found) == ["nan"]
    assert found[0].message.startswith("1.0% of the answers")


@pytest.mark.parametrize(
    ("agreement", "changes_numbers", "expected"),
    [(0.97, False, ["numerical"]), (0.98, False, []), (0.5, True, [])],
)
def test_an_export_that_changes_answers_unasked_is_an_alarm(
    agreement: float, changes_numbers: bool, expected: list[str]
) -> None:
    check = NumericalCheck(max_abs_difference=1, agreement=agreement, samples=64)
    assert codes(numerical_warnings(check, changes_numbers=changes_numbers)) == expected


def test_an_export_without_numbers_is_an_alarm_too() -> None:
    check = NumericalCheck(max_abs_difference=None, agreement=0.5, samples=64)
    assert codes(numerical_warnings(check, changes_numbers=False)) == ["numerical"]


def test_without_a_check_there_is_no_alarm() -> None:
    assert codes(numerical_warnings(None, changes_numbers=False)) == []
