"""What ten open pages cost a timing: ``python -m tests.benchmarks.bench_sessions``, about five minutes.

One process times the sentence encoder as the engine does, on all cores, and writes a run's progress once a second; ten
sessions look at it or do not, turn by turn. The number is the ratio of the two medians, turn by turn, with the 95 %
interval of its mean on the log scale. Nothing else may run.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scipy import stats

from dashboard.state import DATABASE_VARIABLE
from engine.backends import BACKENDS
from engine.datasets import load_dataset
from engine.datasets.files import take
from engine.models.preprocess import load_preprocessor
from engine.results import WorkerEvent
from engine.store.store import Store
from tests.benchmarks.artifacts import prepared
from tests.benchmarks.many_runs import fill
from tests.benchmarks.page_sessions import READY
from tests.dashboard.samples import SERVICE, sample_machine, sample_spec

RUNS, SESSIONS, TURNS = 1000, 10, 12
TURN_S, SETTLE_S = 8.0, 2.0
MODEL, DATASET = "minilm-l6", "movie-reviews"
START_TIMEOUT_S = 60.0


@contextmanager
def page(database: Path) -> Iterator[str]:
    """Serve the page of a database; yield the address of its sessions."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dashboard", f"--server.port={port}", "--server.headless=true"]
    environment = {**os.environ, DATABASE_VARIABLE: str(database)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        _wait_for(port)
        yield f"ws://127.0.0.1:{port}/_stcore/stream"
        process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError("the page did not start")


@contextmanager
def sessions(address: str, count: int) -> Iterator[None]:
    """Keep so many sessions open; all have drawn when this yields.

    Raises:
        RuntimeError: if they do not ask again, as open pages do.
    """
    command = [sys.executable, "-m", "tests.benchmarks.page_sessions", address, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != READY:
            raise RuntimeError("the sessions did not open")
        yield
        said, _ = process.communicate()
    if int(said) < count:
        raise RuntimeError(f"{count} sessions asked {said.strip()} times; they should have polled")


@contextmanager
def progress(store: Store, run: int) -> Iterator[None]:
    """Say once a second how far a run is, as a worker does."""
    over = threading.Event()

    def say() -> None:
        step = 0
        while not over.wait(1.0):
            step += 1
            store.beat(SERVICE, sample_machine().machine, 1)
            store.record_event(run, SERVICE, WorkerEvent(stage="time", progress=step % 100 / 100, message=f"{step}"))

    thread = threading.Thread(target=say)
    thread.start()
    yield
    over.set()
    thread.join()


class Timer:
    """Times single queries of the int8 sentence encoder, one after the other."""

    def __init__(self) -> None:
        artifact = prepared(MODEL, ["int8-dynamic"])
        backend = BACKENDS.get("onnxruntime")
        self._session = backend.load(artifact, backend.options_type())
        preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
        samples = load_dataset(DATASET).test.samples
        self._queries = [preprocess(take(samples, np.array([i]))) for i in range(64)]

    def median_s(self, seconds: float) -> float:
        """Return the median time of a query over so many seconds."""
        times, place = [], 0
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            self._session.run(self._queries[place % len(self._queries)])
            times.append(time.perf_counter() - start)
            place += 1
        return statistics.median(times)


def turn(timer: Timer, address: str, count: int) -> float:
    """Return the median with so many sessions open."""
    if not count:
        time.sleep(SETTLE_S)
        return timer.median_s(TURN_S)
    with sessions(address, count):
        time.sleep(SETTLE_S)
        return timer.median_s(TURN_S)


def main() -> None:
    """Take turns and say what the sessions cost."""
    timer = Timer()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "busy.db"
        fill(path, RUNS)
        store = Store(path)
        (run,) = store.enqueue([sample_spec(seed=RUNS)])
        if store.claim(SERVICE) is None:
            raise RuntimeError("the run that is looked at could not be started")
        with page(path) as address, progress(store, run):
            turn(timer, address, SESSIONS)  # the first draws are the server's, not the sessions'
            for number in range(TURNS):
                order = (0, SESSIONS) if number % 2 else (SESSIONS, 0)
                found = {count: turn(timer, address, count) for count in order}
                ratios.append(found[SESSIONS] / found[0])
                sys.stderr.write(f"  {1000 * found[0]:.2f} ms alone, {1000 * found[SESSIONS]:.2f} ms watched\n")
        store.close()
    logs = np.log(ratios)
    reach = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, ratio, high = np.exp([logs.mean() - reach, logs.mean(), logs.mean() + reach])
    sys.stdout.write(f"{SESSIONS} sessions: the median takes {ratio:.3f}x as long [{low:.3f}, {high:.3f}]\n")


if __name__ == "__main__":
    main()
