"""Starting fresh inference processes and watching them from outside, without stealing their time."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO

import numpy as np
import psutil
from numpy.typing import NDArray

from engine.errors import MeasurementError
from engine.measure.disturbance import CoreTimes, core_times, pin
from engine.measure.jobs import InferenceJob

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


Launcher = Callable[[InferenceJob], ProcessReport]


def launch(job: InferenceJob) -> ProcessReport:
    """Run one inference job in a fresh process; block until it has answered.

    The parent sleeps in a read while the child times: a parent that polls was seen to raise the child's median.

    Raises:
        MeasurementError: if the process ended without an answer; its last words are in the run's log.
    """
    job_file = job.output.with_suffix(".json")
    job_file.write_text(job.model_dump_json(), "utf-8")
    threads = str(job.backend.params.get("threads", 0) or os.cpu_count() or 1)
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, threads)}
    if job.mode == "time":
        environment.pop("OMP_WAIT_POLICY", None)  # a worker's threads sleep while they wait; timed ones do as they do
    child = subprocess.Popen(
        [sys.executable, "-m", "engine.inference", str(job_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env=environment,
        text=True,
    )
    with child:
        pinned = pin(child.pid, job.cores)  # before it has threads, so that all of them inherit it
        watched = job.cores if pinned else None
        before, started = core_times(watched), monotonic()
        answered = _pipe(child.stdout).readline()
        elapsed_s, after = monotonic() - started, core_times(watched)
        peak, own_cpu_s = _seen_from_outside(child.pid) if answered else (None, None)
        _pipe(child.stdin).close()
    if not answered:
        raise MeasurementError(
            f"The inference process ended without an answer (exit code {child.returncode}). The run's log says why."
        )
    with np.load(job.output, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return ProcessReport(arrays, peak, *_shares(before, after, elapsed_s, own_cpu_s), pinned)


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
