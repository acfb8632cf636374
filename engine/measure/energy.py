"""Energy where the hardware counts it: RAPL for processors, NVML for NVIDIA GPUs. Never an estimate."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RAPL_FOLDER = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3


@dataclass(frozen=True)
class Counter:
    """One hardware counter of joules that only grows, but for a wrap at ``range_j``."""

    name: str
    read_j: Callable[[], float]
    range_j: float | None = None
    errors: tuple[type[Exception], ...] = (OSError, ValueError)
    """What reading raises where it is not allowed; RAPL is root's alone on many systems."""

    def difference(self, before_j: float, after_j: float) -> float:
        """Return the joules between two readings, a wrap in between allowed for."""
        grown = after_j - before_j
        return grown + self.range_j if grown < 0 and self.range_j else max(0.0, grown)


class Meter:
    """Counts joules from its making to :meth:`joules`, without pauses; of the whole package or GPU, whoever uses it."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        read = [(counter, value) for counter in counters if (value := _read(counter)) is not None]
        self._counters = [counter for counter, _ in read]
        self._before: list[float | None] = [value for _, value in read]
        self._used_j: float | None = 0.0 if read else None

    @property
    def source(self) -> str:
        """The counters that can be read, empty for none."""
        return ", ".join(counter.name for counter in self._counters)

    def resume(self) -> None:
        """Count again."""
        self._before = [_read(counter) for counter in self._counters]

    def pause(self) -> None:
        """Leave out what is used until :meth:`resume`, because it is somebody else's."""
        for counter, before in zip(self._counters, self._before, strict=True):
            after = _read(counter)
            if before is None or after is None:
                self._used_j = None
            elif self._used_j is not None:
                self._used_j += counter.difference(before, after)

    def joules(self) -> float | None:
        """Stop, and return what was used while it counted; ``None`` where no counter can be read."""
        self.pause()
        self._before = [None] * len(self._counters)
        return self._used_j


def counters(device: str, rapl_folder: Path = RAPL_FOLDER, nvml: Any | None = None) -> list[Counter]:
    """Return the counters that cover ``device``: those of the processor packages, and of its GPU if it is one.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        rapl_folder: where Linux shows RAPL; a package has ``intel-rapl:0``, its parts ``intel-rapl:0:0``. AMD's
            processors appear under the same names.
        nvml: the module ``pynvml``, if it is to be another than the installed one.
    """
    found = [_rapl(zone) for zone in sorted(rapl_folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    if device.startswith("cuda"):
        found += _nvml(int(device.partition(":")[2] or 0), nvml)
    return found


def _rapl(zone: Path) -> Counter:
    name, range_j = zone.name, None
    with suppress(OSError, ValueError):
        name = (zone / "name").read_text("ascii").strip()
        range_j = int((zone / "max_energy_range_uj").read_text("ascii")) * _MICRO
    return Counter(f"RAPL {name}", lambda: int((zone / "energy_uj").read_text("ascii")) * _MICRO, range_j)


def _nvml(index: int, module: Any | None) -> list[Counter]:
    try:
        library = module or importlib.import_module("pynvml")
    except ImportError:
        return []
    try:
        library.nvmlInit()
        handle = library.nvmlDeviceGetHandleByIndex(index)
    except library.NVMLError:  # no driver, or no such GPU
        return []

    def read_j() -> float:
        return float(library.nvmlDeviceGetTotalEnergyConsumption(handle)) * _MILLI

    return [Counter(f"NVML gpu {index}", read_j, errors=(library.NVMLError,))]


def _read(counter: Counter) -> float | None:
    """Return a counter's joules; ``None`` where it may not be read."""
    try:
        return counter.read_j()
    except counter.errors:
        return None
