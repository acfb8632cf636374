"""Models with fewer of their repeated layers: which ones stay, and how a module is told."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidValueError

if TYPE_CHECKING:
    from torch import nn

_COUNT_KEYS = ("num_hidden_layers", "n_layers", "n_layer")
"""What configurations call the number of repeated layers."""


def evenly_spaced(count: int, kept: int) -> list[int]:
    """Return which ``kept`` of ``count`` layers stay, evenly spaced, the last one among them.

    Raises:
        InvalidValueError: if that is none of them, or not fewer than there are.
    """
    if not 1 <= kept < count:
        raise InvalidValueError(f"A student of {kept} layers is not smaller than its teacher of {count}.")
    return [round((number + 1) * count / kept) - 1 for number in range(kept)]


def layer_stack(module: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return name and list of the repeated layers: the longest list of modules.

    Raises:
        InvalidValueError: if there is none.
    """
    from torch import nn

    stacks = [(name, child) for name, child in module.named_modules() if isinstance(child, nn.ModuleList)]
    if not stacks:
        raise InvalidValueError("This model has no repeated layers to keep or drop.")
    return max(stacks, key=lambda item: len(item[1]))


def put_layers(module: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Put other layers where the repeated ones are, in place."""
    from torch import nn

    name, _ = layer_stack(module)
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, nn.ModuleList(layers))


def with_layers(module: nn.Module, chosen: Sequence[int]) -> Any:
    """Return a copy of a Hugging Face module with the chosen layers, which share nothing with the original.

    What repeats the number of layers, or a layer's own, is brought in line.
    """
    smaller: Any = copy.deepcopy(module)
    _, stack = layer_stack(smaller)
    put_layers(smaller, [stack[index] for index in chosen])
    for key in _COUNT_KEYS:
        if hasattr(smaller.config, key):
            setattr(smaller.config, key, len(chosen))
    if types := getattr(smaller.config, "layer_types", None):
        smaller.config.layer_types = [types[index] for index in chosen]
    for number, layer in enumerate(layer_stack(smaller)[1]):
        for child in layer.modules():
            if hasattr(child, "layer_idx"):
                setattr(child, "layer_idx", number)  # noqa: B010 - the place in the KV cache; modules declare no such
    return smaller
