"""How long the server takes to draw the frontier page: ``python -m tests.benchmarks.bench_frontier_page``."""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from streamlit.testing.v1 import AppTest  # noqa: TID251 - the page that is timed is Streamlit's

from dashboard.state import DATABASE_VARIABLE
from engine.store.store import Store
from tests.dashboard.samples import INT8, add_done, sample_result, sample_spec

RUNS, ROUNDS = 1000, 7
APP = Path(__file__).parents[2] / "dashboard" / "app.py"


def fill(path: Path) -> None:
    """Put runs of one context into a fresh database."""
    source = np.random.default_rng(0)
    store = Store(path)
    for seed in range(RUNS):
        spec = sample_spec((INT8,), seed=seed)
        p50_ms = float(10 ** source.uniform(0.1, 1.5))
        accuracy = float(0.86 - 0.05 * source.random() - 0.02 / p50_ms)
        add_done(store, spec, sample_result(spec, p50_ms, accuracy, p_value=float(source.random())))
    store.close()


def measure(path: Path) -> list[float]:
    """Return the seconds that the page took, top to bottom, the first of them with nothing read yet.

    Raises:
        RuntimeError: if the page shows an error instead.
    """
    os.environ[DATABASE_VARIABLE] = str(path)
    app = AppTest.from_file(APP, default_timeout=60)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        app.run()
        times.append(time.perf_counter() - start)
    if app.exception or len(app.dataframe[0].value) != RUNS:
        raise RuntimeError("the page did not show all runs")
    return times


def main() -> None:
    """Fill a database, draw the page and say how long it took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thousand.db"
        fill(path)
        first, *rest = measure(path)
    sys.stdout.write(f"{RUNS} runs: first {first:.2f} s, then median {statistics.median(rest):.2f} s\n")


if __name__ == "__main__":
    main()
