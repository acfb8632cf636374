"""The timing loop itself: warm-up that grows, then whole passes over varied inputs until both floors are met."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Generic, TypeVar

from engine.errors import MeasurementError
from engine.spec import Effort

T = TypeVar("T")
"""What a query prepares and the model takes."""

Clock = Callable[[], int]
"""Monotonic nanoseconds."""


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
    Effort.STANDARD: Plan(pairs=5, min_iterations=200, min_seconds=2.0, warmup_seconds=1.0),
    Effort.RIGOROUS: Plan(pairs=10, min_iterations=400, min_seconds=4.0, warmup_seconds=2.0),
}


@dataclass(frozen=True)
class Query(Generic[T]):
    """One query in its two parts; ``run`` returns when the answer is there."""

    prepare: Callable[[], T]
    run: Callable[[T], object]


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

    Raises:
        MeasurementError: if there is nothing to time.
    """
    if not queries:
        raise MeasurementError("There is nothing to time: the validation split is empty.")
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        warmup = _warm_up(queries, plan, clock)
        run_ns: list[int] = []
        whole_ns: list[int] = []
        begin = clock()
        while len(run_ns) < plan.min_iterations or clock() - begin < plan.min_seconds * 1e9:
            between()
            for query in queries:
                started = clock()
                inputs = query.prepare()
                prepared = clock()
                query.run(inputs)
                ended = clock()
                run_ns.append(ended - prepared)
                whole_ns.append(ended - started)
    finally:
        if collecting:
            gc.enable()
    return Samples(warmup, run_ns, whole_ns)


def _warm_up(queries: Sequence[Query[T]], plan: Plan, clock: Clock) -> list[int]:
    """Run growing rounds of queries until the warm-up time is used; return their times."""
    times: list[int] = []
    begin = clock()
    count = 1
    while clock() - begin < plan.warmup_seconds * 1e9:
        for _ in range(count):
            query = queries[len(times) % len(queries)]
            started = clock()
            query.run(query.prepare())
            times.append(clock() - started)
        count *= 2
    return times
