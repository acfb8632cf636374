"""Removing whole heads, neurons and channels so that shapes really shrink, over Torch-Pruning's dependency graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.errors import InvalidValueError
from engine.models.base import TrainedModel, UnitKind

if TYPE_CHECKING:
    import torch
    from torch import nn


def prune_units(
    model: TrainedModel,
    shares: dict[UnitKind, float],
    example: dict[str, torch.Tensor],
    score: Callable[[nn.Module], None] | None,
) -> None:
    """Remove the least important units of ``model.module`` in place, the same share in every layer of a kind.

    Args:
        shares: share of the units to remove, in [0, 1), by kind.
        example: one batch, to trace the dependencies with.
        score: runs data through the module and leaves gradients in its parameters, for first-order Taylor importance
            (Molchanov et al. 2019, eq. 8); ``None`` for importance by magnitude.

    Raises:
        InvalidValueError: if the model has no unit of any of the kinds.
    """
    import torch
    import torch_pruning
    from torch import nn

    module = model.module
    prunable = model.family.prunable(module)
    wanted = {kind: share for kind, share in shares.items() if share > 0 and prunable.layers.get(kind)}
    if not wanted:
        has = ", ".join(kind for kind, layers in prunable.layers.items() if layers) or "none"
        raise InvalidValueError(f"Nothing to prune: this model has no {' or '.join(shares)}; it has: {has}.")
    ratios = {layer: share for kind, share in wanted.items() for layer in prunable.layers[kind]}
    heads = {layer: count for layer, count in prunable.heads.items() if "heads" in wanted}
    kept = [layer for kind, layers in prunable.layers.items() if kind not in wanted for layer in layers]
    if score is not None:
        score(module)
    importance = (
        torch_pruning.importance.GroupTaylorImportance()
        if score is not None
        else torch_pruning.importance.GroupMagnitudeImportance(p=2)
    )
    module.eval()
    pruner = torch_pruning.pruner.BasePruner(
        module,
        example_inputs=example,
        importance=importance,
        pruning_ratio=0.0,
        pruning_ratio_dict=ratios,
        ignored_layers=[*prunable.frozen, *kept],
        in_channel_groups={},  # the library's own defaults are shared mutable dicts
        out_channel_groups={},
        num_heads=heads,
        prune_num_heads=bool(heads),
        prune_head_dims=False,
        head_pruning_ratio=wanted.get("heads", 0.0),
        root_module_types=[nn.Linear, nn.Conv2d],
        forward_fn=model.family.logits,
        output_transform=lambda logits: logits.sum(),
    )
    with torch.enable_grad():
        pruner.step()
    for parameter in module.parameters():
        parameter.grad = None
    model.family.settle(module)
