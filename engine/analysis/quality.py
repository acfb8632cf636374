"""How good answers are, by task: from the scores of every sample to predictions, labels and metrics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.analysis import statistics
from engine.datasets.base import Question, Split
from engine.models import likelihood
from engine.results import Metric

Scores = NDArray[np.float32]
_Z = 1.959964
"""Standard deviations to each side of a 95 % interval."""


@dataclass(frozen=True)
class Judgement:
    """What became of a split: ``predictions`` and ``labels`` are ``(n,)``, -1 stands for no answer."""

    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    metrics: dict[str, Metric]


def judge(scores: Scores, split: Split) -> Judgement:
    """Judge the scores of every sample of a split.

    Args:
        scores: ``(n, classes)`` logits, or ``(n, choices, 2)`` of :func:`engine.models.likelihood.score`.
        split: the samples they belong to, in the same order.
    """
    if scores.ndim == 2:
        metrics = statistics.classification_metrics(scores, split.labels)
        return Judgement(statistics.predictions_of(scores), split.labels, metrics)
    predictions = likelihood.predictions(scores)
    metrics = {"accuracy": statistics.wilson(int((predictions == split.labels).sum()), len(split))}
    if scores.shape[1] == 1:
        metrics["perplexity"] = perplexity(scores[:, 0, 0])
    else:
        metrics["accuracy_norm"] = _normalised_accuracy(scores, split)
    return Judgement(predictions, split.labels, metrics)


def perplexity(log_likelihoods: NDArray[np.float32]) -> Metric:
    """Return ``exp`` of the mean negative log-likelihood, as lm-evaluation-harness has it for LAMBADA.

    The interval is that of the mean by the normal approximation; ``None`` where a value is not finite.
    """
    return _exp_of_mean(-log_likelihoods.astype(np.float64))


def perplexity_ratio(scores: Scores, reference: Scores) -> Metric | None:
    """Return a variant's perplexity over the reference's, paired by sample; ``None`` where there is no perplexity."""
    if scores.ndim == 2 or scores.shape[1] > 1:
        return None
    return _exp_of_mean(reference[:, 0, 0].astype(np.float64) - scores[:, 0, 0].astype(np.float64))


def _exp_of_mean(values: NDArray[np.float64]) -> Metric:
    count = len(values)
    if not np.isfinite(values).all():
        return Metric(value=None, n=count)
    mean = float(values.mean())
    reach = _Z * float(values.std(ddof=1)) / count**0.5 if count > 1 else 0.0
    value, low, high = (float(np.exp(min(power, 700.0))) for power in (mean, mean - reach, mean + reach))
    return Metric(value=value, ci95=(low, high) if count > 1 else None, n=count)


def _normalised_accuracy(scores: Scores, split: Split) -> Metric:
    """Return the share right when log-likelihoods are divided by the length of the choice in characters.

    That is ``acc_norm`` of lm-evaluation-harness, which does not count the blank before a choice.
    """
    lengths = np.ones(scores.shape[:2])
    for row, question in enumerate(split.samples):
        if isinstance(question, Question):
            lengths[row, : len(question.choices)] = [len(choice.removeprefix(" ")) for choice in question.choices]
    chosen = (scores[..., 0] / lengths).argmax(axis=1)
    right = (chosen == split.labels) & np.isfinite(scores).all(axis=(1, 2))
    return statistics.wilson(int(right.sum()), len(split))
