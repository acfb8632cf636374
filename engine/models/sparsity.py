"""Holding weights at zero: masks by magnitude, by pattern or by score, applied again after every training step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


def sparsifiable(module: nn.Module) -> Iterator[torch.Tensor]:
    """Yield the weights that may be set to zero: those of linear and convolution layers, as they are trained."""
    from torch import nn

    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            reparametrized: Any = getattr(layer, "parametrizations", None)
            yield layer.weight if reparametrized is None else reparametrized.weight.original


class Masks:
    """Which weights of a module live; the others are zero and stay so."""

    def __init__(self, module: nn.Module) -> None:
        import torch

        self._weights = list(sparsifiable(module))
        self._alive = [torch.ones_like(weight, dtype=torch.bool) for weight in self._weights]

    @classmethod
    def of_zeros(cls, module: nn.Module) -> Masks:
        """Return masks under which the weights that are zero now stay zero."""
        masks = cls(module)
        masks._alive = [weight.detach() != 0 for weight in masks._weights]
        return masks

    @property
    def weights(self) -> list[torch.Tensor]:
        """Return the weights that are masked, layer by layer."""
        return list(self._weights)

    @property
    def are_all_alive(self) -> bool:
        """Tell whether nothing is held at zero."""
        return all(bool(alive.all()) for alive in self._alive)

    def keep_largest(self, scores: Sequence[torch.Tensor], sparsity: float) -> None:
        """Let the weights with the highest scores live, across all layers; ``sparsity`` of them die.

        Args:
            scores: one tensor a layer, of the shape of its weight.
        """
        import torch

        threshold = _threshold(torch.cat([score.flatten() for score in scores]), sparsity)
        self._alive = [score > threshold for score in scores]
        self.apply()

    def keep_largest_of_each(self, scores: Sequence[torch.Tensor], sparsity: float) -> None:
        """Let the weights with the highest scores of every layer live; each layer loses the same share."""
        self._alive = [score > _threshold(score.flatten(), sparsity) for score in scores]
        self.apply()

    def keep_n_of_m(self, n: int, m: int) -> None:
        """Let the ``n`` largest of every ``m`` neighbours along the input live; what is left over at the end lives."""
        self._alive = [_largest_of_groups(weight.detach().abs(), n, m) for weight in self._weights]
        self.apply()

    def apply(self) -> None:
        """Set the dead weights to zero."""
        import torch

        with torch.no_grad():
            for weight, alive in zip(self._weights, self._alive, strict=True):
                weight.mul_(alive)


def magnitudes(weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return how far each weight is from zero."""
    return [weight.detach().abs() for weight in weights]


def _largest_of_groups(sizes: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """Return which of every ``m`` neighbours are among the ``n`` largest."""
    import torch

    rows = sizes.flatten(1)
    whole = rows.shape[1] // m * m
    ranks = rows[:, :whole].reshape(len(rows), -1, m).argsort(dim=-1, descending=True).argsort(dim=-1)
    kept = torch.ones_like(rows, dtype=torch.bool)
    kept[:, :whole] = (ranks < n).reshape(len(rows), whole)
    return kept.reshape(sizes.shape)


def _threshold(scores: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return the score that a weight has to exceed to live; one weight always does."""
    dead = min(len(scores) - 1, round(sparsity * len(scores)))
    return scores.kthvalue(dead).values if dead else scores.min() - 1


def cubic(done: int, steps: int, final: float, reach: float = 0.7) -> float:
    """Return the sparsity after ``done`` of ``steps``: fast at first, then slower (Zhu and Gupta 2017, equation 1).

    Args:
        final: sparsity at the end.
        reach: share of the steps after which it is reached; the rest recovers.
    """
    share = min(1.0, done / max(1.0, reach * steps))
    return final * (1 - (1 - share) ** 3)
