"""The contract of a data set: three splits of samples with integer labels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError
from engine.spec import Task

SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Split:
    """Samples of one split: ``samples`` are texts, or a ``(n, 28, 28)`` uint8 array; ``labels`` are ``(n,)`` int64."""

    samples: list[str] | NDArray[np.uint8]
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


class DatasetEntry(ABC):
    """A data set that can be chosen by name."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    task: ClassVar[Task]
    licence: ClassVar[str]

    @abstractmethod
    def load(self) -> Dataset:
        """Read the data set from disk."""
