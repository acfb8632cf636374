"""Training as if every product were done in integers: values are rounded, gradients pass straight through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHT_MAX = 127
INPUT_MAX = 255
MOMENTUM = 0.05
"""How fast a range follows the batches (Jacob et al. 2018, section 3.1: an exponential moving average)."""
_TINY = 1e-8


@contextmanager
def fake_quantized(module: nn.Module) -> Iterator[None]:
    """Round weights (int8, symmetric, by output channel) and inputs (uint8, by tensor) of every linear and convolution.

    What a linear layer puts out is rounded too, before its bias is added, because the integer product is; after a
    convolution that is the rounding of the next input. The rounding is that of
    :class:`engine.techniques.int8_static.Int8Static`, straight through for gradients (Jacob et al. 2018, section 3).
    When the block ends the module is a plain one again, with weights on the grid.
    """
    from torch import nn
    from torch.nn.utils import parametrize

    class OnGrid(nn.Module):
        """A weight as int8 would hold it."""

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return round_weight(weight)

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(_RoundedInput()) for layer in layers]
    hooks += [layer.register_forward_hook(_RoundedOutput()) for layer in layers if isinstance(layer, nn.Linear)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", OnGrid())
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def round_weight(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight rounded to 255 steps, a scale for every output channel."""
    import torch

    scale = weight.detach().abs().flatten(1).amax(dim=1).clamp(min=_TINY) / WEIGHT_MAX
    zero_points = torch.zeros_like(scale, dtype=torch.int32)
    rounded: torch.Tensor = torch.fake_quantize_per_channel_affine(
        weight, scale.float(), zero_points, 0, -WEIGHT_MAX, WEIGHT_MAX
    )
    return rounded


class _Rounding:
    """Rounds a tensor to 256 steps between the smallest and the largest value that training showed."""

    def __init__(self) -> None:
        self._low: float | None = None
        self._high = 0.0

    def __call__(self, values: torch.Tensor, *, training: bool) -> torch.Tensor:
        import torch

        if training or self._low is None:
            self._follow(values.detach())
        low, high = min(self._low or 0.0, 0.0), max(self._high, 0.0)  # zero itself must be on the grid
        scale = max(high - low, _TINY) / INPUT_MAX
        zero_point = min(INPUT_MAX, max(0, round(-low / scale)))
        rounded: torch.Tensor = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, INPUT_MAX)
        return rounded

    def _follow(self, values: torch.Tensor) -> None:
        low, high = (float(value) for value in values.aminmax())
        if self._low is None:
            self._low, self._high = low, high
        self._low += MOMENTUM * (low - self._low)
        self._high += MOMENTUM * (high - self._high)


class _RoundedInput:
    """Rounds what a layer is given."""

    def __init__(self) -> None:
        self._rounding = _Rounding()

    def __call__(self, layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._rounding(given[0].float(), training=layer.training), *given[1:])


class _RoundedOutput:
    """Rounds the product of a linear layer, to which its bias is added afterwards."""

    def __init__(self) -> None:
        self._rounding = _Rounding()

    def __call__(self, layer: Any, given: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        product = output.float()
        if layer.bias is None:
            return self._rounding(product, training=layer.training)
        rounded: torch.Tensor = self._rounding(product - layer.bias, training=layer.training) + layer.bias
        return rounded
