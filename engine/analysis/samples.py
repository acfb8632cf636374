"""Single samples of a data set with what runs answered: the texts and images behind a number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.datasets.base import Dataset, Question, SplitName

MOST_SHOWN = 24
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class ShownSample:
    """One sample with its true class and what each run answered."""

    position: int
    text: str | None
    image: NDArray[np.uint8] | None
    """Grey pixels ``(height, width)``."""
    label: str
    answers: Mapping[str, str]
    """The class each run gave, by the run's name."""


def shown_samples(
    dataset: Dataset,
    split: SplitName,
    labels: NDArray[np.generic],
    answers: Mapping[str, NDArray[np.generic]],
    positions: Sequence[int],
) -> list[ShownSample]:
    """Return samples by their positions in a split, at most 24.

    Args:
        dataset: where the samples are.
        split: which part was scored.
        labels: the true classes that were stored with the run, ``(n,)``.
        answers: predicted classes by the name of their run, each ``(n,)``; ``-1`` is no answer.
        positions: which samples.

    Returns:
        Nothing where the data set is not (any more) the one that was scored: the stored labels differ from its own.
    """
    part = dataset.split(split)
    if not np.array_equal(part.labels, labels):
        return []
    return [
        ShownSample(
            position=position,
            text=_text(part.samples[position]) if isinstance(part.samples, list) else None,
            image=None if isinstance(part.samples, list) else part.samples[position],
            label=class_name(dataset, int(part.labels[position])),
            answers={name: class_name(dataset, _whole(made[position])) for name, made in answers.items()},
        )
        for position in positions[:MOST_SHOWN]
    ]


def class_name(dataset: Dataset, number: int) -> str:
    """Return what a class is called."""
    return dataset.classes[number] if 0 <= number < len(dataset.classes) else NO_ANSWER


def _text(sample: str | Question) -> str:
    """Return what a model was shown; of a question, what stands before the choices."""
    return sample if isinstance(sample, str) else sample.context


def _whole(value: Any) -> int:
    return int(value)
