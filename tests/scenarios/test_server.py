"""Poisson arrivals on a made-up clock: what a server that takes 10 ms a query must come out as."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import MeasurementError
from engine.measure.paired import Timed
from engine.measure.processes import ProcessReport
from engine.measure.timing import Plan, Query
from engine.scenarios.base import Bench
from engine.scenarios.server import Late, Server, ServerOptions, Trial, arrivals, highest_rate, serve

SERVICE_NS = 10_000_000
PLAN = Plan(pairs=3, min_iterations=500, min_seconds=1.0, warmup_seconds=0.05)


class World:
    """A clock that moves when a query is answered, when somebody sleeps, and a little at each look."""

    def __init__(self, service_ns: int = SERVICE_NS) -> None:
        self.now, self.service_ns, self.slept_s = 0, service_ns, 0.0

    def clock(self) -> int:
        self.now += 100
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept_s += seconds
        self.now += int(seconds * 1e9)

    def answer(self, _: object) -> None:
        self.now += self.service_ns

    def bench(self) -> Bench:
        query = Query(lambda: None, self.answer)
        return Bench(lambda _: [query] * 5, PLAN, self.clock, self.sleep, lambda: None, seed=3)


def served(rate: float, count: int = 2000, late: Late | None = None) -> Trial:
    world = World()
    query = Query(lambda: None, world.answer)
    due = arrivals(rate, count, seed=1)
    return serve([query], rate, due, late, clock=world.clock, sleep=world.sleep)


def test_arrivals_are_a_poisson_process() -> None:
    waits = np.diff(arrivals(50.0, 20_000, seed=0))
    assert waits.mean() == pytest.approx(1 / 50, rel=0.03)
    assert waits.std() == pytest.approx(1 / 50, rel=0.03), "an exponential's deviation is its mean"


def test_two_rates_of_one_seed_have_one_pattern() -> None:
    np.testing.assert_allclose(arrivals(10.0, 100, seed=4), arrivals(20.0, 100, seed=4) * 2)


def test_queueing_counts() -> None:
    """M/D/1: the mean wait is ``rho / (2 (1 - rho))`` service times (Pollaczek and Khinchine)."""
    trial = served(rate=50.0, count=60_000)
    wait_ns = np.mean(trial.latency_ns) - SERVICE_NS
    assert wait_ns / SERVICE_NS == pytest.approx(0.5 / (2 * 0.5), rel=0.05)


def test_a_query_alone_waits_for_nobody() -> None:
    trial = served(rate=0.1, count=50)
    assert np.median(trial.latency_ns) == pytest.approx(SERVICE_NS, rel=0.01)


def test_overload_grows_without_bound_and_is_served_to_its_end_without_a_bound() -> None:
    trial = served(rate=200.0, count=500)
    assert trial.complete
    assert trial.latency_ns[-1] > 100 * SERVICE_NS


def test_a_lost_trial_ends_early() -> None:
    trial = served(rate=200.0, count=10_000, late=Late(bound_ms=50, allowed=20))
    assert not trial.complete
    assert len(trial.latency_ns) < 200
    assert not trial.meets(1e9)


@pytest.mark.parametrize("true_rate", [7.0, 31.0, 99.0])
def test_bisection_finds_the_highest_rate_to_five_percent(true_rate: float) -> None:
    tried = []

    def attempt(rate: float) -> Trial:
        tried.append(rate)
        return Trial(rate, (1_000_000 if rate <= true_rate else 100_000_000,) * 200, complete=True)

    best = highest_rate(attempt, 100.0, bound_ms=10)
    assert best.rate_per_s <= true_rate <= best.rate_per_s * 1.05 + 1e-9
    assert len(tried) <= 9


def test_a_server_that_is_slow_when_it_wakes_is_searched_at_higher_rates() -> None:
    """At low rates its threads sleep between two queries, and each is late."""

    def attempt(rate: float) -> Trial:
        return Trial(rate, (1_000_000 if 12 <= rate <= 40 else 100_000_000,) * 200, complete=True)

    best = highest_rate(attempt, 100.0, bound_ms=10)
    assert best.rate_per_s <= 40 <= best.rate_per_s * 1.05 + 1e-9


def test_a_bound_that_no_rate_meets_is_said_by_the_trial() -> None:
    best = highest_rate(lambda rate: Trial(rate, (50_000_000,) * 200, complete=True), 100.0, bound_ms=10)
    assert not best.meets(10)


def test_the_search_of_a_process_comes_near_the_theory() -> None:
    arrays = Server().time(World().bench(), ServerOptions(bound_ms=30))
    assert bool(arrays["met"])
    assert 30 < float(arrays["rate_per_s"]) < 90, "one server of 10 ms can do 100 a second, but not without queues"
    assert np.percentile(np.asarray(arrays["run_ns"], dtype=np.float64), 95) <= 30e6
    assert len(arrays["run_ns"]) >= PLAN.min_iterations


def test_an_asked_rate_is_kept(tmp_path: Path) -> None:
    options = ServerOptions(bound_ms=30, rate_per_s=50)
    arrays = Server().time(World().bench(), options)
    assert float(arrays["rate_per_s"]) == 50
    timed = Timed([report(arrays)] * 2, "variant")
    reading = Server().read(timed, 1, options)
    assert reading.cost[0].tolist() == reading.latency[0].tolist(), "at one rate, the speed-up is that of the latency"
    assert reading.pace[0].tolist() == [1 / 50]


def report(arrays: Any) -> ProcessReport:
    return ProcessReport(dict(arrays), None, 0.0, 0.0)


def test_the_speedup_is_the_ratio_of_rates() -> None:
    def side(name: str, service_ns: int) -> Timed:
        return Timed([report(Server().time(World(service_ns).bench(), ServerOptions(bound_ms=60)))] * 2, name)

    fast, slow = side("variant", SERVICE_NS // 2), side("baseline", SERVICE_NS)
    costs = [Server().read(one, 1, ServerOptions(bound_ms=60)).cost[0] for one in (fast, slow)]
    assert 1.8 < costs[1][0] / costs[0][0] < 2.6
    result = Server().server(fast, slow, ServerOptions(bound_ms=60))
    assert result.searched
    assert result.met
    assert result.rate_per_s == pytest.approx(1 / costs[0][0])


def test_a_bound_that_is_too_tight_says_which_would_do() -> None:
    timed = Timed([report(Server().time(World().bench(), ServerOptions(bound_ms=5)))], "baseline")
    with pytest.raises(MeasurementError, match=r"of 'baseline' within 5 ms: .* Choose a bound of 3[01] ms or more"):
        Server().read(timed, 1, ServerOptions(bound_ms=5))


def test_bounds_and_rates_do_not_mix() -> None:
    labels = {Server().label(ServerOptions(bound_ms=bound, rate_per_s=rate)) for bound in (5, 50) for rate in (0, 10)}
    assert len(labels) == 4
