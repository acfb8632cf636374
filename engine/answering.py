"""How samples of a task are put to a model or to an exported artifact, and what comes back: scores, and rows to check.

Scores of a classifier are logits ``(n, classes)``; those of a language model are ``(n, choices, 2)``, see
:mod:`engine.models.likelihood`. The rows that an artifact is checked by are logits in both cases.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Backend
from engine.backends.torch_text import TorchGenerator
from engine.datasets.base import Question, Samples, Split
from engine.datasets.files import take
from engine.errors import DataError
from engine.models import effects, likelihood, training
from engine.models.base import Artifact, TrainedModel
from engine.models.preprocess import load_preprocessor
from engine.models.prompts import PromptTokenizer, load_tokenizer
from engine.spec import Task

Scores = NDArray[np.float32]

CHECKED_SAMPLES = 64
CHECKED_POSITIONS = 200


class Answering(ABC):
    """One way to ask; stateless."""

    checked: str
    """What a row of the check is called."""

    @abstractmethod
    def scores_of_model(self, model: TrainedModel, split: Split) -> Scores:
        """Return what the unexported model says of every sample."""

    @abstractmethod
    def scores_of(
        self, backend: Backend[Any], artifact: Artifact, options: Any, samples: Samples, batch_size: int = 1
    ) -> Scores:
        """Return what an artifact says of every sample, on its backend."""

    @abstractmethod
    def rows_of_model(self, model: TrainedModel, split: Split) -> Scores:
        """Return the ``(rows, outcomes)`` logits by which exported artifacts are checked."""

    @abstractmethod
    def rows_of(self, backend: Backend[Any], artifact: Artifact, options: Any, split: Split) -> Scores:
        """Return the same rows from an artifact."""

    @abstractmethod
    def share_right(self, scores: Scores, split: Split) -> float:
        """Return the share of samples answered rightly."""

    @abstractmethod
    def flops(self, model: TrainedModel, split: Split) -> float:
        """Return the floating-point operations of one sample, or of one token of a text."""

    @abstractmethod
    def written(self, samples: Samples) -> list[str] | NDArray[np.uint8]:
        """Return samples in a form that a file of arrays can hold; :meth:`read` reverses it."""

    @abstractmethod
    def read(self, written: list[str] | NDArray[np.uint8]) -> Samples:
        """Return the samples that were written."""


class Classifying(Answering):
    """A sample is preprocessed and answered with a logit for each class."""

    checked = "samples"

    def scores_of_model(self, model: TrainedModel, split: Split) -> Scores:
        """Return ``(n, classes)``."""
        return training.predict(model, split)

    def scores_of(
        self, backend: Backend[Any], artifact: Artifact, options: Any, samples: Samples, batch_size: int = 1
    ) -> Scores:
        """Return ``(n, classes)``."""
        session = backend.load(artifact, options)
        encode = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
        starts = range(0, len(samples), batch_size)
        rows = [np.arange(start, min(start + batch_size, len(samples))) for start in starts]
        answers = []
        for chosen in rows:
            answers.append(session.run(encode(take(samples, chosen))))
            session.synchronize()
        return np.concatenate(answers)

    def rows_of_model(self, model: TrainedModel, split: Split) -> Scores:
        """Return the logits of the first samples."""
        return training.predict(model, first_samples(split))

    def rows_of(self, backend: Backend[Any], artifact: Artifact, options: Any, split: Split) -> Scores:
        """Return the logits of the first samples, one at a time."""
        return self.scores_of(backend, artifact, options, first_samples(split).samples)

    def share_right(self, scores: Scores, split: Split) -> float:
        """Return the share whose largest logit is that of their class."""
        right, count = effects.share_right(scores, split)
        return right / count

    def flops(self, model: TrainedModel, split: Split) -> float:
        """Return those of a sample of median length."""
        return effects.flops(model, split)

    def written(self, samples: Samples) -> list[str] | NDArray[np.uint8]:
        """Return them as they are."""
        return samples if isinstance(samples, np.ndarray) else [str(text) for text in samples]

    def read(self, written: list[str] | NDArray[np.uint8]) -> Samples:
        """Return them as they are."""
        return written


class Generating(Answering):
    """A question is answered by how likely each continuation of its context is."""

    checked = "next tokens"

    def scores_of_model(self, model: TrainedModel, split: Split) -> Scores:
        """Return ``(n, choices, 2)``."""
        window = model.preprocess.max_length
        generator = TorchGenerator(model)
        return likelihood.score(generator.logits, _tokenizer_of(model), _questions(split.samples), window)

    def scores_of(
        self, backend: Backend[Any], artifact: Artifact, options: Any, samples: Samples, batch_size: int = 1
    ) -> Scores:
        """Return ``(n, choices, 2)``."""
        tokenizer, window = load_tokenizer(artifact.folder), artifact.manifest.preprocess.max_length
        generator = backend.load_generator(artifact, options)
        return likelihood.score(generator.logits, tokenizer, _questions(samples), window)

    def rows_of_model(self, model: TrainedModel, split: Split) -> Scores:
        """Return the logits after the first tokens of the first contexts."""
        chosen = likelihood.positions(_tokenizer_of(model), _questions(split.samples), CHECKED_POSITIONS)
        return np.concatenate(list(TorchGenerator(model).logits(chosen)))

    def rows_of(self, backend: Backend[Any], artifact: Artifact, options: Any, split: Split) -> Scores:
        """Return the logits after the first tokens of the first contexts."""
        tokenizer = load_tokenizer(artifact.folder)
        chosen = likelihood.positions(tokenizer, _questions(split.samples), CHECKED_POSITIONS)
        return np.concatenate(list(backend.load_generator(artifact, options).logits(chosen)))

    def share_right(self, scores: Scores, split: Split) -> float:
        """Return the share whose right continuation is the most likely one."""
        return float((likelihood.predictions(scores) == split.labels).mean())

    def flops(self, model: TrainedModel, split: Split) -> float:
        """Return those of one token with nothing before it."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model.family.logits(model.module.eval(), {"input_ids": torch.zeros((1, 1), dtype=torch.int64)})
        return float(counter.get_total_flops())

    def written(self, samples: Samples) -> list[str] | NDArray[np.uint8]:
        """Return each question as JSON."""
        return [question.model_dump_json() for question in _questions(samples)]

    def read(self, written: list[str] | NDArray[np.uint8]) -> Samples:
        """Return the questions."""
        return [Question.model_validate_json(str(text)) for text in written]


def answering(task: Task) -> Answering:
    """Return how models of a task are asked."""
    return Generating() if task is Task.TEXT_GENERATION else Classifying()


def first_samples(split: Split) -> Split:
    """Return the samples that an artifact is checked by."""
    chosen = np.arange(min(CHECKED_SAMPLES, len(split)))
    return Split(take(split.samples, chosen), split.labels[chosen])


def _questions(samples: Samples) -> list[Question]:
    """Return the samples of a data set for language models.

    Raises:
        DataError: if they are anything else.
    """
    found = [sample for sample in samples if isinstance(sample, Question)]
    if len(found) != len(samples):
        raise DataError("These data hold no questions for a language model. Choose arc-easy or lambada.")
    return found


def _tokenizer_of(model: TrainedModel) -> PromptTokenizer:
    """Return the tokenizer of a model that is not an artifact yet."""
    return load_tokenizer(next(iter(model.preprocess_files.values())).parent)
