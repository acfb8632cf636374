"""What else the machine did: cores, pinning, speed and moves, from made-up systems and clocks."""

import hashlib
import os
from collections import namedtuple
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from engine.measure import disturbance
from engine.measure.disturbance import CoreTimes, Watch, core_times, migrations, pin, pin_threads, yardstick_ns

Linux = namedtuple("Linux", "user nice system idle iowait irq softirq steal")
FOUR = [Linux(10.0 * core, 1.0, 2.0, 500.0, 70.0, 0.5, 0.25, core * 1.0) for core in range(4)]
EACH = 3.75
"""Seconds each core spent beside its ten times its number; neither idle nor waiting counts."""


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda *, percpu: FOUR if percpu else None)


def fails(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ((0,), CoreTimes(EACH, 0.0, 1)),
        ((1, 3), CoreTimes(40 + 2 * EACH, 4.0, 2)),
        (None, CoreTimes(60 + 4 * EACH, 6.0, 4)),
        ((), CoreTimes(60 + 4 * EACH, 6.0, 4)),
        ((0, 9), CoreTimes(60 + 4 * EACH, 6.0, 4)),  # a container that shows fewer cores than it numbers
    ],
)
def test_only_the_chosen_cores_count(chosen: tuple[int, ...] | None, expected: CoreTimes) -> None:
    assert core_times(chosen) == expected


@pytest.mark.parametrize("error", [PermissionError("/proc/stat"), FileNotFoundError("/proc/stat"), psutil.Error()])
def test_cores_that_may_not_be_read_are_unknown(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", fails(error))
    assert core_times((0,)) is None


def test_a_system_that_shows_no_core_leaves_them_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda *, percpu: [])
    assert core_times((0,)) is core_times(None) is None


def test_a_system_without_steal_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda *, percpu: [SimpleNamespace(user=5.0, system=1.0, idle=9.0)])
    assert core_times(None) == CoreTimes(6.0, 0.0, 1)


def test_a_process_is_held_on_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, tuple[int, ...]]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: asked.append((pid, cores)), raising=False)
    assert pin(1234, (2, 3)) is True
    assert asked == [(1234, (2, 3))]


@pytest.mark.parametrize("cores", [None, ()])
def test_without_cores_nothing_is_asked(cores: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", fails(AssertionError("it was asked")), raising=False)
    assert pin(1234, cores) is False


@pytest.mark.parametrize("error", [PermissionError(), OSError(22, "no such core"), ProcessLookupError()])
def test_a_refusal_is_told_and_not_raised(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", fails(error), raising=False)
    assert pin(1234, (0,)) is False


def test_a_system_that_cannot_pin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert pin(1234, (0,)) is False


def test_the_yardstick_is_the_fastest_of_its_rounds() -> None:
    readings: Iterator[int] = iter([0, 90, 100, 170, 200, 950, 1000, 1080, 2000, 2071])
    assert yardstick_ns(lambda: next(readings)) == 70
    assert next(readings, None) is None, "five rounds of two readings"


def test_the_yardstick_is_always_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []

    def sha256(data: bytes) -> Any:
        hashed.append(data)
        return SimpleNamespace(digest=lambda: b"")

    monkeypatch.setattr(hashlib, "sha256", sha256)
    yardstick_ns(count().__next__)
    yardstick_ns(count().__next__)
    assert len(hashed) == 2 * disturbance.YARDSTICK_ROUNDS
    assert set(hashed) == {bytes(64 * 1024)}


def tasks(folder: Path, *moves: int | None) -> Path:
    """Make a ``/proc/self/task`` of some threads; one without a number was not counted."""
    for number, moved in enumerate(moves):
        thread = folder / str(100 + number)
        thread.mkdir(parents=True)
        line = "" if moved is None else f"se.nr_migrations                             :                   {moved}\n"
        (thread / "sched").write_text(f"python (100, #threads: 1)\nse.exec_start : 1.5\n{line}nr_switches : 12\n")
    return folder


@pytest.mark.parametrize(
    ("moves", "expected"), [((7,), 7), ((7, 0, 5), 12), ((0,), 0), ((None, 4), 4), ((None,), None)]
)
def test_moves_of_all_threads_are_added(moves: tuple[int | None, ...], expected: int | None, tmp_path: Path) -> None:
    assert migrations(tasks(tmp_path / "task", *moves)) == expected


def test_a_kernel_that_does_not_count_moves_leaves_them_unknown(tmp_path: Path) -> None:
    assert migrations(tmp_path / "gone") is None
    (tmp_path / "task" / "100").mkdir(parents=True)
    assert migrations(tmp_path / "task") is None, "a thread without the file"
    (tmp_path / "task" / "100" / "sched").write_text("se.nr_migrations : many\n")
    assert migrations(tmp_path / "task") is None, "a line that is not a number"


def watched(before: int | None, after: int | None, seconds: float, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Return a watch that saw two counts of moves, that far apart."""
    counts, clock = iter([before, after]), iter([1_000, 1_000 + round(seconds * 1e9)])
    monkeypatch.setattr(disturbance, "migrations", lambda: next(counts))
    watch = Watch(clock=lambda: next(clock))
    watch.start()
    return watch


def test_moves_are_told_by_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    assert float(watched(10, 40, 2.0, monkeypatch).arrays()["migrations_per_s"]) == 15.0


@pytest.mark.parametrize(("before", "after", "seconds"), [(None, 5, 1.0), (5, None, 1.0), (5, 9, 0.0)])
def test_moves_that_are_unknown_are_not_zero(
    before: int | None, after: int | None, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert np.isnan(watched(before, after, seconds, monkeypatch).arrays()["migrations_per_s"])


def test_a_thread_that_ended_takes_its_moves_along_but_none_are_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(40, 10, 2.0, monkeypatch).arrays()["migrations_per_s"] == 0.0


def test_a_watch_keeps_one_reading_a_pass() -> None:
    ticks = count(step=50)
    watch = Watch(clock=ticks.__next__)
    watch.start()
    for _ in range(3):
        watch()
    marks = watch.arrays()["yardstick_ns"]
    assert marks.dtype == np.int64
    assert marks.tolist() == [50, 50, 50]


def test_a_watch_that_never_looked_has_no_readings() -> None:
    watch = Watch(clock=count().__next__)
    watch.start()
    assert watch.arrays()["yardstick_ns"].tolist() == []


def test_the_busiest_threads_get_a_core_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for thread, busy_ns in ((11, 500), (12, 9_000), (13, 7_000)):
        (tmp_path / str(thread)).mkdir()
        (tmp_path / str(thread) / "schedstat").write_text(f"{busy_ns} 3 4\n")
    held: dict[int, set[int]] = {}
    monkeypatch.setattr(os, "sched_setaffinity", held.__setitem__, raising=False)
    assert pin_threads((4, 6), tmp_path) == 2
    assert held == {12: {4}, 13: {6}}


@pytest.mark.parametrize("cores", [None, ()])
def test_without_cores_no_thread_is_held(cores: tuple[int, ...] | None, tmp_path: Path) -> None:
    (tmp_path / "11").mkdir()
    (tmp_path / "11" / "schedstat").write_text("1 2 3\n")
    assert pin_threads(cores, tmp_path) == 0


def test_where_threads_are_not_shown_or_not_to_be_held_the_timing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pin_threads((0, 1), tmp_path / "gone") == 0
    (tmp_path / "11").mkdir()
    (tmp_path / "11" / "schedstat").write_text("1 2 3\n")

    def refuse(thread: int, cores: set[int]) -> None:
        raise PermissionError(thread, cores)

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    assert pin_threads((0, 1), tmp_path) == 0
