"""The instrument against itself: a tiny model, inference in this process, and machines that lie in a known way."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine import selfcheck
from engine.measure import stability
from engine.measure.jobs import InferenceJob
from engine.measure.processes import Launcher, ProcessReport
from engine.measure.timing import PLANS
from engine.results import Disturbance, Ratio, SelfCheck
from engine.selfcheck import (
    CLOCK_TOLERANCE,
    PLANS_OF_HOG,
    SLOWDOWN,
    Comparison,
    Instrument,
    busy_core,
    clock_check,
    examine,
    hog_check,
    quiet_check,
    same_check,
    slower_check,
    timer_check,
)
from engine.spec import Effort
from tests.runs import furnished, make_spec

CALM = Disturbance(foreign_share=0.01, steal_share=0.0, migrations=2.0, clock_drift=0.01, pinned=True)
NAMES = [
    "Clock",
    "Independent timer",
    "Quiet machine",
    "Same against same",
    "Slowed by 10% on purpose",
    "A program beside it",
]


class Machine:
    """Times as a real process would: 2 ms a query, slower by what the job asks, with the foreign loads it is given.

    Args:
        foreign: shares by process, the last one for all that follow; ``hogged`` adds to them.
        noise: relative standard deviation within a process.
        blind: forgets to slow down, so that a known difference is not there to be found.
    """

    def __init__(self, *foreign: float | None, noise: float = 0.01, blind: bool = False) -> None:
        self.foreign, self.noise, self.blind = foreign or (0.0,), noise, blind
        self.jobs: list[InferenceJob] = []
        self.hogged = 0.0

    def __call__(self, jobs: Sequence[InferenceJob]) -> list[ProcessReport]:
        return [self.one(job) for job in jobs]

    def one(self, job: InferenceJob) -> ProcessReport:
        self.jobs.append(job)
        base = 2e6 * (1 + (0 if self.blind else job.slowdown))
        run_ns = (base * np.random.default_rng(len(self.jobs)).normal(1, self.noise, 200)).astype(np.int64)
        share = self.foreign[min(len(self.jobs), len(self.foreign)) - 1]
        arrays: dict[str, Any] = {"yardstick_ns": np.asarray([100, 101]), "queries": np.asarray(100)}
        arrays |= {"run_ns": run_ns, "whole_ns": run_ns}
        if job.mode == "agree":
            arrays = {"run_ns": run_ns, "timeit_ns": run_ns * 1.01}
        return ProcessReport(arrays, None, None if share is None else share + self.hogged, 0.0, bool(job.cores))

    @contextmanager
    def hog(self) -> Iterator[None]:
        """Put a program beside what is timed."""
        self.hogged = 0.5
        yield
        self.hogged = 0.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with furnished(tmp_path_factory.mktemp("home"), head=True) as folder:
        yield folder


@pytest.fixture
def build(home: Path, tmp_path: Path) -> Callable[..., Instrument]:
    """Return what makes an instrument on a machine; its artifact is built once and then cached."""

    def make(machine: Launcher) -> Instrument:
        return Instrument(make_spec(home, backend="torch"), tmp_path, launch=machine)

    return make


def test_both_sides_are_the_same_artifact_and_one_is_slowed(build: Callable[..., Instrument]) -> None:
    machine = Machine()
    build(machine).compare(0.3)
    assert len({job.artifact for job in machine.jobs}) == 1
    assert [job.slowdown for job in machine.jobs] == [0, 0.3, 0.3, 0, 0, 0.3]
    assert {job.plan for job in machine.jobs} == {PLANS[Effort.QUICK]}
    assert all(job.cores is None or len(job.cores) == 1 for job in machine.jobs), "one thread, one core"


def test_a_thing_against_itself_is_tied(build: Callable[..., Instrument]) -> None:
    comparison = build(Machine()).compare()
    assert comparison.p50_ms == pytest.approx(2, rel=0.01)
    assert not comparison.retried
    check = same_check(comparison)
    assert check.passed
    assert check.seen.endswith("tied")
    assert check.values["ratio"] == pytest.approx(1, abs=0.01)


def test_a_known_slowdown_is_found_and_lies_in_the_interval(build: Callable[..., Instrument]) -> None:
    check = slower_check(build(Machine()).compare(SLOWDOWN), SLOWDOWN)
    assert check.passed
    assert check.seen.endswith("found, inside")
    assert check.values["true"] == pytest.approx(1.1)
    assert check.values["ci95_low"] < 1.1 < check.values["ci95_high"]


def test_an_instrument_that_cannot_see_a_slowdown_fails(build: Callable[..., Instrument]) -> None:
    check = slower_check(build(Machine(blind=True)).compare(SLOWDOWN), SLOWDOWN)
    assert not check.passed
    assert check.seen.endswith("not found, outside")


def compared(value: float, ci95: tuple[float, float] | None, seen: Disturbance = CALM) -> Comparison:
    return Comparison(Ratio(value=value, ci95=ci95, pairs=3), seen, 2.0, retried=False)


@pytest.mark.parametrize(
    ("value", "ci95", "passed", "words"),
    [
        (1.10, (1.08, 1.12), True, "found, inside"),
        (1.05, (0.95, 1.15), False, "not found, inside"),
        (1.20, (1.15, 1.25), False, "found, outside"),
        (1.00, (0.98, 1.02), False, "not found, outside"),
        (1.10, None, False, "not found, outside"),
    ],
)
def test_a_slowdown_must_be_found_and_be_of_the_right_size(
    value: float, ci95: tuple[float, float] | None, passed: bool, words: str
) -> None:
    check = slower_check(compared(value, ci95), 0.10)
    assert check.passed is passed
    assert check.seen.endswith(f": {words}")


@pytest.mark.parametrize(
    ("value", "ci95", "passed"),
    [
        (1.0, (0.98, 1.02), True),
        (1.005, (1.002, 1.008), True),  # below 1 % nothing is called a difference
        (1.05, (1.02, 1.08), False),
        (0.95, (0.92, 0.98), False),
        (1.05, None, True),
    ],
)
def test_the_same_may_not_differ_from_itself(value: float, ci95: tuple[float, float] | None, passed: bool) -> None:
    assert same_check(compared(value, ci95)).passed is passed


@pytest.mark.parametrize(("theirs", "passed"), [(2.0, True), (2.05, True), (1.95, True), (2.2, False), (1.8, False)])
def test_two_timers_must_agree(theirs: float, passed: bool) -> None:
    check = timer_check(2.0, theirs)
    assert check.passed is passed
    assert check.values["difference"] == pytest.approx(2.0 / theirs - 1)


def test_the_other_timer_is_asked_of_the_same_artifact(build: Callable[..., Instrument]) -> None:
    machine = Machine()
    ours, theirs = build(machine).timer_difference(iterations=50)
    assert ours == pytest.approx(2, rel=0.01)
    assert theirs == pytest.approx(ours * 1.01)
    (job,) = machine.jobs
    assert (job.mode, job.min_iterations, job.slowdown) == ("agree", 50, 0.0)


@pytest.mark.parametrize(
    ("changes", "passed", "words"),
    [
        ({}, True, "1.0% of the cores"),
        ({"foreign_share": 0.2}, False, "20.0% of the cores"),
        ({"clock_drift": 0.5}, False, "clock drift 50.0%"),
        ({"foreign_share": None, "clock_drift": None}, True, "cannot be read"),
    ],
)
def test_a_machine_must_be_quiet(changes: dict[str, Any], passed: bool, words: str) -> None:
    check = quiet_check(CALM.model_copy(update=changes))
    assert check.passed is passed
    assert words in check.seen


@pytest.mark.parametrize(
    ("share", "passed", "words"),
    [
        (0.5, True, "50% of the cores: noisy"),
        (0.05, False, "not noticed"),
        (None, False, "cannot be read: not noticed"),
    ],
)
def test_a_program_beside_it_must_be_noticed(share: float | None, passed: bool, words: str) -> None:
    check = hog_check(CALM.model_copy(update={"foreign_share": share}))
    assert check.passed is passed
    assert check.seen.endswith(words)
    assert check.values == {"foreign_share": share}


def stepping(step_ns: int) -> Callable[[], int]:
    """Return a clock that moves by a fixed step at every reading."""
    readings = count(step=step_ns)
    return lambda: next(readings)


def test_a_fine_clock_passes() -> None:
    check = clock_check(2.0, stepping(50))
    assert check.passed
    assert (check.values["resolution_ns"], check.values["overhead_ns"]) == (50, 50)
    assert check.values["share"] == pytest.approx(50 / 2e6)


@pytest.mark.parametrize(("p50_ms", "passed"), [(1.0, False), (1000.0, True)])
def test_a_clock_too_coarse_for_a_query_fails(p50_ms: float, passed: bool) -> None:
    """Steps of a millisecond, a hundred readings each: empty queries cost nothing, the step is what counts."""
    readings = count()
    check = clock_check(p50_ms, lambda: next(readings) // 100 * 1_000_000)
    assert check.values["resolution_ns"] == 1_000_000
    assert check.values["share"] == pytest.approx(1 / p50_ms)
    assert check.passed is passed is (1 / p50_ms < CLOCK_TOLERANCE)


def test_a_clock_that_costs_too_much_fails() -> None:
    assert not clock_check(0.001, stepping(500)).passed


def test_a_clock_that_goes_backwards_fails() -> None:
    readings = count()

    def clock() -> int:
        number = next(readings)
        return number * 50 - (1_000 if 500 < number < 510 else 0)

    check = clock_check(2.0, clock)
    assert check.values["share"] < CLOCK_TOLERANCE
    assert not check.passed


def test_a_clock_that_stands_still_fails() -> None:
    check = clock_check(2.0, lambda: 7)
    assert not check.passed
    assert "inf" in check.seen


def test_what_is_noisy_is_compared_again_and_the_quieter_is_kept(build: Callable[..., Instrument]) -> None:
    loud = Machine(*[0.6] * 6, 0.3)
    comparison = build(loud).compare()
    assert (comparison.retried, comparison.seen.foreign_share, comparison.noisy) == (True, 0.3, True)
    assert len(loud.jobs) == 12
    louder = Machine(*[0.3] * 6, 0.6)
    comparison = build(louder).compare()
    assert (comparison.retried, comparison.seen.foreign_share) == (False, 0.3)
    passing = Machine(*[0.6] * 6, 0.0)
    assert not build(passing).compare().noisy


def test_what_is_quiet_or_need_not_be_is_compared_once(build: Callable[..., Instrument]) -> None:
    quiet, loud = Machine(), Machine(0.9)
    build(quiet).compare()
    build(loud).compare(retry=False)
    assert len(quiet.jobs) == len(loud.jobs) == 6


def test_everything_is_examined_in_order(build: Callable[..., Instrument]) -> None:
    machine = Machine()
    checks = list(examine(build(machine), hog=machine.hog, clock=stepping(50)))
    assert [check.name for check in checks] == NAMES
    assert all(check.passed for check in checks), [check.seen for check in checks]
    hogged = machine.jobs[-2:]
    assert {job.min_seconds for job in hogged} == {PLANS_OF_HOG.min_seconds}
    assert [job.slowdown for job in hogged] == [0, 0], "one pair of the plain artifact"
    assert machine.hogged == 0.0, "the hog is gone"


def test_a_machine_that_is_blind_for_others_is_found_out(build: Callable[..., Instrument]) -> None:
    machine = Machine(None)
    checks = {check.name: check.passed for check in examine(build(machine), hog=machine.hog, clock=stepping(50))}
    assert [name for name, passed in checks.items() if not passed] == ["A program beside it"]


class Programs:
    """Stands for ``Popen``: notes on which core each program was put, and what became of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cores: dict[int, tuple[int, ...] | None] = {}
        self.fates: list[str] = []
        monkeypatch.setattr(subprocess, "Popen", self._start)
        monkeypatch.setattr(selfcheck, "pin", self.cores.__setitem__)

    def _start(self, command: list[str]) -> SimpleNamespace:
        return SimpleNamespace(
            pid=len(self.cores), kill=lambda: self.fates.append("killed"), wait=lambda: self.fates.append("waited")
        )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 10, 16, 64])
