"""Training texts as ids, for techniques that measure on a language model's artifact what rounding spoils."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.datasets.base import Question
from engine.models.base import Artifact, TrainingContext
from engine.models.prompts import load_tokenizer

LONGEST = 128


def calibration_ids(artifact: Artifact, samples: int, context: TrainingContext) -> list[NDArray[np.int64]]:
    """Return ``(1, tokens)`` ids of so many training texts, each a question with its right answer."""
    tokenizer, split = load_tokenizer(artifact.folder), context.dataset.train
    found = []
    for place in np.random.default_rng(context.seed).permutation(len(split))[:samples]:
        question = split.samples[int(place)]
        if isinstance(question, Question):
            right = int(split.labels[place]) if len(question.choices) > 1 else 0
            ids = tokenizer.encode(question.context + question.choices[right])[:LONGEST]
            found.append(np.asarray([ids], dtype=np.int64))
    return found
