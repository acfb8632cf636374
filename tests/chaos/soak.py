"""``python -m tests.chaos.soak [RUNS] [--markdown FILE]``: many tiny runs through queue and store, by two services."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from engine.results import Status
from engine.store.store import Store
from tests.chaos import tables, worker
from tests.fakes import make_spec

ROOT = Path(__file__).parents[2]
RUNS, SERVICES = 2000, 2
WARM_SHARE = 0.1
"""Of the runs, after which a service has loaded what it needs; growth counts from there."""
PATIENCE_S = 3600.0
STALE_S = "120"
"""Nobody is killed here: a service that is silent for seconds waits for a busy machine, and keeps its runs."""


@dataclass(frozen=True)
class Soaked:
    """What a soak has shown."""

    done: int
    growth_bytes: int
    descriptors: int
    """How many more were open at the end, of the service with the most."""
    seconds: float


def soak(folder: Path, count: int) -> Soaked:
    """Let two services execute so many runs.

    Raises:
        AssertionError: if a run was done twice or not at all, or its arrays are not its own.
    """
    path = folder / "soak.db"
    store = Store(path)
    ids = store.enqueue([make_spec(seed) for seed in range(count)], "soak")
    started = time.monotonic()
    with running_services(path) as services:
        _await(store, int(WARM_SHARE * count), started)
        before = [(service.memory_info().rss, service.num_fds()) for service in services]
        _await(store, count, started)
        after = [(service.memory_info().rss, service.num_fds()) for service in services]
    check_done_once(store, ids)
    store.close()
    return Soaked(
        done=len(ids),
        growth_bytes=max(late[0] - early[0] for early, late in zip(before, after, strict=True)),
        descriptors=max(late[1] - early[1] for early, late in zip(before, after, strict=True)),
        seconds=time.monotonic() - started,
    )


def environment_of(database: Path) -> dict[str, str]:
    """Return the environment of a program on a database, with caches of its own beside it."""
    own = {f"SUBSECOND_{name.upper()}": str(database.parent / name) for name in ("cache", "state")}
    return {**os.environ, **own, "PYTHONPATH": str(ROOT)}


@contextmanager
def running_services(database: Path) -> Iterator[list[psutil.Popen]]:
    """Let services work on a database while the context lasts.

    Raises:
        AssertionError: if one of them complained.
    """
    command = [sys.executable, "-m", "tests.chaos.service", str(database), STALE_S]
    with database.with_suffix(".complaints").open("w+b") as complaints:
        services = [
            psutil.Popen(command, cwd=ROOT, env=environment_of(database), stdin=subprocess.DEVNULL, stderr=complaints)
            for _ in range(SERVICES)
        ]
        try:
            yield services
        finally:
            for service in services:
                service.terminate()
            for service in services:
                service.wait(60)
        complaints.seek(0)
        said = complaints.read().decode()
        assert not said, said


def check_done_once(store: Store, ids: Sequence[int]) -> None:
    """Look whether these are all runs, and each was done once and left its own arrays.

    Raises:
        AssertionError: if it was not so.
    """
    records = store.runs(limit=2 * len(ids))
    assert sorted(record.id for record in records) == sorted(ids)
    assert {record.status for record in records} == {Status.DONE}
    assert {record.attempt for record in records} == {1}, "a run was taken twice"
    for record in records:
        np.testing.assert_array_equal(store.raw(record.id).arrays["predictions"], worker.expected(record.spec.seed))
    assert store.health()["integrity"] == "ok"


def _await(store: Store, count: int, started: float) -> None:
    while Counter(store.counts()).get(Status.DONE, 0) < count:
        assert time.monotonic() - started < PATIENCE_S, store.counts()
        time.sleep(0.5)


def main() -> None:
    """Soak and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=RUNS)
    parser.add_argument("--markdown", type=Path, help="file to write the table to as well")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = soak(Path(folder), told.runs)
    tables.show(tables.of_soak(seen.done, SERVICES, seen.growth_bytes, seen.descriptors, seen.seconds), told.markdown)


if __name__ == "__main__":
    main()
