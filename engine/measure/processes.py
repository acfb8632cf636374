"""Starting fresh inference processes and watching them from outside, without stealing their time."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO

import numpy as np
import psutil
from numpy.typing import NDArray

from engine.backends import BACKENDS
from engine.environments import process_environment
from engine.errors import MeasurementError
from engine.measure.disturbance import CoreTimes, core_times, pin
from engine.measure.jobs import InferenceJob, read_arrays
from engine.measure.turns import queries_of_a_turn

READY, DONE, FAILED = "ready", "done", "failed"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class ProcessReport:
    """What one inference process answered, and what was seen of it from outside."""

    arrays: Mapping[str, NDArray[np.generic]]
    peak_memory_bytes: int | None
    foreign_share: float | None
    """CPU time of everybody else while it ran, as a share of the cores it was held on; ``None`` if unreadable."""
    steal_share: float | None
    """CPU time the hypervisor gave to others, as a share of these cores; ``None`` if unreadable."""
    pinned: bool = True
    """Whether it was held on its cores; on some systems that is not allowed."""


Launcher = Callable[[Sequence[InferenceJob]], list[ProcessReport]]
"""Runs jobs in fresh processes; several of them take turns."""


def launch(jobs: Sequence[InferenceJob]) -> list[ProcessReport]:
    """Run each job in a fresh process; block until all have answered.

    The processes start together and load their models one after the other, each while the others wait. Then they take
    turns, one at work, the others stopped. The parent sleeps in a read all the while: a parent that polls was seen to
    raise the child's median.

    Raises:
        MeasurementError: if a process ended without an answer; its last words are in the run's log.
    """
    with ExitStack() as ending:
        children = [ending.enter_context(_Child(job, takes_turns=len(jobs) > 1)) for job in jobs]
        watched = jobs[0].cores if all(child.is_held for child in children) else None
        before, started = core_times(watched), monotonic()
        for child in children:
            child.await_imports()
        for child in children:
            child.begin()
        _take_turns(children)
        elapsed_s, after = monotonic() - started, core_times(watched)
        seen = [child.seen_from_outside() for child in children]
        spent_s = [cpu_s for _, cpu_s in seen]
        own_cpu_s = None if None in spent_s else sum(cpu_s for cpu_s in spent_s if cpu_s is not None)
    shares = _shares(before, after, elapsed_s, own_cpu_s)
    reports = []
    for child, (peak, _) in zip(children, seen, strict=True):
        reports.append(ProcessReport(read_arrays(child.job.output), peak, *shares, child.pinned))
    return reports


def launch_together(jobs: Sequence[InferenceJob]) -> list[ProcessReport]:
    """Run jobs in fresh processes that work at once, each on its own cores; block until all are done.

    They begin when all have loaded and are warm. The front and the back of a model get the two ends of a pipe.

    Raises:
        MeasurementError: as :func:`launch` does.
    """
    with ExitStack() as ending:
        ends = _piped(jobs, ending)
        children = [
            ending.enter_context(_Child(job.model_copy(update={"pipe": end}), takes_turns=False))
            for job, end in zip(jobs, ends, strict=True)
        ]
        for end in ends:
            if end is not None:  # the child has it now; ours would keep the pipe open for ever
                os.close(end)
        for child in children:
            child.await_imports()
            child.begin()
        for child in children:
            child.tell(1, last=True)
        for child in children:
            child.listen()
        peaks = [child.seen_from_outside()[0] for child in children]
    return [
        ProcessReport(read_arrays(child.job.output), peak, None, None, child.pinned)
        for child, peak in zip(children, peaks, strict=True)
    ]


def _piped(jobs: Sequence[InferenceJob], ending: ExitStack) -> list[int | None]:
    """Return each job's end of a pipe from the front to the back of a model; ``None`` for whole models."""
    parts = [job.part for job in jobs]
    if "front" not in parts:
        return [None] * len(jobs)
    reading, writing = os.pipe()
    return [writing if part == "front" else reading for part in parts]


def _take_turns(children: Sequence["_Child"]) -> None:
    """Give one child after the other its turn, A B B A A B ..., until all have said that they are done."""
    queries = queries_of_a_turn([child.query_s for child in children])
    waiting = [child for child in children if not child.is_done]
    while waiting:
        for child in waiting:
            child.turn(queries, last=all(other.has_enough for other in children))
        waiting = [child for child in reversed(waiting) if not child.is_done]


