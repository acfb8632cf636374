"""How much of a machine one run may take: time, memory and log."""

import contextlib
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

from engine.errors import InvalidValueError

HOURS_VARIABLE, MEMORY_VARIABLE = "SUBSECOND_RUN_HOURS", "SUBSECOND_RUN_MEMORY_GB"
_MEMORY_SHARE = 0.9
_FIRST_VICTIM = 500
"""Added to a worker's badness, of at most 1000, when the kernel has to end something for memory: never the engine."""
_TAIL_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run, its children included where the system can tell."""

    wall_s: float = 12 * 3600.0
    memory_bytes: int | None = None
    """Of each process; ``None`` for nine tenths of what the machine has."""
    log_bytes: int = 8_000_000

    @classmethod
    def of_environment(cls) -> "Limits":
        """Return the bounds that ``SUBSECOND_RUN_HOURS`` and ``SUBSECOND_RUN_MEMORY_GB`` ask for.

        Raises:
            InvalidValueError: if one of them is no positive number.
        """
        hours, gigabytes = positive_number(HOURS_VARIABLE), positive_number(MEMORY_VARIABLE)
        return cls(
            wall_s=cls().wall_s if hours is None else hours * 3600,
            memory_bytes=None if gigabytes is None else int(gigabytes * 1e9),
        )

    @property
    def time_sentence(self) -> str:
        """What a run hears that took too long."""
        return (
            f"The run took longer than {self.wall_s / 3600:g} hours and was stopped. Choose less effort or a smaller "
            f"model, or allow more: {HOURS_VARIABLE}={2 * self.wall_s / 3600:g}."
        )

    def hold(self, pid: int) -> None:
        """Bound the memory of a process and of the children it will have; what a system does not know is left out."""
        limit = self.memory_bytes or int(psutil.virtual_memory().total * _MEMORY_SHARE)
        with contextlib.suppress(AttributeError, ImportError, OSError, ValueError):
            import resource

            # Linux counts private writable memory here, since 4.7 the anonymous mappings too; shared libraries and
            # files that are mapped for reading are free.
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/oom_score_adj").write_text(str(_FIRST_VICTIM))


class BoundedLog:
    """A file that grows to a bound and then keeps only the end of what else is written.

    The end is what tells why a run failed; it is put behind a note of what is missing when the log is closed.
    """

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file, self._left = file, limit_bytes
        self._tail: deque[bytes] = deque()
        self._tail_bytes = self._dropped = 0

    def write(self, data: bytes) -> None:
        """Add to the log; a full disk must not stop whoever writes."""
        now, later = data[: self._left], data[self._left :]
        self._left -= len(now)
        if now:
            with contextlib.suppress(OSError, ValueError):  # a child that outlived its group may still speak
                self._file.write(now)
        if later:
            self._tail.append(later)
            self._tail_bytes += len(later)
            while self._tail_bytes - len(self._tail[0]) > _TAIL_BYTES:
                gone = len(self._tail.popleft())
                self._tail_bytes -= gone
                self._dropped += gone

    def close(self) -> None:
        """Write the end and close the file."""
        with contextlib.suppress(OSError):
            if self._tail:
                self._file.write(f"\n--- {self._dropped:,} bytes were left out here ---\n".encode())
                self._file.write(b"".join(self._tail))
        with contextlib.suppress(OSError):
            self._file.close()


def positive_number(variable: str) -> float | None:
    """Return what a variable of the environment asks for, ``None`` where it is not set.

    Raises:
        InvalidValueError: if it is no positive number.
    """
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InvalidValueError(f"{variable}={text[:40]!r} is no positive number; leave it out or give one.")
    return value
