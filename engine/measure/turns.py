"""Taking turns: two loaded processes are timed in short slices, one after the other, so that both see the same minute.

A shared machine changes its speed within a second. Processes timed one after the other differ by a tenth for that
reason alone. Slices of some hundredths of a second, of the same queries on both sides, share what happens to the
machine, and the ratio of the two is left.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter_ns
from typing import Protocol

Clock = Callable[[], int]
"""Monotonic nanoseconds."""

ROUND_SECONDS = 0.1
"""How long one turn of every side lasts together."""
SETTLE_SECONDS = 0.008
"""At the start of a turn, queries for so long are kept apart: the other side's threads still spin, its data fill the
caches."""


@dataclass(frozen=True)
class Turn:
    """What a side is told: how many queries its turn lasts, and whether the other side has enough."""

    queries: int
    is_last: bool


class Partner(Protocol):
    """Whoever decides whose turn it is."""

    def hand_over(self, *, enough: bool, query_s: float) -> Turn:
        """Give the turn away and block until it comes back.

        Args:
            enough: whether the own floors are met.
            query_s: how long a query takes, 0 if that is not known.
        """


class Turns:
    """One side's view of the turns.

    Args:
        partner: whoever decides; without one there is nobody to take turns with.
        clock: monotonic nanoseconds.
        leave: called when a turn ends.
        enter: called when the next one begins.
    """

    def __init__(
        self,
        partner: Partner | None = None,
        clock: Clock = perf_counter_ns,
        leave: Callable[[], None] = lambda: None,
        enter: Callable[[], None] = lambda: None,
    ) -> None:
        self._partner, self._clock, self._leave, self._enter = partner, clock, leave, enter
        self._left = 0
        self.ended = partner is None
        """Whether the other side has enough too."""

    def is_due(self) -> bool:
        """Tell, before each query, whether it is the other side's turn."""
        self._left -= 1
        return self._left < 0 and not self.ended

    def change(self, *, enough: bool, query_s: float = 0.0, settle: Callable[[], None] = lambda: None) -> None:
        """Let the other side have its turn; then run ``settle`` for a moment before anything counts."""
        if self._partner is None or self.ended:
            return
        self._leave()
        turn = self._partner.hand_over(enough=enough, query_s=query_s)
        self._enter()
        self.ended, self._left = turn.is_last, turn.queries - 1
        began = self._clock()
        while self._clock() - began < SETTLE_SECONDS * 1e9:
            settle()


def queries_of_a_turn(query_s: Sequence[float]) -> int:
    """Return how many queries a turn lasts, the same for all sides, from the seconds that a query takes on each."""
    whole_s = sum(query_s)
    return max(1, ceil(ROUND_SECONDS / whole_s)) if whole_s > 0 else 1


class ByPipe:
    """The partner of a child process: its parent, who is told by a line and answers with one.

    Args:
        tell: writes a line to the parent.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._words: list[str] = []
        self._heard = threading.Semaphore(0)

    def hear(self, line: str) -> None:
        """Take a line from the parent; called by the thread that reads."""
        self._words.append(line)
        self._heard.release()

    def wait(self) -> Turn:
        """Block, without spinning, until the parent gives a turn."""
        self._heard.acquire()
        word, _, queries = self._words.pop(0).partition(" ")
        return Turn(int(queries or 1), is_last=word == "end")

    def hand_over(self, *, enough: bool, query_s: float) -> Turn:
        """Give the turn away and block, without spinning, until the parent gives it back."""
        self._tell(f"{'enough' if enough else 'more'} {query_s:.9f}")
        return self.wait()
