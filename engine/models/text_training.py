"""Recovering a language model after a cut: it learns to say what the whole model said, token by token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.datasets.base import Question, Split
from engine.errors import TrainingError
from engine.models.base import TrainedModel, TrainingContext
from engine.models.prompts import load_tokenizer

if TYPE_CHECKING:
    import torch

Ids = NDArray[np.int64]

LONGEST = 128
"""Tokens of a sequence that are learnt from."""
_WARMUP_SHARE = 0.1
_IGNORED = -100


def sequences(model: TrainedModel, split: Split, count: int | None = None, seed: int = 0) -> list[Ids]:
    """Return the ids of contexts with their right continuations, at most :data:`LONGEST` each.

    Args:
        model: whose tokenizer it is.
        split: of questions; for calibration and recovery always ``train``.
        count: so many of them, drawn by ``seed``; all for ``None``.
        seed: of the draw.
    """
    tokenizer = load_tokenizer(next(iter(model.preprocess_files.values())).parent)
    chosen = np.random.default_rng(seed).permutation(len(split))[: count or len(split)]
    found: list[Ids] = []
    for place in chosen:
        question = split.samples[int(place)]
        if isinstance(question, Question):
            right = int(split.labels[place]) if len(question.choices) > 1 else 0
            ids = tokenizer.encode(question.context + question.choices[right])[:LONGEST]
            if len(ids) > 1:
                found.append(np.asarray(ids, dtype=np.int64))
    if not found:
        raise TrainingError("These data hold no texts to learn from. Choose arc-easy or lambada.")
    return found


def loss(model: TrainedModel, texts: list[Ids], batch_size: int = 8) -> float:
    """Return the mean cross-entropy of the next token, in nats."""
    import torch
    from torch.nn import functional

    total, tokens = 0.0, 0
    model.module.eval()
    with torch.inference_mode():
        for start in range(0, len(texts), batch_size):
            ids, targets = _padded(texts[start : start + batch_size])
            logits = model.family.logits(model.module, {"input_ids": ids}).float()
            total += float(
                functional.cross_entropy(
                    logits.flatten(0, 1), targets.flatten(), ignore_index=_IGNORED, reduction="sum"
                )
            )
            tokens += int((targets != _IGNORED).sum())
    return total / tokens


def recover(
    model: TrainedModel,
    teacher: TrainedModel,
    context: TrainingContext,
    epochs: float,
    *,
    temperature: float = 1.0,
    weight: float = 1.0,
) -> None:
    """Train ``model`` in place to give the teacher's distribution of every next token (Hinton et al. 2015).

    Args:
        model: what was cut.
        teacher: the same model before the cut.
        context: whose ``train`` split holds the texts.
        epochs: passes over them; may be a fraction, zero changes nothing.
        temperature: softens both distributions.
        weight: share of the loss that follows the teacher; the rest follows the texts themselves.

    Raises:
        TrainingError: if the loss stops being finite.
    """
    import torch
    from torch.nn import functional

    settings = model.family.fine_tuning(model.family.variant(model.module))
    texts = sequences(model, context.dataset.train, seed=context.seed)
    steps = round(epochs * math.ceil(len(texts) / settings.batch_size))
    if steps < 1:
        return
    torch.manual_seed(context.seed)
    module = model.module.train()
    teacher.module.eval()
    optimizer = torch.optim.AdamW(module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=max(2, steps), pct_start=max(_WARMUP_SHARE, 1.5 / max(2, steps))
    )
    batches = _endless_batches(texts, settings.batch_size, context.seed)
    for step, batch in zip(range(steps), batches, strict=False):
        ids, targets = _padded(batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.autocast_bf16):
            with torch.no_grad():
                expected = teacher.family.logits(teacher.module, {"input_ids": ids})
            logits = model.family.logits(module, {"input_ids": ids})
        value = weight * temperature**2 * _apart(logits / temperature, expected / temperature, targets != _IGNORED)
        if weight < 1:
            said = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=_IGNORED)
            value = value + (1 - weight) * said
        if not torch.isfinite(value):
            raise TrainingError(
                f"Recovery diverged: the loss became {value.item()} at step {step + 1} of {steps}. Cut less."
            )
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        context.report((step + 1) / steps, f"step {step + 1} of {steps}, loss {value.item():.3f}")
    module.eval()


def _apart(logits: torch.Tensor, expected: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence over the positions that count."""
    from torch.nn import functional

    mine = functional.log_softmax(logits[counted].float(), dim=-1)
    theirs = functional.log_softmax(expected[counted].float(), dim=-1)
    apart: torch.Tensor = functional.kl_div(mine, theirs, log_target=True, reduction="batchmean")
    return apart


def _padded(texts: list[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and the ids that follow them, ``(batch, longest)``; behind an end nothing is expected."""
    import torch

    shape = (len(texts), max(len(ids) for ids in texts))
    ids, targets = torch.zeros(shape, dtype=torch.int64), torch.full(shape, _IGNORED)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.from_numpy(text)
        targets[row, : len(text) - 1] = torch.from_numpy(text[1:])
    return ids, targets


def _endless_batches(texts: list[Ids], size: int, seed: int) -> Iterator[list[Ids]]:
    """Yield shuffled batches for ever, of texts of similar length."""
    generator: Any = np.random.default_rng(seed)
    by_length = sorted(texts, key=len)
    batches = [by_length[start : start + size] for start in range(0, len(by_length), size)]
    while True:
        for number in generator.permutation(len(batches)):
            yield batches[number]
