"""``python -m tests.chaos.crowd [RUNS] [--markdown FILE]``: all that use a database, at once."""

import argparse
import csv
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.analysis.export import csv_table
from engine.analysis.exported import on_frontier
from engine.results import Status
from engine.store.selection import RunFilter
from engine.store.store import Store
from tests.chaos import tables
from tests.chaos.soak import ROOT, SERVICES, check_done_once, environment_of, running_services
from tests.fakes import make_spec

RUNS = 300
DASHBOARDS = 10
ASKED = 2
"""Runs that the command line asks for."""
PATIENCE_S = 600.0
FIRST_SEED_OF_THE_COMMAND_LINE = 1_000_000
"""Far from the others, so that no experiment was done before."""
Table = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Crowded:
    """What everybody did meanwhile."""

    done: int
    exports: int
    looks: int
    """Of the tab that looked least often."""
    seconds: float


def crowd(folder: Path, runs: int, *, processes: int = DASHBOARDS, tabs: int = 1) -> Crowded:
    """Let two services work off so many runs while everybody else is busy with the same database.

    Args:
        folder: empty; everything is in it.
        runs: how many are queued at the start; the command line asks for more.
        processes: how many dashboards look on.
        tabs: how many viewers each of them has.

    Raises:
        AssertionError: if a run was not done exactly once, or anybody met an error or half a row.
    """
    path = folder / "crowd.db"
    store = Store(path)
    started = time.monotonic()
    exported: Table = {}
    exports = 0
    with running_services(path), looking(path, processes, tabs) as looks, ThreadPoolExecutor() as pool:
        _await_services(store, started)
        ids = store.enqueue([make_spec(seed) for seed in range(runs)], "crowd")
        asking = [pool.submit(ask_for, path, FIRST_SEED_OF_THE_COMMAND_LINE + number) for number in range(ASKED)]
        listing = pool.submit(list_and_export, store, path, asking)
        while not listing.done():
            assert time.monotonic() - started < PATIENCE_S, store.counts()
            with store.snapshot() as seen:
                text = "".join(csv_table(seen.exported(RunFilter()), on_frontier(seen)).pieces)
            exported = later(exported, whole_rows(text))
            exports += 1
            time.sleep(0.05)
        listing.result()
        asked = [one.result() for one in asking]
    check_done_once(store, [*ids, *asked])
    store.close()
    return Crowded(len(ids) + len(asked), exports, min(looks), time.monotonic() - started)


@contextmanager
def looking(database: Path, processes: int, tabs: int) -> Iterator[list[int]]:
    """Let dashboards look on while the context lasts; the list is filled with how often each did, at its end.

    Raises:
        AssertionError: if one of them met an error.
    """
    environment = environment_of(database) | {"SUBSECOND_DB": str(database), "STREAMLIT_LOGGER_LEVEL": "error"}
    command = [sys.executable, "-m", "tests.chaos.looker", str(tabs)]
    pipe = subprocess.PIPE
    lookers = [
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(processes)
    ]
    looks: list[int] = []
    try:
        yield looks
    finally:
        said = [looker.communicate(timeout=PATIENCE_S)[0] for looker in lookers]
    for looker, words in zip(lookers, said, strict=True):
        assert looker.returncode == 0, words
        looks.append(int(words.splitlines()[-1]))


def ask_for(database: Path, seed: int) -> int:
    """Ask for a run from the command line and wait for it; return its id."""
    words = ("run", "fashion-mlp", "--backend", "onnxruntime", "--seed", str(seed), "--json")
    told = json.loads(_typed(database, *words))
    assert told["status"] == Status.DONE.value
    return int(told["id"])


def list_and_export(store: Store, database: Path, asking: Sequence[Future[int]]) -> None:
    """List and export from the command line until there is nothing to do."""
    file = database.with_name("typed.csv")
    exported: Table = {}
    is_over = False
    while not is_over:
        is_over = all(one.done() for one in asking) and not _unfinished(store)
        for row in json.loads(_typed(database, "runs", "--json")):
            is_done = row["status"] == Status.DONE.value
            assert bool(row["metrics"]) == (row["finished_at"] is not None) == is_done, row
        _typed(database, "export", "--csv", str(file))
        exported = later(exported, whole_rows(file.read_text("utf-8")))


def whole_rows(text: str) -> Table:
    """Return the rows of a table by their run, after a look at whether each is whole.

    Raises:
        AssertionError: if the text is no table, or a row is half of one.
    """
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert len(set(header)) == len(header)
    assert all(len(row) == len(header) for row in rows), "a line has more or fewer cells than the header"
    table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert len(table) == len(rows), "a run stands in two lines"
    for row in table.values():
        is_done = row["status"] == Status.DONE.value
        for name in ("finished_at", "latency_p50_ms", "accuracy", "context", "stage_time_s"):
            assert bool(row.get(name)) == is_done, f"run {row['run']} is {row['status']}, its {name} {row.get(name)!r}"
    return table


def later(before: Table, after: Table) -> Table:
    """Return the later of two tables, after a look at whether what was finished is still the same.

    Whether a run is on the frontier may change with every other one.

    Raises:
        AssertionError: if a run is gone, or a finished one has changed.
    """
    assert before.keys() <= after.keys(), "a run is gone"
    for run, row in before.items():
        if row["status"] == Status.DONE.value:
            kept = {name: cell for name, cell in row.items() if cell and name != "on_frontier"}
            assert kept.items() <= after[run].items(), f"run {run} changed after its end"
    return after


def _await_services(store: Store, started: float) -> None:
    """Wait for the services' first signs of life: the command line would execute its runs itself without them."""
    while len(store.services()) < SERVICES:
        assert time.monotonic() - started < PATIENCE_S, "a service does not begin"
        time.sleep(0.05)


def _unfinished(store: Store) -> int:
    return sum(count for status, count in store.counts().items() if not Status(status).is_final)


def _typed(database: Path, *words: str) -> str:
    """Return what a command prints.

    Raises:
        AssertionError: if it fails.
    """
    command = [sys.executable, "-m", "engine", *words, "--db", str(database)]
    done = subprocess.run(command, cwd=ROOT, env=environment_of(database), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main() -> None:
    """Let everybody in and print what they did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=RUNS)
    parser.add_argument("--markdown", type=Path, help="file to write the table to as well")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = crowd(Path(folder), told.runs)
    table = tables.of_crowd(seen.done, SERVICES, DASHBOARDS, seen.looks, seen.exports, seen.seconds)
    tables.show(table, told.markdown)


if __name__ == "__main__":
    main()
