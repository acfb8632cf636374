"""Every reason to doubt a measurement: one case that fires, one that does not."""

from collections.abc import Iterable

import numpy as np
import pytest

from engine.measure import stability
from engine.measure.processes import ProcessReport
from engine.measure.stability import (
    accuracy_warnings,
    disturbance,
    load_warnings,
    noise,
    numerical_warnings,
    timing_warnings,
)
from engine.results import AccuracyChange, Disturbance, NumericalCheck, Warning
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
    assert codes(timing_warnings(make_latency(**CALM | changes))) == expected


def test_a_median_that_is_not_shown_is_not_warned_of() -> None:
    latency = make_latency(10.0).model_copy(update=CALM | {"p50_ms": None, "ci95_ms": (5.0, 15.0)})
    assert codes(timing_warnings(latency)) == []


@pytest.mark.parametrize(("factor", "expected"), [(0.09, ["short"]), (0.11, [])])
def test_queries_under_a_millisecond(factor: float, expected: list[str]) -> None:
    scaled = {
        name: tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor
        for name, value in CALM.items()
    }
    assert codes(timing_warnings(make_latency(**scaled))) == expected


def report(
    foreign: float | None = 0.0, steal: float | None = 0.0, *, pinned: bool = True, **arrays: object
) -> ProcessReport:
    return ProcessReport({name: np.asarray(value) for name, value in arrays.items()}, None, foreign, steal, pinned)


CALM_PROCESS = report()


@pytest.mark.parametrize(
    ("foreign", "steal", "expected"),
    [(0.10, 0.05, []), (0.11, 0.0, ["noisy"]), (0.0, 0.06, ["noisy"]), (0.5, 0.5, ["noisy"])],
)
def test_load(foreign: float, steal: float, expected: list[str]) -> None:
    seen = disturbance([CALM_PROCESS, report(foreign, steal)])
    assert codes(load_warnings(seen)) == expected
    assert (noise(seen) > 1) == bool(expected), "what is marked noisy is what is timed again"


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        ("foreign_share", stability.FOREIGN_LIMIT),
        ("steal_share", stability.STEAL_LIMIT),
        ("migrations", stability.MIGRATION_LIMIT),
        ("clock_drift", stability.DRIFT_LIMIT),
    ],
)
def test_noise_is_counted_in_limits(field: str, limit: float) -> None:
    """At a limit nothing is said yet; above it the run is noisy, whichever of the four it is."""
    calm = disturbance([CALM_PROCESS])
    at, above = (calm.model_copy(update={field: limit * factor}) for factor in (1.0, 1.01))
    assert (noise(calm), noise(at)) == (0.0, pytest.approx(1.0))
    assert noise(above) == pytest.approx(1.01)
    assert codes(load_warnings(at)) == []
    assert codes(load_warnings(above)) == ["noisy"]


def test_the_worst_of_four_is_the_noise_and_one_warning_names_it() -> None:
    everything = Disturbance(foreign_share=0.2, steal_share=0.5, migrations=50.0, clock_drift=1.0, pinned=True)
    assert noise(everything) == pytest.approx(10)
    assert codes(load_warnings(everything)) == ["noisy"]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"foreign_share": 0.2}, "Other programs used 20%"),
        ({"steal_share": 0.2}, "The hypervisor took away 20%"),
        ({"migrations": 250.0}, "Threads moved between cores 250 times a second"),
        ({"clock_drift": 0.3}, "The cores' speed moved by 30%"),
    ],
)
def test_a_noisy_run_is_told_what_disturbed_it(seen: dict[str, float], words: str) -> None:
    (warning,) = load_warnings(disturbance([CALM_PROCESS]).model_copy(update=seen))
    assert warning.message.startswith(words)
    assert "run it again" in warning.message


def test_of_shares_and_rates_the_worst_process_counts() -> None:
    seen = disturbance([report(0.01, 0.04, migrations_per_s=2.0), report(0.07, 0.02, migrations_per_s=9.0)])
    assert (seen.foreign_share, seen.steal_share, seen.migrations) == (0.07, 0.04, 9.0)


def test_drift_is_told_between_processes_and_not_within_one() -> None:
    """One interrupted reading is no drift: each process stands for itself by its median."""
    one = disturbance([report(yardstick_ns=[100, 100, 900])])
    assert one.clock_drift == 0.0
    two = disturbance([report(yardstick_ns=[100, 101, 900]), report(yardstick_ns=[130, 131, 131]), CALM_PROCESS])
    assert two.clock_drift == pytest.approx(131 / 101 - 1)
    assert codes(load_warnings(two)) == ["noisy"]


def test_what_cannot_be_read_is_unknown_and_not_zero() -> None:
    seen = disturbance([report(None, None, migrations_per_s=np.nan, yardstick_ns=[])])
    assert seen == Disturbance(foreign_share=None, steal_share=None, migrations=None, clock_drift=None, pinned=True)
    assert noise(seen) == 0.0


def test_a_yardstick_a_coarse_clock_cannot_resolve_says_nothing_of_drift() -> None:
    assert disturbance([report(yardstick_ns=[0, 0]), report(yardstick_ns=[0, 0])]).clock_drift is None


def test_one_process_that_could_be_watched_is_enough_to_see_a_load() -> None:
    assert codes(load_warnings(disturbance([report(None, None), report(0.5)]))) == ["noisy"]


def test_a_machine_that_cannot_be_watched_says_so() -> None:
    assert codes(load_warnings(disturbance([report(None)]))) == ["unwatched"]
    stolen = disturbance([report(None, 0.5)])
    assert codes(load_warnings(stolen)) == ["noisy", "unwatched"]


def test_a_process_that_was_not_held_on_its_cores_says_so() -> None:
    assert codes(load_warnings(disturbance([CALM_PROCESS, report(pinned=False)]))) == ["not-pinned"]
    assert codes(load_warnings(disturbance([CALM_PROCESS, CALM_PROCESS]))) == []


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


def test_answers_of_which_none_is_a_number_are_counted_in_no_class() -> None:
    none = np.full(100, -1)
    assert codes(accuracy_warnings(change(0.0), 0.0, none, FINITE * np.nan)) == ["nan"]


def test_without_a_check_there_is_no_alarm() -> None:
    assert codes(numerical_warnings(None, changes_numbers=False)) == []
