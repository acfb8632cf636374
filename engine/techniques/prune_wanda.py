"""Unstructured pruning of language models: in every row, the weights that contribute least become zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from engine.models import text_training
from engine.models.base import TrainedModel, TrainingContext
from engine.spec import Task
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig

if TYPE_CHECKING:
    import torch


class PruneWandaConfig(TechniqueConfig):
    """Parameters of pruning by weights and activations."""

    sparsity: float = Field(
        default=0.5, gt=0, lt=1, title="Sparsity", description="Share of the weights of every row to set to zero"
    )
    importance: Literal["wanda", "magnitude"] = Field(
        default="wanda",
        title="Importance",
        description="Magnitude of a weight times the norm of what it is multiplied with, or its magnitude alone",
    )
    samples: int = Field(
        default=64,
        ge=1,
        le=2048,
        title="Calibration",
        description="Training texts by which the norms are measured",
        json_schema_extra={"unit": "texts"},
    )


class PruneWanda(ModelTechnique[PruneWandaConfig]):
    """Zeroes weights of the repeated layers; embeddings and output layer stay (Sun et al. 2023, Wanda)."""

    name = "prune-wanda"
    title = "Wanda pruning"
    summary = "Zeroes what contributes least in every row; half of a language model can go, dense kernels gain nothing."
    group = Group.PRUNING
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = PruneWandaConfig

    def apply(self, model: TrainedModel, config: PruneWandaConfig, context: TrainingContext) -> TrainedModel:
        """Measure the norms where they are asked for, then zero, in place."""
        import torch

        layers = dict(_linear_layers(model))
        norms: dict[str, torch.Tensor] = {}
        if config.importance == "wanda":
            norms = _input_norms(model, layers, config, context)
        with torch.no_grad():
            for name, layer in layers.items():
                scores = layer.weight.abs() * norms[name] if norms else layer.weight.abs()
                dead = round(config.sparsity * scores.shape[1])
                if dead:
                    layer.weight.scatter_(1, scores.topk(dead, dim=1, largest=False).indices, 0.0)
        return model


def _linear_layers(model: TrainedModel) -> Iterator[tuple[str, Any]]:
    """Yield the products of the repeated layers, by name."""
    from torch import nn

    for number, block in enumerate(model.family.blocks(model.module)):
        for name, layer in block.named_modules():
            if isinstance(layer, nn.Linear):
                yield f"{number}.{name}", layer


def _input_norms(
    model: TrainedModel, layers: dict[str, Any], config: PruneWandaConfig, context: TrainingContext
) -> dict[str, torch.Tensor]:
    """Return the norm of every input of every layer over the calibration texts, ``(inputs,)``."""
    import torch

    squares = {name: torch.zeros(layer.in_features) for name, layer in layers.items()}

    def adder(name: str) -> Any:
        def add(layer: Any, given: tuple[torch.Tensor, ...]) -> None:
            squares[name] += given[0].float().flatten(0, -2).square().sum(dim=0)

        return add

    texts = text_training.sequences(model, context.dataset.train, config.samples, context.seed)
    with ExitStack() as hooks, torch.inference_mode():
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_pre_hook(adder(name)).remove)
        for number, ids in enumerate(texts):
            model.family.logits(model.module, {"input_ids": torch.from_numpy(ids)[None]})
            context.report((number + 1) / len(texts), f"text {number + 1} of {len(texts)}")
    return {name: total.sqrt().clone() for name, total in squares.items()}
