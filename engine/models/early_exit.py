"""A model in two halves with a way out between them: easy samples leave early, the others go on to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

WAY_OUT = "way_out."
"""With this begin the names of the parameters of the classifier in the middle."""


def with_way_out(front: nn.Module, back: nn.Module, way_out: nn.Module, after: int, threshold: float) -> nn.Module:
    """Return one module that answers with ``way_out`` where that is sure enough, else with ``back``.

    Every sample decides for itself, so that an answer does not depend on the batch it came in. While training, both
    ways are taken for every sample and the answer is that of the end.

    Args:
        front: from a model's inputs to a tuple of tensors, the first axis of each the batch.
        back: from those tensors to logits.
        way_out: from the first of them to logits.
        after: how many layers the front half has.
        threshold: probability of the likeliest class from which a sample leaves early.
    """
    from torch import nn

    class EarlyExit(nn.Module):
        """Front half, way out, back half."""

        def __init__(self) -> None:
            super().__init__()
            self.front, self.back, self.way_out = front, back, way_out
            self.exit_after, self.exit_threshold = after, threshold

        def forward(self, *args: Any, **inputs: Any) -> torch.Tensor:
            state = self.front(*args, **inputs)
            early: torch.Tensor = self.way_out(state[0])
            if self.training:
                last: torch.Tensor = self.back(*state)
                return last
            unsure = early.softmax(dim=-1).amax(dim=-1) < self.exit_threshold
            if not unsure.any():
                return early
            logits = early.clone()
            logits[unsure] = self.back(*(tensor[unsure] for tensor in state))
            return logits

    return EarlyExit()


def has_way_out(module: nn.Module) -> bool:
    """Tell whether a module was made by :func:`with_way_out`."""
    return hasattr(module, "exit_threshold")


def is_unsure(early: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Return which samples have to go on to the end; ``early`` are the logits of the way out, ``(batch, classes)``."""
    from scipy.special import softmax

    unsure: NDArray[np.bool_] = softmax(early.astype(np.float32), axis=1).max(axis=1) < threshold
    return unsure
