"""What else the machine did while it was timed: seen from outside by the parent, and between passes from inside."""

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from engine.measure.turns import Clock

YARDSTICK_ROUNDS = 5
_YARDSTICK_WORK = bytes(64 * 1024)
_TASKS = Path("/proc/self/task")


@dataclass(frozen=True)
class CoreTimes:
    """CPU seconds that some cores have spent since the machine started."""

    busy_s: float
    steal_s: float
    cores: int


def core_times(cores: tuple[int, ...] | None) -> CoreTimes | None:
    """Return what ``cores`` (all, if none are named) have done so far; ``None`` where it may not be read."""
    try:
        every = psutil.cpu_times(percpu=True)
    except (OSError, psutil.Error):
        return None
    chosen = [every[core] for core in cores] if cores and max(cores) < len(every) else every
    if not chosen:
        return None
    names = ("user", "nice", "system", "irq", "softirq")
    busy = sum(float(getattr(times, name, 0.0)) for times in chosen for name in names)
    return CoreTimes(busy, sum(float(getattr(times, "steal", 0.0)) for times in chosen), len(chosen))


def pin(pid: int, cores: tuple[int, ...] | None) -> bool:
    """Hold a process that has just started on ``cores``; return whether that was allowed."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        return False
    with suppress(OSError):
        os.sched_setaffinity(pid, cores)
        return True
    return False


def pin_threads(cores: tuple[int, ...] | None, tasks: Path = _TASKS) -> int:
    """Hold the busiest threads of this process on a core each, as ``OMP_PROC_BIND`` does for one library alone.

    Left to the scheduler, two threads that wake up together may share a core for a while; that made equal processes
    differ by a tenth.

    Args:
        cores: what this process may use.
        tasks: where Linux shows the threads.

    Returns:
        How many threads were pinned; 0 where the system does not tell or does not allow it.
    """
    busy: list[tuple[int, int]] = []
    with suppress(OSError, ValueError):
        for task in tasks.iterdir():
            busy.append((int((task / "schedstat").read_text("ascii").split()[0]), int(task.name)))
    pinned = 0
    with suppress(OSError, AttributeError):
        for core, (_, thread) in zip(cores or (), sorted(busy, reverse=True), strict=False):
            os.sched_setaffinity(thread, {core})
            pinned += 1
    return pinned


def yardstick_ns(clock: Clock = time.perf_counter_ns) -> int:
    """Time a fixed piece of work, the fastest of a few: it lasts longer when the core's clock slows down.

    A virtual machine does not tell its frequency; this works everywhere and takes a quarter of a millisecond.
    """
    times = []
    for _ in range(YARDSTICK_ROUNDS):
        started = clock()
        hashlib.sha256(_YARDSTICK_WORK).digest()
        times.append(clock() - started)
    return min(times)


def migrations(tasks: Path = _TASKS) -> int | None:
    """Return how often this process's threads were moved between cores so far, as the scheduler counts it.

    Where the kernel does not count, ``None``.
    """
    total = None
    with suppress(OSError, ValueError):
        for task in tasks.iterdir():
            for line in (task / "sched").read_text("ascii").splitlines():
                if line.startswith("se.nr_migrations"):
                    total = (total or 0) + int(line.partition(":")[2])
    return total


@dataclass
class Watch:
    """Looks at the cores between passes, never within one."""

    clock: Clock = time.perf_counter_ns
    _yardsticks: list[int] = field(default_factory=list)
    _moved: int | None = None
    _began: int = 0

    def start(self) -> None:
        """Begin to count."""
        self._moved, self._began = migrations(), self.clock()

    def __call__(self) -> None:
        """Take one reading of the cores' speed."""
        self._yardsticks.append(yardstick_ns(self.clock))

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the readings: ``yardstick_ns`` by pass, ``migrations_per_s`` (not a number where unknown)."""
        after, seconds = migrations(), (self.clock() - self._began) / 1e9
        rate = np.nan if after is None or self._moved is None or seconds <= 0 else (after - self._moved) / seconds
        return {
            "yardstick_ns": np.asarray(self._yardsticks, dtype=np.int64),
            "migrations_per_s": np.asarray(max(0.0, rate) if np.isfinite(rate) else np.nan),
        }
