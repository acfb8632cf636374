import shutil
import statistics
from pathlib import Path

import pytest

from dashboard.state import DATABASE_VARIABLE
from tests.benchmarks.bench_frontier_page import fill, measure


def test_a_thousand_runs_are_drawn_within_a_second(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(empty_database, tmp_path / "thousand.db"))
    monkeypatch.setenv(DATABASE_VARIABLE, str(path))
    fill(path)
    times = measure(path)
    assert statistics.median(times) < 1.0, f"the page took {times} s"
