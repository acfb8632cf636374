"""The contract of a data set: three splits of samples with integer labels."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError
from engine.spec import Frozen, Task

SplitName = Literal["train", "validation", "test"]


class Question(Frozen):
    """A sample of text generation: what may come after a context, and how likely a model finds each."""

    context: str
    choices: tuple[str, ...]
    """What is put behind the context, the blank between them included; the label says which one is right."""

    def __len__(self) -> int:
        """Return the characters of the context, by which samples are told short from long."""
        return len(self.context)


Samples = list[str] | list[Question] | NDArray[np.uint8]


@dataclass(frozen=True)
class Split:
    """Samples of one split; ``labels`` are ``(n,)`` int64.

    Samples are texts, questions, or a ``(n, 28, 28)`` uint8 array.
    """

    samples: Samples
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.samples) != len(self.labels):
            raise DataError(f"{len(self.samples)} samples have {len(self.labels)} labels; every sample needs one.")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A loaded data set. ``test`` is read once for each finished run and never steers anything."""

    name: str
    task: Task
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    content_hash: str
    """sha256 of the file it came from; part of every stage's key."""

    def split(self, name: SplitName) -> Split:
        """Return a split by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def limited(self, count: int) -> "Dataset":
        """Return at most ``count`` samples of test and a third as many of validation, chosen by a fixed seed."""
        drawn = hashlib.sha256(f"{self.content_hash}:{count}".encode()).hexdigest()
        return replace(
            self,
            validation=_drawn(self.validation, max(1, count // 3)),
            test=_drawn(self.test, count),
            content_hash=drawn,  # stages keep what validation said, and that is of these samples
        )


def _drawn(split: Split, count: int) -> Split:
    """Return so many samples in their order, all where there are no more."""
    indices = np.sort(np.random.default_rng(0).permutation(len(split))[:count])
    samples: Any = split.samples
    taken = samples[indices] if isinstance(samples, np.ndarray) else [samples[index] for index in indices]
    return Split(taken, split.labels[indices])


class DatasetEntry(ABC):
    """A data set that can be chosen by name."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    task: ClassVar[Task]
    licence: ClassVar[str]
    samples: ClassVar[int | None] = None
    """Test samples that are scored unless a person asks for more or fewer (``NAME:samples=N``); ``None`` for all."""

    @abstractmethod
    def load(self) -> Dataset:
        """Read the data set from disk."""
