"""What a PyTorch model is worth after a step: how good, how large, how much arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.datasets.base import Split
from engine.models.base import TrainedModel
from engine.models.training import encode

if TYPE_CHECKING:
    import torch


def share_right(logits: NDArray[np.float32], split: Split) -> tuple[int, int]:
    """Return how many answers are right, of how many; one that is not a number is wrong."""
    right = (logits.argmax(axis=1) == split.labels) & np.isfinite(logits).all(axis=1)
    return int(right.sum()), len(split)


def flops(model: TrainedModel, split: Split) -> float:
    """Return the floating-point operations of one sample of median length, as PyTorch's own counter has them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    lengths = [0] if isinstance(split.samples, np.ndarray) else [len(text) for text in split.samples]
    typical = int(np.argsort(lengths, kind="stable")[len(lengths) // 2])
    inputs: dict[str, torch.Tensor] = encode(model, split, np.asarray([typical]))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.family.logits(model.module.eval(), inputs)
    return float(counter.get_total_flops())


def folder_bytes(folder: Path, names: tuple[str, ...]) -> int:
    """Return the size of these files together."""
    return sum((folder / name).stat().st_size for name in names)
