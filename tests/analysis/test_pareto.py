import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.study._multi_objective import _is_pareto_front

from engine.analysis.pareto import Axis, Direction, PairedEvidence, Standing, frontier_mask, standings

Array = NDArray[np.float64]
WAYS: list[tuple[Direction, Direction]] = [
    ("minimize", "maximize"),
    ("minimize", "minimize"),
    ("maximize", "maximize"),
    ("maximize", "minimize"),
]


def as_costs(x: Array, y: Array, ways: tuple[Direction, Direction]) -> Array:
    signs = [1 if way == "minimize" else -1 for way in ways]
    return np.column_stack((x * signs[0], y * signs[1]))


def brute_force(costs: Array) -> NDArray[np.bool_]:
    no_worse = np.all(np.less_equal(costs[None, :, :], costs[:, None, :]), axis=2)
    better = np.any(np.less(costs[None, :, :], costs[:, None, :]), axis=2)
    return np.asarray(~np.any(no_worse & better, axis=1))


def random_points(seed: int, size: int) -> tuple[Array, Array]:
    source = np.random.default_rng(seed)
    if seed % 2:
        return source.normal(size=size), source.normal(size=size)
    return source.integers(0, 8, size).astype(float), source.integers(0, 8, size).astype(float)


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("seed", range(20))
def test_frontier_is_that_of_brute_force_and_of_optuna(seed: int, ways: tuple[Direction, Direction]) -> None:
    x, y = random_points(seed, size=1 + 7 * seed)
    costs = as_costs(x, y, ways)
    found = frontier_mask(x, y, *ways)
    assert found.tolist() == brute_force(costs).tolist()
    assert found.tolist() == _is_pareto_front(costs, assume_unique_lexsorted=False).tolist()


def test_duplicates_of_a_frontier_point_stay_on_it() -> None:
    x, y = np.array([1.0, 1.0, 2.0, 2.0]), np.array([0.8, 0.8, 0.9, 0.7])
    assert frontier_mask(x, y, "minimize", "maximize").tolist() == [True, True, True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_points_are_never_on_the_frontier_and_hide_nothing(bad: float) -> None:
    x, y = np.array([bad, 1.0, 0.5]), np.array([0.99, 0.8, bad])
    assert frontier_mask(x, y, "minimize", "maximize").tolist() == [False, True, False]


def test_no_points_have_no_frontier() -> None:
    assert frontier_mask(np.array([]), np.array([]), "minimize", "maximize").tolist() == []


def axis(values: list[float], reach: float, way: Direction, *, absolute: bool = False) -> Axis:
    array = np.asarray(values)
    return Axis(array, array - reach, array + reach, way, absolute)


def test_a_dominated_point_is_tied_when_intervals_meet_on_both_axes() -> None:
    latency = axis([1.0, 1.05, 2.0], 0.1, "minimize")
    accuracy = axis([0.900, 0.895, 0.899], 0.01, "maximize", absolute=True)
    assert standings(latency, accuracy) == [Standing.FRONTIER, Standing.TIED, Standing.DOMINATED]


def test_a_significant_difference_below_one_percent_is_a_tie() -> None:
    latency = axis([1.000, 1.009, 1.011], 0.0001, "minimize")
    accuracy = axis([0.9, 0.9, 0.9], 0.001, "maximize", absolute=True)
    assert standings(latency, accuracy) == [Standing.FRONTIER, Standing.TIED, Standing.DOMINATED]


def test_a_value_without_interval_is_taken_as_exact() -> None:
    size = axis([10.0, 20.0], 0.0, "minimize")
    accuracy = axis([0.9, 0.9], 0.01, "maximize", absolute=True)
    assert standings(size, accuracy) == [Standing.FRONTIER, Standing.DOMINATED]


def test_paired_ratios_decide_where_two_runs_share_a_baseline() -> None:
    latency = axis([1.0, 1.2], 0.01, "minimize")
    accuracy = axis([0.9, 0.9], 0.01, "maximize", absolute=True)
    speedup = axis([4.0, 3.9], 0.2, "maximize")
    assert standings(latency, accuracy)[1] is Standing.DOMINATED
    shared = PairedEvidence(speedup, np.array([0, 0]))
    assert standings(latency, accuracy, shared)[1] is Standing.TIED
    of_two_models = PairedEvidence(speedup, np.array([0, 1]))
    assert standings(latency, accuracy, of_two_models)[1] is Standing.DOMINATED
    without_interval = PairedEvidence(speedup, np.array([-1, -1]))
    assert standings(latency, accuracy, without_interval)[1] is Standing.DOMINATED


def test_equal_points_are_all_on_the_frontier() -> None:
    same = axis([1.0, 1.0], 0.1, "minimize")
    assert standings(same, same) == [Standing.FRONTIER, Standing.FRONTIER]
