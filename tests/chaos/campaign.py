"""Kill workers, their children, services, pages and everything at once; then look whether anything was lost."""

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from filelock import FileLock, Timeout

from engine.results import RunRecord, Status
from engine.store.store import Store
from tests.chaos import worker
from tests.fakes import make_spec

ROOT = Path(__file__).parents[2]
SERVICES = 2
WAITING = 6
PATIENCE_S = 120.0
CHECK_EVERY = 25
STAGE_WITHIN_S = 4.0
"""As long as a kill waits for the stage that was drawn for it; after that it comes whatever is under way."""
IDLE, BEFORE = "no run", "start"
RUN_FOLDER = re.compile(r"/runs/(\d+)/")


@dataclass
class Report:
    """What was killed and what became of the runs."""

    seed: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By the part that was killed."""
    in_stage: Counter[tuple[str, str]] = field(default_factory=Counter)
    """The same by the part and the stage of its run, of a run under way where it had none of its own."""
    ends: Counter[str] = field(default_factory=Counter)
    integrity: Counter[str] = field(default_factory=Counter)
    """What SQLite's check answered, each time."""
    kept: int = 0
    """Finished runs that were the same when they were read again."""
    stages: int = 0
    """Finished stages with the right content."""
    locks: int = 0
    """Locks that are free."""
    orphans: int = 0
    seconds: float = 0.0


