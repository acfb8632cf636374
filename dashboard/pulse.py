"""How busy this machine is, sampled while somebody looks: processor, memory, and the engine's part of them."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

import psutil
import streamlit as st

KEPT = 600
"""Samples; with one every two seconds, twenty minutes."""
LEAST_S = 1.0
"""Between two samples, whoever asks."""


@dataclass(frozen=True)
class Sample:
    """One look at the machine."""

    at: datetime
    cpu_percent: float | None
    """Since the sample before; the first has none."""
    memory_bytes: int
    engine_bytes: int | None
    """Resident memory of the engine and its workers, where they run on this machine."""
    waiting: int


class Pulse:
    """The last samples, shared by all who look; nothing is sampled while nobody does.

    Args:
        now: the clock.
        worked: seconds that all cores were busy, and those of either kind.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        worked: Callable[[], tuple[float, float]] | None = None,
    ) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._lock = Lock()
        self._now = now
        self._worked = worked or cpu_seconds
        self._before = self._worked()

    def look(self, engine_pid: int | None, waiting: int) -> Sequence[Sample]:
        """Add a sample if the last one is old enough, and return all."""
        with self._lock:
            now = self._now()
            if not self._samples or (now - self._samples[-1].at).total_seconds() >= LEAST_S:
                memory, busy = psutil.virtual_memory(), self._busy_percent()
                self._samples.append(
                    Sample(
                        now,
                        busy if self._samples else None,
                        memory.total - memory.available,
                        tree_bytes(engine_pid),
                        waiting,
                    )
                )
            return tuple(self._samples)

    def _busy_percent(self) -> float:
        before, self._before = self._before, self._worked()
        busy, whole = (after - earlier for after, earlier in zip(self._before, before, strict=True))
        return 100 * busy / whole if whole > 0 else 0.0


def cpu_seconds() -> tuple[float, float]:
    """Return the seconds that all cores were busy since the start, and those of either kind.

    ``psutil.cpu_percent`` compares with the last call of the same thread, and every rerun of a page is a new one.
    """
    times = psutil.cpu_times()
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # these are in user and nice
    return whole - times.idle - getattr(times, "iowait", 0.0), whole


def tree_bytes(pid: int | None) -> int | None:
    """Return the resident memory of a process and its children, ``None`` where it is not to be seen here."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        return sum(_resident(one) for one in (process, *process.children(recursive=True)))
    except psutil.Error:
        return None


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has just ended
        return 0


@st.cache_resource(show_spinner=False)
def pulse() -> Pulse:
    """Return the samples of this server."""
    return Pulse()
