"""How likely a language model finds continuations: the requests of lm-evaluation-harness, on any source of logits."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.datasets.base import Question
from engine.errors import DataError
from engine.models.prompts import PromptTokenizer

Ids = NDArray[np.int64]
"""Token ids, ``(length,)``."""
LogitsOf = Callable[[Sequence[Ids]], Iterable[NDArray[np.float32]]]
"""Returns, for each sequence in its order, ``(length, vocabulary)`` logits of the token after each of its tokens."""
Scores = NDArray[np.float32]

IMPOSSIBLE = np.float32(-1e30)
"""Log-likelihood of a continuation that a question does not have, because others have more."""


def score(logits_of: LogitsOf, tokenizer: PromptTokenizer, questions: Sequence[Question], window: int) -> Scores:
    """Return ``(n, choices, 2)``: log-likelihood of each continuation, and 1 where greedy decoding would say it.

    Args:
        logits_of: the model.
        tokenizer: the model's.
        questions: contexts with their continuations.
        window: the longest sequence the model takes; longer contexts lose their beginning, as in the harness.

    Raises:
        DataError: if there are none, or a continuation has no token of its own.
    """
    if not questions:
        raise DataError("There is nothing to score: the split is empty.")
    scores = np.zeros((len(questions), max(len(question.choices) for question in questions), 2), dtype=np.float32)
    scores[..., 0] = IMPOSSIBLE
    places, sequences, starts = [], [], []
    for row, question in enumerate(questions):
        for column, continuation in enumerate(question.choices):
            context, rest = encode_pair(tokenizer, question.context, continuation)
            whole = [*context, *rest][-window:]
            places.append((row, column))
            sequences.append(np.asarray(whole, dtype=np.int64))
            starts.append(len(whole) - len(rest))
    order = np.argsort([len(sequence) for sequence in sequences], kind="stable")
    answers = logits_of([sequences[place] for place in order])
    for place, logits in zip(order, answers, strict=True):
        scores[places[place]] = continuation_score(logits, sequences[place], starts[place])
    return scores


def encode_pair(tokenizer: PromptTokenizer, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Return the ids of a context and of what follows, cut where the ids of the whole text are.

    Raises:
        DataError: if one of the two has no token.
    """
    whole, before = tokenizer.encode(context + continuation), tokenizer.encode(context)
    if not before or len(whole) <= len(before):
        raise DataError(f"'{continuation}' behind '{context[-40:]}' has no token of its own; leave this sample out.")
    return whole[: len(before)], whole[len(before) :]


def continuation_score(logits: NDArray[np.float32], sequence: Ids, start: int) -> tuple[float, float]:
    """Return the log-likelihood of ``sequence[start:]``, and 1 where each of its tokens is the most likely one.

    Args:
        logits: ``(length, vocabulary)``; row ``i`` is about token ``i + 1``.
        sequence: ``(length,)`` ids.
        start: first token of the continuation, at least 1.
    """
    from scipy.special import log_softmax

    rows, wanted = logits[start - 1 : len(sequence) - 1].astype(np.float64), sequence[start:]
    likelihood = float(log_softmax(rows, axis=1)[np.arange(len(wanted)), wanted].sum())
    return likelihood, float((rows.argmax(axis=1) == wanted).all())


def predictions(scores: Scores) -> NDArray[np.int64]:
    """Return the most likely choice; of a single continuation, 1 where greedy decoding says it; -1 for no answer."""
    answered = np.isfinite(scores).all(axis=(1, 2))
    chosen = scores[..., 0].argmax(axis=1) if scores.shape[1] > 1 else scores[:, 0, 1]
    found: NDArray[np.int64] = np.where(answered, chosen, -1).astype(np.int64)
    return found


def positions(tokenizer: PromptTokenizer, questions: Sequence[Question], count: int) -> list[Ids]:
    """Return the ids of the first contexts, cut so that they have ``count`` tokens together if there are so many."""
    sequences: list[Ids] = []
    left = count
    for question in questions:
        if left <= 0:
            break
        ids = tokenizer.encode(question.context)[:left]
        if ids:
            sequences.append(np.asarray(ids, dtype=np.int64))
            left -= len(ids)
    return sequences