class Campaign:
    """One database, its services and whatever else works on it.

    Args:
        folder: empty; everything is in it, the stages too.
        seed: of what is killed when.
        with_page: let a real dashboard look on, and be killed as well.
    """

    def __init__(self, folder: Path, seed: int, *, with_page: bool = False) -> None:
        self._path, self._random, self._with_page = folder / "chaos.db", random.Random(seed), with_page
        self._cache = folder / "cache"
        self._environment = {
            **os.environ,
            "SUBSECOND_CACHE": str(self._cache),
            "SUBSECOND_DB": str(self._path),
            "PYTHONPATH": str(ROOT),
            "CHAOS": str(folder),
        }
        self._mark = str(folder)
        self._store = Store(self._path)
        self._parts: dict[str, subprocess.Popen[bytes]] = {}
        self._seen: dict[int, RunRecord] = {}
        self._asked = 0
        self.report = Report(seed)

    def run(self, kills: int) -> Report:
        """Kill so many times, then let everything end and look at it.

        Raises:
            AssertionError: if anything is lost, left over or wrong.
        """
        started = time.monotonic()
        try:
            while self.report.kills.total() < kills:
                self._keep_going()
                self._wait_for(self._random.choice((BEFORE, *worker.STAGES)))
                self._kill()
                if self.report.kills.total() % CHECK_EVERY == 0:
                    self._check()
            self._settle()
        finally:
            self._end()
        self._check_what_is_left()
        self.report.seconds = time.monotonic() - started
        return self.report

    # What goes on

    def _keep_going(self) -> None:
        """Start what is dead, and keep the queue from running dry."""
        commands = {f"service {number}": self._service for number in range(SERVICES)}
        if self._with_page:
            commands["page"] = self._page
        for name, command in commands.items():
            self._start_if_dead(name, command())
        missing = WAITING - int(self._store.health()["runs_queued"])
        if missing > 0:
            specs = [make_spec(self._asked + number) for number in range(missing)]
            self._asked += missing
            self._store.enqueue(specs, "chaos")

    def _wait_for(self, stage: str) -> None:
        """Wait until a run is at a stage, and a moment more; left to chance, most kills would hit a worker's start."""
        deadline = time.monotonic() + STAGE_WITHIN_S
        while time.monotonic() < deadline:
            running = self._store.runs(status=[Status.RUNNING], limit=10)
            if any((record.stage or BEFORE) == stage for record in running):
                break
            time.sleep(0.005)
        time.sleep(self._random.uniform(0.0, worker.PAUSE_S))

    def _start_if_dead(self, name: str, command: Sequence[str]) -> None:
        part = self._parts.get(name)
        if part is not None:
            if part.poll() is None:
                return
            _close(part)
        self._parts[name] = subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def _service(self) -> Sequence[str]:
        return [sys.executable, "-m", "tests.chaos.service", str(self._path)]

    def _page(self) -> Sequence[str]:
        options = ("--server.address=127.0.0.1", "--server.port=0", "--server.headless=true")
        return [sys.executable, "-m", "dashboard", *options]

    def _kill(self) -> None:
        """Kill something, at a moment that nobody chose."""
        kinds: dict[str, Callable[[], list[psutil.Process]]] = {
            "worker": lambda: self._some(self._workers()),
            "child of a worker": lambda: self._some([child for one in self._workers() for child in _children(one)]),
            "service": lambda: self._some(self._processes("service")),
            "all services": lambda: self._processes("service"),
            "everything": lambda: [*self._processes("service"), *self._workers(), *self._processes("page")],
        }
        if self._with_page:
            kinds["page"] = lambda: self._some(self._processes("page"))
        weights = {"worker": 5, "child of a worker": 2, "service": 3, "all services": 1, "everything": 1, "page": 1}
        kind = self._random.choices(list(kinds), [weights[name] for name in kinds])[0]
        victims = kinds[kind]()
        if not victims:
            return
        stage = self._stage_of(victims)
        for victim in victims:
            with _gone_is_fine():
                victim.kill()
        self.report.kills[kind] += 1
        self.report.in_stage[kind, stage] += 1

    def _stage_of(self, victims: list[psutil.Process]) -> str:
        """Return what the run of the first victim that has one is at, or one that is under way."""
        running = {record.id: record.stage or BEFORE for record in self._store.runs(status=[Status.RUNNING], limit=10)}
        for victim in victims:
            with _gone_is_fine():
                for process in (victim, victim.parent(), *victim.children()):
                    words = " ".join(process.cmdline()) if process else ""
                    for run_id in map(int, RUN_FOLDER.findall(words)):
                        if run_id in running:
                            return running[run_id]
        return next(iter(running.values()), IDLE)

    def _some(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        return [self._random.choice(processes)] if processes else []

    def _processes(self, kind: str) -> list[psutil.Process]:
        found = []
        for name, part in self._parts.items():
            if name.startswith(kind) and part.poll() is None:
                with _gone_is_fine():
                    found.append(psutil.Process(part.pid))
        return found

    def _workers(self) -> list[psutil.Process]:
        return [child for service in self._processes("service") for child in _children(service)]

    # What must hold

    def _check(self) -> None:
        """Finished runs are as they were when they were seen first; the database is whole."""
        integrity = self._store.health()["integrity"]
        self.report.integrity[integrity] += 1
        assert integrity == "ok"
        found = {record.id: record for record in self._store.runs(limit=100_000)}
        assert self._seen.keys() <= found.keys(), "a finished run is gone"
        for run_id, record in self._seen.items():
            assert found[run_id] == record, f"run {run_id} changed after its end"
        self.report.kept = len(self._seen)
        self._seen |= {run_id: record for run_id, record in found.items() if record.status.is_final}

    def _settle(self) -> None:
        """Let what is left end in peace."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            records = self._store.runs(limit=100_000)
            if all(record.status.is_final for record in records):
                break
            for number in range(SERVICES):
                self._start_if_dead(f"service {number}", self._service())
            time.sleep(0.2)
        self._check()

    def _end(self) -> None:
        for part in self._parts.values():
            part.terminate()
        for part in self._parts.values():
            try:
                part.wait(30)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()
            _close(part)

    def _check_what_is_left(self) -> None:
        """Every run ended as it may, nothing half-made can be seen, no process and no lock is left."""
        records = self._store.runs(limit=100_000)
        assert len(records) == self._asked
        for record in records:
            self._check_end(record)
            self.report.ends[record.status.value] += 1
        for stage in self._cache.glob("stages/*-*"):
            if (stage / ".complete").is_file():
                assert (stage / "weights").read_bytes() == worker.content(stage.name), f"{stage.name} is half-made"
                self.report.stages += 1
            elif stage.suffix == ".lock":
                try:
                    FileLock(stage).acquire(timeout=0)
                except Timeout:
                    raise AssertionError(f"{stage.name} is still held") from None
                self.report.locks += 1
        deadline = time.monotonic() + 10
        while (left := self._orphans()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.report.orphans = len(left)
        assert not left, f"left over: {left}"
        assert not self._store.services(alive_within_s=0.5)
        self._store.close()

    def _check_end(self, record: RunRecord) -> None:
        if record.status is Status.DONE:
            raw = self._store.raw(record.id).arrays
            np.testing.assert_array_equal(raw["predictions"], worker.expected(record.spec.seed))
            return
        assert record.status is Status.FAILED, f"run {record.id} is {record.status}"
        assert record.error is not None
        assert record.error.kind == "WorkerDiedError", record.error
        assert record.attempt == 2, f"run {record.id} was given up after {record.attempt} attempts"

    def _orphans(self) -> list[str]:
        found = []
        for process in psutil.process_iter(["pid", "cmdline"]):
            with _gone_is_fine():
                if process.pid != os.getpid() and process.environ().get("CHAOS") == self._mark:
                    found.append(" ".join(process.info["cmdline"] or []))
        return found


def _gone_is_fine() -> AbstractContextManager[None]:
    """Let a process end while it is looked at."""
    return suppress(psutil.Error, ProcessLookupError)


def _close(part: "subprocess.Popen[bytes]") -> None:
    """Close the pipe whose end ends a page."""
    if part.stdin:
        part.stdin.close()


def _children(process: psutil.Process) -> list[psutil.Process]:
    with _gone_is_fine():
        return list(process.children())
    return []
