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
    """Counts joules from its making to :meth:`joules`; of the whole package or GPU, whoever uses it."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._started = [(counter, value) for counter in counters if (value := _read(counter)) is not None]

    @property
    def source(self) -> str:
        """The counters that can be read, empty for none."""
        return ", ".join(counter.name for counter, _ in self._started)

    def joules(self) -> float | None:
        """Return what was used since the start; ``None`` where no counter can be read."""
        used = [
            counter.difference(before, after)
            for counter, before in self._started
            if (after := _read(counter)) is not None
        ]
        return sum(used) if used else None


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
