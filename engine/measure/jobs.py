"""What a fresh inference process is asked to do, and the files through which it answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.measure.timing import Plan
from engine.spec import SINGLE_STREAM, Choice, Frozen

Texts = list[str]
Samples = Texts | NDArray[np.uint8]


PartName = Literal["whole", "front", "back"]


class InferenceJob(Frozen):
    """One process: load an artifact on a backend, then time it or score with it."""

    mode: Literal["time", "score", "agree", "profile", "stream"]
    """``profile`` asks the runtime's own profiler where the time goes; ``agree`` times with two clocks in turn, ours
    and the standard library's ``timeit``; ``stream`` answers as often as it can beside other processes."""
    artifact: Path
    backend: Choice
    samples: Path
    """``.npz`` with ``samples``: texts as a unicode array, or images ``(n, height, width)`` uint8."""
    output: Path
    """``.npz`` to write: times in nanoseconds, or ``logits``."""
    batch_size: int
    cores: tuple[int, ...] | None
    min_iterations: int = 0
    min_seconds: float = 0.0
    warmup_seconds: float = 0.0
    pairs: int = 0
    part: PartName = "whole"
    """Of the model; a front sends what it puts out to the back, over :attr:`pipe`."""
    pipe: int | None = None
    """File descriptor of this process's end of the pipe between the two parts of a model."""
    parent: Path | None = None
    """What the artifact was made of on the same backend; ``profile`` then compares their layers."""
    scenario: Choice = SINGLE_STREAM
    seed: int = 0
    """Of what is random in a scenario; both sides of a pair have the same."""
    takes_turns: bool = False
    """Whether another process is timed beside it, in slices."""
    slowdown: float = 0.0
    """Share by which every query is made slower on purpose; only a self-check asks for it."""

    @property
    def affinity(self) -> str:
        """Return how its threads are held on :attr:`cores`, see :class:`engine.backends.base.BackendOptions`."""
        return str(self.backend.params.get("affinity", "each"))

    @property
    def plan(self) -> Plan:
        """Return the timing plan."""
        return Plan(self.pairs, self.min_iterations, self.min_seconds, self.warmup_seconds)


def write_samples(path: Path, samples: Samples) -> None:
    """Store raw samples so that they are read back without unpickling."""
    np.savez(path, samples=np.asarray(samples, dtype=np.str_ if isinstance(samples, list) else np.uint8))


def read_samples(path: Path) -> Samples:
    """Read what :func:`write_samples` wrote."""
    with np.load(path, allow_pickle=False) as file:
        samples: NDArray[Any] = file["samples"]
    if samples.dtype.kind == "U":
        texts: Texts = samples.tolist()
        return texts
    return samples


def save_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write named arrays under another name and rename, so that a file that can be seen is whole."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(arrays))
    temporary.replace(path)


def read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read what :func:`save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
