"""The timing loop itself: warm-up that grows, then whole passes over varied inputs until both floors are met."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import Generic, TypeVar

from engine.errors import MeasurementError
from engine.measure.turns import Clock, Turns
from engine.spec import Effort

T = TypeVar("T")
"""What a query prepares and the model takes."""


@dataclass(frozen=True)
class Plan:
    """How much timing an effort stands for; both floors must be met in every process."""

    pairs: int
    """Fresh process pairs: one of the candidate, one of the baseline."""
    min_iterations: int
    min_seconds: float
    warmup_seconds: float


PLANS = {
    Effort.QUICK: Plan(pairs=3, min_iterations=100, min_seconds=1.0, warmup_seconds=0.5),
    Effort.STANDARD: Plan(pairs=5, min_iterations=200, min_seconds=2.0, warmup_seconds=0.5),
    Effort.RIGOROUS: Plan(pairs=10, min_iterations=400, min_seconds=4.0, warmup_seconds=0.5),
}


@dataclass(frozen=True)
class Query(Generic[T]):
    """One query in its two parts; ``run`` returns when the answer is there."""

    prepare: Callable[[], T]
    run: Callable[[T], object]
    brief: Callable[[T], object] | None = None
    """A short piece of ``run`` that wakes the same threads and caches, where a whole one takes seconds."""

    def settle(self) -> None:
        """Ask what does not count."""
        (self.brief or self.run)(self.prepare())


@dataclass(frozen=True)
class Samples:
    """Raw times of one process, in nanoseconds: ``run_ns`` of the model alone, ``whole_ns`` with preprocessing."""

    warmup_ns: list[int]
    run_ns: list[int]
    whole_ns: list[int]


def measure(
    queries: Sequence[Query[T]],
    plan: Plan,
    clock: Clock = perf_counter_ns,
    between: Callable[[], None] = lambda: None,
    turns: Turns | None = None,
    *,
    stretch: bool = True,
    keep: Callable[[object], None] = lambda _: None,
) -> Samples:
    """Time ``queries`` one after the other (single-stream).

    Warm-up doubles its share of queries (1, 2, 4, ...) until its time is used, and is kept apart. Then the whole list
    is passed over until at least ``min_iterations`` queries and ``min_seconds`` are done; only whole passes are made,
    so that long and short inputs keep their shares. Garbage collection is off while it lasts.

    Args:
        queries: what is asked, in turn.
        plan: the two floors, and the time of the warm-up.
        clock: monotonic nanoseconds.
        between: called before every pass, outside what is timed.
        turns: with whom to take turns.
        stretch: go on with passes until the other side has enough too, so that all of its slices have company.
        keep: takes each answer that counts, outside what is timed.

    Raises:
        MeasurementError: if there is nothing to time.
    """
    if not queries:
        raise MeasurementError("There is nothing to time: the validation split is empty.")
    turns = turns or Turns()
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        warmup = _warm_up(queries, plan, clock)
        loop = _Loop(queries, plan, clock, warmup)
        turns.change(enough=False, query_s=loop.query_s, settle=loop.settle)
        while not loop.enough or (stretch and not turns.ended):
            between()
            for query in queries:
                if turns.is_due():
                    turns.change(enough=stretch and loop.enough, settle=loop.settle)
                keep(loop.ask(query))
    finally:
        if collecting:
            gc.enable()
    return Samples(warmup, loop.run_ns, loop.whole_ns)


class _Loop(Generic[T]):
    """The queries asked so far."""

    def __init__(self, queries: Sequence[Query[T]], plan: Plan, clock: Clock, warmup: list[int]) -> None:
        self._queries, self._plan, self._clock, self._warmup = queries, plan, clock, warmup
        self.run_ns: list[int] = []
        self.whole_ns: list[int] = []
        self._spent_ns = 0

    @property
    def enough(self) -> bool:
        """Tell whether both floors are met; time that belongs to the other side does not count."""
        return len(self.run_ns) >= self._plan.min_iterations and self._spent_ns >= self._plan.min_seconds * 1e9

    @property
    def query_s(self) -> float:
        """Return how long a query took at the end of the warm-up, in seconds."""
        return float(median(self._warmup[len(self._warmup) // 2 :])) / 1e9 if self._warmup else 0.0

    def ask(self, query: Query[T]) -> object:
        """Ask one query, keep its times, return its answer."""
        started = self._clock()
        inputs = query.prepare()
        prepared = self._clock()
        answer = query.run(inputs)
        ended = self._clock()
        self.run_ns.append(ended - prepared)
        self.whole_ns.append(ended - started)
        self._spent_ns += ended - started
        return answer

    def settle(self) -> None:
        """Ask a query that does not count."""
        query = self._queries[len(self._warmup) % len(self._queries)]
        started = self._clock()
        query.settle()
        self._warmup.append(self._clock() - started)


def _warm_up(queries: Sequence[Query[T]], plan: Plan, clock: Clock) -> list[int]:
    """Run growing rounds of queries until the warm-up time is used; return their times."""
    times: list[int] = []
    begin = clock()
    count = 1
    while clock() - begin < plan.warmup_seconds * 1e9:
        for _ in range(count):
            query = queries[len(times) % len(queries)]
            started = clock()
            query.settle()
            times.append(clock() - started)
        count *= 2
    return times
