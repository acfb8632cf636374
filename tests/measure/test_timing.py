"""The timing loop, with a clock that replays what it is told."""

import gc
from collections.abc import Iterator
from itertools import pairwise

import pytest

from engine.errors import MeasurementError
from engine.measure.timing import PLANS, Plan, Query, measure
from engine.spec import Effort

MS = 1_000_000


@pytest.fixture(autouse=True)
def collections(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Count full collections instead of making them: with an ML runtime in memory each takes a fifth of a second."""
    made: list[bool] = []

    def collect() -> int:
        made.append(gc.isenabled())
        return 0

    monkeypatch.setattr(gc, "collect", collect)
    return made


class Bench:
    """A fake clock, and queries that move it by what their part is said to cost."""

    def __init__(self, *costs_ms: tuple[float, float]) -> None:
        self.now = 0
        self.order: list[int] = []
        self.collecting: list[bool] = []
        self.queries = [self._query(number, prepare, run) for number, (prepare, run) in enumerate(costs_ms)]

    def clock(self) -> int:
        return self.now

    def _query(self, number: int, prepare_ms: float, run_ms: float) -> Query:
        def prepare() -> int:
            self.now += round(prepare_ms * MS)
            return number

        def run(inputs: object) -> None:
            assert inputs == number, "a query was given another's inputs"
            self.order.append(number)
            self.collecting.append(gc.isenabled())
            self.now += round(run_ms * MS)

        return Query(prepare, run)


def plan(iterations: int = 1, seconds: float = 0.0, warmup: float = 0.0) -> Plan:
    return Plan(pairs=1, min_iterations=iterations, min_seconds=seconds, warmup_seconds=warmup)


def test_the_parts_of_a_query_are_told_apart() -> None:
    bench = Bench((3, 10), (1, 20))
    samples = measure(bench.queries, plan(), bench.clock)
    assert samples.run_ns == [10 * MS, 20 * MS]
    assert samples.whole_ns == [13 * MS, 21 * MS]
    assert samples.warmup_ns == []


@pytest.mark.parametrize(("iterations", "expected"), [(1, 3), (3, 3), (4, 6), (7, 9)])
def test_only_whole_passes_are_made(iterations: int, expected: int) -> None:
    bench = Bench((0, 1), (0, 1), (0, 1))
    samples = measure(bench.queries, plan(iterations), bench.clock)
    assert len(samples.run_ns) == expected
    assert bench.order == [0, 1, 2] * (expected // 3)


def test_both_floors_must_be_met() -> None:
    slow = Bench((0, 100))
    assert len(measure(slow.queries, plan(iterations=5, seconds=0.2), slow.clock).run_ns) == 5
    fast = Bench((0, 1))
    assert len(measure(fast.queries, plan(iterations=5, seconds=0.2), fast.clock).run_ns) == 200


def test_preparing_counts_for_the_seconds() -> None:
    bench = Bench((9, 1))
    assert len(measure(bench.queries, plan(seconds=0.1), bench.clock).run_ns) == 10


@pytest.mark.parametrize(
    ("warmup_ms", "expected"),
    [(1, 1), (10, 1), (11, 3), (30, 3), (31, 7), (70, 7), (71, 15)],
)
def test_warm_up_doubles_until_its_time_is_used(warmup_ms: float, expected: int) -> None:
    bench = Bench((4, 6))
    samples = measure(bench.queries, plan(warmup=warmup_ms / 1e3), bench.clock)
    assert samples.warmup_ns == [10 * MS] * expected
    assert len(samples.run_ns) == 1, "a warm-up query was mixed in"


def test_warm_up_goes_round_the_queries() -> None:
    bench = Bench((0, 1), (0, 1), (0, 1))
    measure(bench.queries, plan(warmup=0.006), bench.clock)
    assert bench.order[:7] == [0, 1, 2, 0, 1, 2, 0]


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(MeasurementError, match="nothing to time"):
        measure([], plan(), lambda: 0)


@pytest.fixture
def collector() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("before", [True, False])
def test_the_collector_rests_and_is_put_back_as_it_was(before: bool, collections: list[bool]) -> None:
    if before:
        gc.enable()
    else:
        gc.disable()
    bench = Bench((0, 1))
    measure(bench.queries, plan(warmup=0.001), bench.clock)
    assert gc.isenabled() is before
    assert set(bench.collecting) == {False}
    assert len(collections) == 1, "what was garbage before is to be gone before"


@pytest.mark.usefixtures("collector")
def test_the_collector_is_put_back_after_a_failure() -> None:
    def fail(_: object) -> None:
        raise MeasurementError("the runtime gave up")

    with pytest.raises(MeasurementError):
        measure([Query(lambda: None, fail)], plan(), lambda: 0)
    assert gc.isenabled()


def test_every_effort_has_a_plan_and_more_effort_is_more() -> None:
    plans = [PLANS[effort] for effort in Effort]
    assert [one.pairs for one in plans] == [3, 5, 10]
    for less, more in pairwise(plans):
        assert less.min_iterations < more.min_iterations
        assert less.min_seconds < more.min_seconds
    assert plans[0].pairs * plans[0].min_iterations >= 219, "even a quick run carries a p97"
