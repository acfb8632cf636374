import os

from dashboard.pulse import Pulse, cpu_seconds, tree_bytes
from tests.fakes import FakeClock


def test_samples_are_taken_when_somebody_looks_and_not_too_often(clock: FakeClock) -> None:
    pulse = Pulse(clock.now)
    assert len(pulse.look(None, 3)) == 1
    assert len(pulse.look(None, 4)) == 1, "a moment later another one looks"
    clock.advance(2)
    first, second = pulse.look(os.getpid(), 5)
    assert (first.engine_bytes, first.waiting, second.waiting) == (None, 3, 5)
    assert second.engine_bytes is not None
    assert 0 < second.engine_bytes <= second.memory_bytes * 2
    assert first.cpu_percent is None
    assert second.cpu_percent is not None
    assert 0 <= second.cpu_percent <= 100


def test_what_was_busy_since_the_last_look_is_a_share_of_all_cores(clock: FakeClock) -> None:
    worked = iter([(10.0, 100.0), (10.0, 100.0), (13.0, 104.0), (13.0, 106.0)])
    pulse = Pulse(clock.now, lambda: next(worked))
    for _ in range(3):
        samples = pulse.look(None, 0)
        clock.advance(2)
    assert [one.cpu_percent for one in samples] == [None, 75.0, 0.0]


def test_seconds_of_work_only_grow() -> None:
    (busy, whole), (later_busy, later_whole) = cpu_seconds(), cpu_seconds()
    assert 0 < busy <= later_busy
    assert busy < whole <= later_whole


def test_a_process_that_is_gone_has_no_memory() -> None:
    assert tree_bytes(2**22 + 1) is None
    assert tree_bytes(None) is None
