"""A part that dies: how long it is waited for, what is said and counted, and what ends the waiting."""

import logging
from collections.abc import Callable, Iterator

import pytest

from engine.errors import StoreError, SubsecondError
from engine.supervision import FORGOTTEN_AFTER_S, LONGEST_WAIT_S, Restarts, Supervisor, survive
from tests.fakes import FakeClock


class Part:
    """A part whose lives last as long as told; then it ends as asked."""

    def __init__(self, clock: FakeClock, *lives_s: float, stopped_in_wait: int | None = None) -> None:
        self._clock, self._stopped_in_wait = clock, stopped_in_wait
        self._lives_s: Iterator[float] = iter(lives_s)
        self.waits_s: list[float] = []
        self.begun = 0

    def live(self) -> str | None:
        self.begun += 1
        lived_s = next(self._lives_s, None)
        if lived_s is None:
            return None
        self._clock.advance(lived_s)
        return "it was killed"

    def wait(self, seconds: float) -> bool:
        self.waits_s.append(seconds)
        self._clock.advance(seconds)
        return len(self.waits_s) == self._stopped_in_wait


Keep = Callable[[Part], Restarts]


@pytest.fixture
def keep(clock: FakeClock) -> Keep:
    """Keep a part alive to its end; return what was counted."""

    def run(part: Part) -> Restarts:
        restarts = Restarts()
        Supervisor("page", clock, part.wait, restarts).keep(part.live)
        return restarts

    return run


def test_a_part_that_ends_as_asked_is_not_started_again(clock: FakeClock, keep: Keep) -> None:
    part = Part(clock)
    assert keep(part) == {"page": 0}
    assert (part.begun, part.waits_s) == (1, [])


def test_it_is_waited_for_twice_as_long_each_time_up_to_a_minute(clock: FakeClock, keep: Keep) -> None:
    part = Part(clock, *[0.1] * 8)
    assert keep(part) == {"page": 8}
    assert part.waits_s == [1, 2, 4, 8, 16, 32, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_part_that_lived_for_a_minute_is_waited_for_as_at_first(clock: FakeClock, keep: Keep) -> None:
    part = Part(clock, 0, 0, FORGOTTEN_AFTER_S - 1, FORGOTTEN_AFTER_S, 0)
    keep(part)
    assert part.waits_s == [1, 2, 4, 1, 2]


def test_who_asks_for_the_end_while_it_waits_is_heard(clock: FakeClock, keep: Keep) -> None:
    part = Part(clock, *[0.1] * 8, stopped_in_wait=2)
    assert keep(part) == {"page": 1}
    assert part.begun == 2


def test_what_happened_is_said(clock: FakeClock, keep: Keep, caplog: pytest.LogCaptureFixture) -> None:
    keep(Part(clock, 0, 0))
    assert caplog.messages == [
        "The page ended: it was killed. It is started again in 1 s.",
        "The page ended: it was killed. It is started again in 2 s.",
    ]


def break_down(error: BaseException) -> None:
    raise error


def test_what_breaks_is_told_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    assert survive(lambda: None, lambda _: False) is None
    assert survive(lambda: break_down(KeyError("x")), lambda _: False) == "KeyError: 'x'"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), StoreError("It is gone.")])
def test_what_is_fatal_goes_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        survive(lambda: break_down(error), lambda found: isinstance(found, SubsecondError))
