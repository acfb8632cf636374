"""How long an export takes and what it needs: ``python -m tests.benchmarks.bench_export``."""

import resource
import sys
import tempfile
import time
from pathlib import Path

from dashboard.downloads import everything_as_csv
from engine.store.store import Store
from tests.benchmarks.many_runs import fill

RUNS = 100_000
GOAL_S, GOAL_BYTES = 10.0, 2**30


def main() -> None:
    """Fill a database, export it as CSV, and say seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.db"
        fill(path, RUNS)
        store = Store(path)
        start = time.perf_counter()
        data = everything_as_csv(store)
        seconds = time.perf_counter() - start
        store.close()
    lines = data.count(b"\r\n") - 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(
        f"{lines:,} runs, {len(data) / 1e6:.0f} MB of CSV: {seconds:.1f} s (goal {GOAL_S:.0f} s), "
        f"peak {peak / 2**20:.0f} MiB (goal {GOAL_BYTES / 2**20:.0f} MiB)\n"
    )


if __name__ == "__main__":
    main()