class _Child:
    """One inference process, pinned before it has threads, so that all of them inherit it."""

    def __init__(self, job: InferenceJob, *, takes_turns: bool) -> None:
        job_file = job.output.with_suffix(".json")
        job = job.model_copy(update={"takes_turns": takes_turns})
        job_file.write_text(job.model_dump_json(), "utf-8")
        threads = str(job.backend.params.get("threads", 0) or os.cpu_count() or 1)
        environment = {**process_environment(), **dict.fromkeys(THREAD_VARIABLES, threads)}
        if job.mode == "time":
            environment.pop("OMP_WAIT_POLICY", None)  # a worker's threads sleep while they wait; timed ones do as usual
        self.job, self.is_done, self.has_enough, self.query_s = job, False, False, 0.0
        self._process = subprocess.Popen(
            [str(BACKENDS.get(job.backend.name).python), "-m", "engine.inference", str(job_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            env=environment,
            text=True,
            pass_fds=() if job.pipe is None else (job.pipe,),
        )
        self.is_held = job.affinity != "free" and pin(self._process.pid, job.cores)

    def __enter__(self) -> "_Child":
        return self

    @property
    def pinned(self) -> bool:
        """Tell whether it is where it was asked to be."""
        return self.is_held or self.job.affinity == "free"

    def __exit__(self, *_: object) -> None:
        """Dismiss the process: it ends when its standard input closes."""
        self._signal(signal.SIGCONT)
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        self._process.wait()

    def await_imports(self) -> None:
        """Wait until it has imported what it needs; loading, which is timed, begins when it is told.

        Raises:
            MeasurementError: if it ended instead.
        """
        self._hear()
        self._signal(signal.SIGSTOP)

    def begin(self) -> None:
        """Let it load, and wait until it hands over for the first time or is done."""
        self.turn(0, last=False)

    def turn(self, queries: int, *, last: bool) -> None:
        """Give it its turn and block until the end of it.

        Raises:
            MeasurementError: if it ended instead.
        """
        self._signal(signal.SIGCONT)
        self.tell(queries, last=last)
        self.listen()

    def tell(self, queries: int, *, last: bool) -> None:
        """Give it its turn."""
        with suppress(OSError):  # it has died; that is heard next
            stdin = _pipe(self._process.stdin)
            stdin.write(f"{'end' if last else 'go'} {queries}\n")
            stdin.flush()

    def listen(self) -> None:
        """Block until its turn has ended.

        Raises:
            MeasurementError: if it ended instead.
        """
        word, _, query_s = self._hear().partition(" ")
        # Stopped, not only blocked: a runtime's idle threads spin for fifty milliseconds, on the other side's cores.
        self._signal(signal.SIGSTOP)
        self.is_done, self.query_s = word == DONE, float(query_s or self.query_s)
        self.has_enough = self.has_enough or word in (DONE, "enough")

    def _hear(self) -> str:
        """Block until it says something."""
        line = _pipe(self._process.stdout).readline().strip()
        if not line:
            code = self._process.wait()
            raise MeasurementError(
                f"The inference process ended without an answer (exit code {code}). The run's log says why."
            )
        if line.startswith(f"{FAILED} "):
            raise MeasurementError(line.removeprefix(f"{FAILED} "))
        return line

    def _signal(self, number: signal.Signals) -> None:
        if self.job.takes_turns:
            self._process.send_signal(number)

    def seen_from_outside(self) -> tuple[int | None, float | None]:
        """Return peak resident bytes and CPU seconds, while it is still there."""
        return _seen_from_outside(self._process.pid)


def _shares(
    before: CoreTimes | None, after: CoreTimes | None, elapsed_s: float, own_cpu_s: float | None
) -> tuple[float | None, float | None]:
    """Return the shares of the cores' time that others used and that the hypervisor took away."""
    if before is None or after is None or elapsed_s <= 0:
        return None, None
    capacity_s = elapsed_s * after.cores
    steal = max(0.0, (after.steal_s - before.steal_s) / capacity_s)
    if own_cpu_s is None:
        return None, steal
    return max(0.0, (after.busy_s - before.busy_s - own_cpu_s) / capacity_s), steal


def _pipe(stream: IO[str] | None) -> IO[str]:
    """Return a pipe that was asked for."""
    if stream is None:
        raise MeasurementError("The inference process has no pipe to its parent.")
    return stream


def _seen_from_outside(pid: int) -> tuple[int | None, float | None]:
    """Return peak resident bytes and CPU seconds of a process that is still there."""
    peak: int | None = None
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):  # of this program alone; ru_maxrss keeps the parent's from before exec
                peak = int(line.split()[1]) * 1024
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        times = process.cpu_times()
        return peak or process.memory_info().rss, times.user + times.system
    return peak, None
