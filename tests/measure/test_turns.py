"""Taking turns, with a partner that answers from a list."""

from itertools import count

import pytest

from engine.measure.timing import Plan, Query, measure
from engine.measure.turns import SETTLE_SECONDS, ByPipe, Turn, Turns

MS = 1_000_000


class Other:
    """The other side: gives the turn back at once, and has enough after so many turns."""

    def __init__(self, turns: int, queries: int = 3) -> None:
        self.left, self.queries = turns, queries
        self.heard: list[tuple[bool, float]] = []

    def hand_over(self, *, enough: bool, query_s: float) -> Turn:
        self.heard.append((enough, query_s))
        self.left -= 1
        return Turn(self.queries, is_last=self.left <= 0 and enough)


class Work:
    """Queries of 4 ms on a clock of their own; notes what was run."""

    def __init__(self, count: int = 5) -> None:
        self.now = 0
        self.order: list[int] = []
        self.queries = [Query(lambda number=number: number, self._run) for number in range(count)]

    def _run(self, number: object) -> None:
        assert isinstance(number, int)
        self.order.append(number)
        self.now += 4 * MS

    def clock(self) -> int:
        return self.now


def run(other: Other | None, *, iterations: int = 10, stretch: bool = True) -> tuple[Work, int, int]:
    """Return the work, how many queries counted and how many were kept apart."""
    work = Work()
    turns = Turns(other, work.clock)
    samples = measure(work.queries, Plan(1, iterations, 0.0, 0.0), work.clock, turns=turns, stretch=stretch)
    return work, len(samples.run_ns), len(samples.warmup_ns)


def test_alone_nobody_is_asked() -> None:
    work, counted, apart = run(None)
    assert (counted, apart) == (10, 0)
    assert work.order == [0, 1, 2, 3, 4] * 2


def test_a_turn_lasts_as_many_queries_as_was_said() -> None:
    other = Other(turns=1, queries=4)
    _, counted, _ = run(other, iterations=10)
    assert counted == 15, "the turn that says enough comes within the third pass"
    assert [enough for enough, _ in other.heard] == [False, False, False, True]


def test_it_goes_on_until_the_other_side_has_enough_too() -> None:
    other = Other(turns=20)
    _, counted, _ = run(other)
    assert counted % 5 == 0
    assert counted >= 20 * 3 - 5
    assert [enough for enough, _ in other.heard].count(True) > 5


def test_without_stretching_it_ends_when_its_own_floors_are_met() -> None:
    other = Other(turns=20)
    _, counted, _ = run(other, stretch=False)
    assert counted == 10
    assert not any(enough for enough, _ in other.heard)


def test_each_turn_begins_with_queries_that_do_not_count() -> None:
    other = Other(turns=1)
    _, counted, apart = run(other)
    settled = -(-round(SETTLE_SECONDS * 1e9) // (4 * MS))
    assert apart == settled * len(other.heard)
    assert counted == 15


def test_time_of_the_other_side_does_not_count_for_the_seconds() -> None:
    work, other = Work(), Other(turns=1)
    hand_over = other.hand_over

    def slow(*, enough: bool, query_s: float) -> Turn:
        work.now += 1000 * MS
        return hand_over(enough=enough, query_s=query_s)

    other.hand_over = slow
    samples = measure(work.queries, Plan(1, 1, 0.1, 0.0), work.clock, turns=Turns(other, work.clock))
    assert len(samples.run_ns) >= 25, "a tenth of a second of its own"


def test_what_is_metered_pauses_while_the_other_side_works() -> None:
    noted: list[str] = []
    ticks = count(0, 10**9)
    turns = Turns(Other(turns=9), lambda: next(ticks), lambda: noted.append("leave"), lambda: noted.append("enter"))
    turns.change(enough=False)
    assert noted == ["leave", "enter"]


@pytest.mark.parametrize(("line", "turn"), [("go 7", Turn(7, is_last=False)), ("end 2", Turn(2, is_last=True))])
def test_a_parent_s_word_is_a_turn(line: str, turn: Turn) -> None:
    told: list[str] = []
    partner = ByPipe(told.append)
    partner.hear(line)
    assert partner.hand_over(enough=True, query_s=0.0025) == turn
    assert told == ["enough 0.002500000"]
