"""The one training loop: fine-tuning, recovery after pruning and distillation are three losses for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.datasets.base import Split
from engine.datasets.files import take
from engine.errors import TrainingError
from engine.models.base import FineTuneSettings, TrainedModel, TrainingContext
from engine.models.early_exit import WAY_OUT
from engine.models.preprocess import load_preprocessor
from engine.models.sparsity import Masks

if TYPE_CHECKING:
    import torch
    from torch import nn

LossFunction = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""From logits ``(batch, classes)``, labels ``(batch,)`` and sample indices ``(batch,)`` to a scalar."""

_BUCKET_BATCHES = 16
_WARMUP_SHARE = 0.1
EVALUATION_BATCH = 64

Batches = list[dict[str, "torch.Tensor"]]


def train(
    model: TrainedModel,
    split: Split,
    settings: FineTuneSettings,
    *,
    seed: int,
    report: Callable[[float, str], None],
    loss: LossFunction | None = None,
    after_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train ``model.module`` in place with AdamW and a one-cycle schedule.

    Weights that an earlier step set to zero stay zero.

    Args:
        settings: ``epochs`` may be a fraction; zero epochs change nothing.
        loss: cross-entropy with the labels if left out.
        after_step: called with the steps done and their number while the gradients are still there.

    Raises:
        TrainingError: if the loss stops being finite.
    """
    import torch
    from torch.nn.functional import cross_entropy

    steps = max(0, round(settings.epochs * math.ceil(len(split) / settings.batch_size)))
    if not steps:
        return
    torch.manual_seed(seed)
    module = model.module.train()
    zeroed = Masks.of_zeros(module)
    holds_zeros = not zeroed.are_all_alive
    optimizer, schedule = _optimizer(module, settings, steps)
    smoothing = settings.label_smoothing
    compute_loss = loss or (lambda logits, labels, _: cross_entropy(logits, labels, label_smoothing=smoothing))
    labels = torch.from_numpy(split.labels)
    for step, indices in zip(range(steps), _endless_batches(model, split, settings.batch_size, seed), strict=False):
        inputs = encode(model, split, indices)
        if settings.flip:
            inputs = {name: _flip_half(images) for name, images in inputs.items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.autocast_bf16):
            logits = model.family.logits(module, inputs)
        rows = torch.from_numpy(indices)
        value = compute_loss(logits.float(), labels[rows], rows)
        if not torch.isfinite(value):
            raise TrainingError(
                f"Training diverged: the loss became {value.item()} at step {step + 1} of {steps}. "
                "Lower the learning rate or compress less."
            )
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        optimizer.step()
        if holds_zeros:
            zeroed.apply()
        schedule.step()
        if after_step is not None:
            after_step(step + 1, steps)
        report((step + 1) / steps, f"step {step + 1} of {steps}, loss {value.item():.3f}")
    module.eval()


def _optimizer(
    module: nn.Module, settings: FineTuneSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW with a one-cycle schedule over so many steps."""
    import torch

    named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    fresh = [parameter for name, parameter in named if name.startswith(WAY_OUT)]
    fitted = [parameter for name, parameter in named if not name.startswith(WAY_OUT)]
    groups = [(fitted, settings.learning_rate), (fresh, settings.learning_rate * settings.way_out_rate)]
    rates = [rate for parameters, rate in groups if parameters]
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "lr": rate} for parameters, rate in groups if parameters],
        weight_decay=settings.weight_decay,
        fused=True,
    )
    total = max(2, steps)
    warmup_share = max(_WARMUP_SHARE, 1.5 / total)  # a warm-up that ends at step 0 is divided by
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=total, pct_start=warmup_share)
    return optimizer, schedule


def fine_tune(
    model: TrainedModel,
    context: TrainingContext,
    epochs: float,
    *,
    rate: float = 1.0,
    loss: LossFunction | None = None,
    after_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train in place as the model's family is trained by default, for so many epochs.

    Args:
        rate: share of the default learning rate.

    Raises:
        TrainingError: if training diverges.
    """
    default = model.family.fine_tuning(model.family.variant(model.module))
    settings = default.model_copy(update={"epochs": epochs, "learning_rate": rate * default.learning_rate})
    train(
        model,
        context.dataset.train,
        settings,
        seed=context.seed,
        report=context.report,
        loss=loss,
        after_step=after_step,
    )


def _flip_half(images: torch.Tensor) -> torch.Tensor:
    """Mirror a random half of ``(batch, channels, height, width)`` images, and keep the layout convolutions like."""
    import torch

    chosen = torch.rand(len(images)) < 0.5
    flipped = torch.where(chosen[:, None, None, None], images.flip(-1), images)
    return flipped.contiguous(memory_format=torch.channels_last)


def encode(model: TrainedModel, split: Split, indices: NDArray[np.intp]) -> dict[str, torch.Tensor]:
    """Return one preprocessed batch as tensors."""
    import torch

    preprocess = load_preprocessor_of(model)
    return {name: torch.from_numpy(array) for name, array in preprocess(take(split.samples, indices)).items()}


def load_preprocessor_of(model: TrainedModel) -> Callable[..., dict[str, NDArray[np.generic]]]:
    """Return the model's preprocessor, reading its tokenizer only once."""
    if model.preprocessor is None:
        folder = next(iter(model.preprocess_files.values())).parent if model.preprocess_files else None
        model.preprocessor = load_preprocessor(model.preprocess, folder or Path())
    return model.preprocessor


def predict(model: TrainedModel, split: Split) -> NDArray[np.float32]:
    """Return the logits of every sample, ``(n, classes)``, in the split's order."""
    import torch

    model.module.eval()
    order = _by_length(split)
    rows: NDArray[np.float32] | None = None
    with torch.inference_mode():
        for start in range(0, len(order), EVALUATION_BATCH):
            indices = order[start : start + EVALUATION_BATCH]
            logits = model.family.logits(model.module, encode(model, split, indices)).float().numpy()
            if rows is None:
                rows = np.empty((len(split), logits.shape[1]), dtype=np.float32)
            rows[indices] = logits
    if rows is None:
        raise TrainingError("There is nothing to predict: the split is empty.")
    return rows


def _by_length(split: Split) -> NDArray[np.intp]:
    """Return indices by rising sample length, so that a batch holds little padding."""
    if isinstance(split.samples, np.ndarray):
        return np.arange(len(split))
    return np.argsort([len(text) for text in split.samples], kind="stable")


def _endless_batches(model: TrainedModel, split: Split, size: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield shuffled batches for ever; texts of similar length share a batch."""
    generator = np.random.default_rng(seed)
    lengths = None if isinstance(split.samples, np.ndarray) else np.array([len(text) for text in split.samples])
    while True:
        order = generator.permutation(len(split))
        if lengths is not None:
            for start in range(0, len(order), size * _BUCKET_BATCHES):
                bucket = order[start : start + size * _BUCKET_BATCHES]
                order[start : start + len(bucket)] = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        for number in generator.permutation(len(batches)):
            yield batches[number]


def encode_first(model: TrainedModel, split: Split) -> dict[str, torch.Tensor]:
    """Return a small batch to trace the model with."""
    return encode(model, split, np.arange(min(2, len(split))))
