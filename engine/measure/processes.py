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
from engine.measure.jobs import InferenceJob

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class ProcessReport:
    """What one inference process answered, and what was seen of it from outside."""

    arrays: Mapping[str, NDArray[np.generic]]
    peak_memory_bytes: int | None
    foreign_share: float
    """CPU time of everybody else while it ran, as a share of all cores."""
    steal_share: float
    """CPU time the hypervisor gave to others, as a share of all cores."""


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
    before, started = psutil.cpu_times(), monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "engine.inference", str(job_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env=environment,
        text=True,
    )
    with child:
        answered = _pipe(child.stdout).readline()
        elapsed_s, after = monotonic() - started, psutil.cpu_times()
        peak, own_cpu_s = _seen_from_outside(child.pid) if answered else (None, 0.0)
        _pipe(child.stdin).close()
    if not answered:
        raise MeasurementError(
            f"The inference process ended without an answer (exit code {child.returncode}). The run's log says why."
        )
    capacity_s = elapsed_s * (psutil.cpu_count() or 1)
    foreign_s = _busy(after) - _busy(before) - own_cpu_s
    steal_s = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
    with np.load(job.output, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return ProcessReport(arrays, peak, max(0.0, foreign_s / capacity_s), max(0.0, steal_s / capacity_s))


def _pipe(stream: IO[str] | None) -> IO[str]:
    """Return a pipe that was asked for."""
    if stream is None:
        raise MeasurementError("The inference process has no pipe to its parent.")
    return stream


def _seen_from_outside(pid: int) -> tuple[int | None, float]:
    """Return peak resident bytes and CPU seconds of a process that is still there."""
    peak = None
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):  # of this program alone; ru_maxrss keeps the parent's from before exec
                peak = int(line.split()[1]) * 1024
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        times = process.cpu_times()
        return peak or process.memory_info().rss, times.user + times.system
    return peak, 0.0


def _busy(times: object) -> float:
    """Return the CPU seconds spent on work, over all cores."""
    names = ("user", "nice", "system", "irq", "softirq")
    return sum(float(getattr(times, name, 0.0)) for name in names)
