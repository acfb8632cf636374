"""Server: queries arrive at random, at a rate; a latency counts from the moment a query was due, so queueing counts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import MeasurementError
from engine.measure.paired import Timed
from engine.measure.timing import Query, measure
from engine.measure.turns import Clock
from engine.results import ServerResult
from engine.scenarios.base import Arrays, Bench, Reading, Scenario, ScenarioOptions

PERCENTILE = 95.0
"""MLPerf's servers keep their bound at the 99th percentile; that needs 662 queries a trial, this 130."""
MIN_ARRIVALS = 200
LASTING_BOUNDS = 10
"""Arrivals go on for this many bounds at least: in a shorter stretch no queue grows long enough to break one."""
PRECISION = 1.05
"""The search ends when the highest rate that meets the bound is known to 5 %."""
LOWEST_SHARE = 1 / 32
"""The search starts between this share of the capacity and the whole."""
SPIN_S = 0.0005
"""The last stretch before an arrival is waited for awake, because sleeping ends late."""


class ServerOptions(ScenarioOptions):
    """Options of the server scenario."""

    bound_ms: float = Field(
        default=100.0,
        gt=0,
        le=60_000,
        title="Latency bound",
        description="19 of 20 queries have to be answered within this time of their arrival",
        json_schema_extra={"unit": "ms"},
    )
    rate_per_s: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        title="Arrivals a second",
        description="Mean rate of a Poisson process; 0 searches the highest rate that meets the bound",
        json_schema_extra={"unit": "1/s"},
    )


@dataclass(frozen=True)
class Late:
    """How many answers may come after the bound before a trial is lost."""

    bound_ms: float
    allowed: int


@dataclass(frozen=True)
class Trial:
    """What became of one stretch of arrivals."""

    rate_per_s: float
    latency_ns: tuple[int, ...]
    complete: bool
    """Whether it was served to its end."""

    def meets(self, bound_ms: float) -> bool:
        """Tell whether the percentile lies within the bound."""
        return self.complete and float(np.percentile(self.latency_ns, PERCENTILE)) <= bound_ms * 1e6


class Server(Scenario[ServerOptions]):
    """One server, a queue before it, Poisson arrivals."""

    name = "server"
    title = "Server"
    summary = "Queries arrive at random and queue; the number is the highest rate that keeps a latency bound."
    options_type = ServerOptions
    headline = "max_rate_per_s"

    def label(self, options: ServerOptions) -> str:
        """Name the bound, and the rate if it is given."""
        bound = f"server, {PERCENTILE:.0f} % within {options.bound_ms:g} ms"
        return f"{bound}, {options.rate_per_s:g} queries/s" if options.rate_per_s else bound

    def time(self, bench: Bench, options: ServerOptions) -> Arrays:
        """Serve the asked rate, or search the highest that meets the bound by bisection."""
        queries = bench.queries(0)
        alone = measure(queries, replace(bench.plan, min_iterations=1, min_seconds=0.0), bench.clock, bench.between)
        lasting_s = max(bench.plan.min_seconds, LASTING_BOUNDS * options.bound_ms / 1e3)

        def attempt(rate_per_s: float) -> Trial:
            if bench.turns is not None:  # a queue cannot be cut into slices; whole trials take turns
                bench.turns.change(enough=False)
            bench.between()
            count = max(MIN_ARRIVALS, bench.plan.min_iterations, math.ceil(rate_per_s * lasting_s))
            late = None if options.rate_per_s else Late(options.bound_ms, math.ceil(count * (1 - PERCENTILE / 100)))
            due = arrivals(rate_per_s, count, bench.seed)
            return serve(queries, rate_per_s, due, late, clock=bench.clock, sleep=bench.sleep)

        capacity = 1e9 / float(np.mean(alone.whole_ns))
        asked = options.rate_per_s
        best = attempt(asked) if asked else highest_rate(attempt, capacity, options.bound_ms)
        return {
            "warmup_ns": np.asarray(alone.warmup_ns, dtype=np.int64),
            "alone_ns": np.asarray(alone.whole_ns, dtype=np.int64),
            "run_ns": np.asarray(best.latency_ns, dtype=np.int64),
            "whole_ns": np.asarray(best.latency_ns, dtype=np.int64),
            "rate_per_s": np.asarray(best.rate_per_s),
            "met": np.asarray(best.meets(options.bound_ms)),
        }

    def read(self, timed: Timed, batch_size: int, options: ServerOptions) -> Reading:
        """Return latencies from arrival to answer, preprocessing included, and the rate that was kept."""
        pace = [np.asarray([1 / rate]) for rate in _rates(timed)]
        seconds = timed.seconds()
        if options.rate_per_s:
            return Reading(seconds, seconds, pace, seconds)
        if not all(bool(report.arrays["met"]) for report in timed.reports):
            alone_ms, served_ms = (
                float(np.percentile(np.concatenate(times), PERCENTILE)) * 1e3
                for times in (timed.seconds("alone_ns"), seconds)
            )
            raise MeasurementError(
                f"No rate keeps {PERCENTILE:.0f} % of the queries of '{timed.name}' within {options.bound_ms:g} ms: "
                f"one after the other they take up to {alone_ms:.3g} ms, as they arrive {served_ms:.3g} ms. Choose a "
                f"bound of {math.ceil(max(3 * alone_ms, 1.5 * options.bound_ms))} ms or more."
            )
        return Reading(seconds, seconds, pace, pace)

    def server(self, candidate: Timed, baseline: Timed, options: ServerOptions) -> ServerResult:
        """Return the rates of both sides, and whether they kept the bound."""
        return ServerResult(
            bound_ms=options.bound_ms,
            percentile=PERCENTILE,
            searched=not options.rate_per_s,
            rate_per_s=float(np.median(_rates(candidate))),
            baseline_rate_per_s=float(np.median(_rates(baseline))),
            met=all(bool(report.arrays["met"]) for report in candidate.reports),
            baseline_met=all(bool(report.arrays["met"]) for report in baseline.reports),
        )