def test_enough_timed_cores_are_hogged_to_be_noticed_when_they_are_shared(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, cores = Programs(monkeypatch), tuple(range(5, 5 + count))
    with busy_core(cores):
        hogged = [core for chosen in programs.cores.values() for core in chosen or ()]
        assert len(set(hogged)) == len(hogged)
        assert set(hogged) <= set(cores)
        assert 0.5 * len(hogged) / count > stability.FOREIGN_LIMIT


def test_without_cores_one_program_runs_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch)
    with busy_core():
        assert programs.cores == {0: None}


def test_a_hog_is_gone_afterwards_even_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(monkeypatch)

    def fail() -> None:
        with busy_core(tuple(range(4))):
            assert programs.fates == []
            raise KeyError("while it was timed")

    with pytest.raises(KeyError):
        fail()
    assert programs.fates == ["killed", "waited"] * 2


def test_a_selfcheck_says_where_and_with_what(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    scratches: list[Path] = []

    def on(spec: Any, scratch: Path, report: Any, cache: Any) -> Instrument:
        scratches.append(scratch)
        return Instrument(spec, scratch, report, cache, machine)

    monkeypatch.setattr(selfcheck, "Instrument", on)
    monkeypatch.setattr(selfcheck, "busy_core", lambda cores: machine.hog())
    said: list[str] = []
    spec = make_spec(home, backend="torch")
    result = selfcheck.selfcheck(spec, lambda share, text: said.append(text))
    assert [check.name for check in result.checks] == NAMES
    assert (result.model, result.backend, result.effort) == (spec.model, spec.label(), Effort.QUICK)
    assert result.machine == result.environment.machine
    assert SelfCheck.model_validate_json(result.model_dump_json()) == result
    assert "pair 1 of 3" in said
    assert not scratches[0].exists()
