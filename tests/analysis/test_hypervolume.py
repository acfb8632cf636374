import itertools

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from engine.analysis.frontier import frontier_info
from engine.analysis.hypervolume import growth, hypervolumes
from tests.analysis.rows import text_rows


def by_counting(x: list[float], y: list[float], steps: int = 12) -> float:
    """Return the covered area of points on a grid of ``steps`` cells a side, cell by cell."""
    corners = [(a / steps, b / steps) for a, b in itertools.product(range(steps), repeat=2)]
    covered = [any(px <= a and py <= b for px, py in zip(x, y, strict=True)) for a, b in corners]
    return sum(covered) / steps**2


@pytest.mark.parametrize("seed", range(20))
def test_the_area_is_that_of_counting_cells_and_of_optuna(seed: int) -> None:
    source = np.random.default_rng(seed)
    points = source.integers(0, 13, (25, 2)) / 12
    areas = hypervolumes(points[:, 0], points[:, 1])
    for count in (1, 2, 7, 25):
        x, y = points[:count, 0], points[:count, 1]
        assert areas[count - 1] == pytest.approx(by_counting(x.tolist(), y.tolist()))
        assert areas[count - 1] == pytest.approx(compute_hypervolume(points[:count], np.ones(2)))


def test_it_never_falls() -> None:
    points = np.random.default_rng(1).random((500, 2))
    areas = hypervolumes(points[:, 0], points[:, 1])
    assert (np.diff(areas) >= 0).all()
    assert 0 < areas[-1] < 1


def test_the_worst_corner_covers_nothing_and_the_best_everything() -> None:
    assert hypervolumes(np.array([1.0]), np.array([0.2])).tolist() == [0.0]
    assert hypervolumes(np.array([0.0]), np.array([0.0])).tolist() == [1.0]


def test_runs_are_taken_in_the_order_in_which_they_were_asked_for() -> None:
    info = frontier_info(list(reversed(text_rows())))
    grown = growth(info, log_x=True)
    assert list(grown.run_ids) == sorted(row.id for row in text_rows())
    assert 0 < grown.last < 1
    assert list(grown.shares) == sorted(grown.shares)


def test_the_scale_of_the_first_axis_counts() -> None:
    info = frontier_info(text_rows())
    assert growth(info, log_x=True).last != growth(info, log_x=False).last


def test_no_runs_cover_nothing() -> None:
    assert growth(frontier_info([]), log_x=True).last == 0.0


def test_one_run_alone_is_best_and_worst_at_once() -> None:
    assert growth(frontier_info(text_rows()[:1]), log_x=True).last == 1.0