def arrivals(rate_per_s: float, count: int, seed: int) -> NDArray[np.float64]:
    """Return the seconds at which the queries of a Poisson process are due, ``(count,)``.

    Two rates with one seed give the same pattern, only denser, so that the search compares like with like.
    """
    waits = np.random.default_rng(seed).exponential(1.0, count)
    due: NDArray[np.float64] = np.cumsum(waits) / rate_per_s
    return due


def serve(
    queries: Sequence[Query[Any]],
    rate_per_s: float,
    due_s: NDArray[np.float64],
    late: Late | None = None,
    *,
    clock: Clock,
    sleep: Callable[[float], None],
) -> Trial:
    """Answer queries in the order of their arrival, one at a time; latency counts from the moment each was due.

    Args:
        queries: what is asked, in turn.
        rate_per_s: the rate that ``due_s`` was drawn for.
        due_s: seconds from now at which each query arrives, ascending.
        late: when to end the trial because it cannot meet its bound any more; without it, it is served to its end.
        clock: monotonic nanoseconds.
        sleep: waits for so many seconds.
    """
    begin, too_late = clock(), 0
    latencies: list[int] = []
    for number, due in enumerate((due_s * 1e9).astype(np.int64).tolist()):
        arrival = begin + due
        _wait_until(arrival, clock, sleep)
        query = queries[number % len(queries)]
        query.run(query.prepare())
        latencies.append(clock() - arrival)
        too_late += late is not None and latencies[-1] > late.bound_ms * 1e6
        if late is not None and too_late > late.allowed:
            return Trial(rate_per_s, tuple(latencies), complete=False)
    return Trial(rate_per_s, tuple(latencies), complete=True)


def highest_rate(attempt: Callable[[float], Trial], capacity_per_s: float, bound_ms: float) -> Trial:
    """Return the trial of the highest rate that meets the bound, found by bisection on a log scale.

    The lowest rate need not be the easiest one: threads that fall asleep between two queries are late for the next.
    So the search begins at the first rate of a few, each twice the one before, that meets the bound. Where none does,
    the last trial is returned; it tells so itself.
    """
    high, rate = capacity_per_s, capacity_per_s * LOWEST_SHARE
    best = attempt(rate)
    while not best.meets(bound_ms):
        rate *= 2
        if rate >= capacity_per_s:
            return best
        best = attempt(rate)
    while high / best.rate_per_s > PRECISION:
        middle = attempt(math.sqrt(high * best.rate_per_s))
        if middle.meets(bound_ms):
            best = middle
        else:
            high = middle.rate_per_s
    return best


def _rates(timed: Timed) -> list[float]:
    return [float(report.arrays["rate_per_s"]) for report in timed.reports]


def _wait_until(moment_ns: int, clock: Clock, sleep: Callable[[float], None]) -> None:
    remaining_s = (moment_ns - clock()) / 1e9
    if remaining_s > SPIN_S:
        sleep(remaining_s - SPIN_S)
    while clock() < moment_ns:
        pass
