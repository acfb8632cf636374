"""Batches of several sizes on a made-up clock: the size that suits best is the one that counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.measure.paired import Timed
from engine.measure.processes import ProcessReport
from engine.measure.timing import Plan, Query
from engine.scenarios.base import Bench
from engine.scenarios.offline import Offline, OfflineOptions, batch_sizes, best_size, rates

PLAN = Plan(pairs=3, min_iterations=10, min_seconds=0.3, warmup_seconds=0.03)
SAMPLES = 32


def times(cost_ns: dict[int, int], largest: int = 8) -> dict[str, Any]:
    """Time with a made-up cost of a batch by its size."""
    now = 0

    def clock() -> int:
        return now

    def answer(size: int) -> None:
        nonlocal now
        now += cost_ns[size]

    def queries(size: int) -> Sequence[Query[int]]:
        return [Query(lambda: size, answer)] * (SAMPLES // size)

    bench = Bench(queries, PLAN, clock, lambda _: None, lambda: None, 0)
    return dict(Offline().time(bench, OfflineOptions(largest_batch=largest)))


COST = {1: 1_000_000, 2: 1_500_000, 4: 2_000_000, 8: 6_000_000}
"""Samples a second: 1000, 1333, 2000, 1333."""


def side(cost_ns: dict[int, int], name: str = "variant") -> Timed:
    return Timed([ProcessReport(times(cost_ns), None, 0.0, 0.0)] * 2, name)


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12]), (32, [1, 2, 4, 8, 16, 32])]
)
def test_sizes_double_up_to_the_largest(largest: int, sizes: list[int]) -> None:
    assert batch_sizes(largest) == sizes


def test_every_size_meets_its_share_of_the_floors() -> None:
    arrays = times(COST)
    for size, cost in COST.items():
        mine = arrays["run_ns"][arrays["batch"] == size]
        assert len(mine) >= 2 * SAMPLES / size, "two passes"
        assert mine.sum() >= PLAN.min_seconds / len(COST) * 1e9
        assert set(mine.tolist()) == {cost}


def test_the_best_size_has_the_highest_throughput() -> None:
    assert rates(side(COST)) == pytest.approx({1: 1000, 2: 1333.3, 4: 2000, 8: 1333.3}, rel=1e-3)
    assert best_size(side(COST)) == 4


def test_of_equal_sizes_the_smallest_counts() -> None:
    assert best_size(side({1: 1_000_000, 2: 2_000_000, 4: 4_000_000, 8: 8_000_000})) == 1


def test_each_side_is_judged_by_its_own_best() -> None:
    slow = {1: 2_000_000, 2: 3_900_000, 4: 7_600_000, 8: 14_000_000}
    candidate, baseline = side(COST), side(slow, "baseline")
    result = Offline().offline(candidate, baseline)
    assert (result.batch_size, result.baseline_batch_size) == (4, 8)
    costs = [Offline().read(one, 1, OfflineOptions(largest_batch=8)).cost[0][0] for one in (candidate, baseline)]
    assert costs == pytest.approx([0.0005, 0.00175])


def test_the_latency_is_that_of_the_best_batch() -> None:
    reading = Offline().read(side(COST), 1, OfflineOptions(largest_batch=8))
    assert set(np.concatenate(reading.latency)) == {0.002}
    assert set(np.concatenate(reading.pace)) == {0.0005}


def test_enough_samples_are_drawn_for_the_largest_batch() -> None:
    assert Offline().samples_needed(1, OfflineOptions(largest_batch=8), 100) == 100
    assert Offline().samples_needed(1, OfflineOptions(largest_batch=64), 100) == 256
