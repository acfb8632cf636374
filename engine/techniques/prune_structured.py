"""Structured pruning: whole heads, neurons and channels disappear, so that dense kernels have less to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from engine.errors import InvalidValueError
from engine.models.base import ModelFacts, TrainedModel, TrainingContext, UnitKind
from engine.models.structured import prune_units
from engine.models.training import encode, encode_first, fine_tune
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig

if TYPE_CHECKING:
    from torch import nn

SCORING_SAMPLES = 512
SCORING_BATCH = 32


class PruneStructuredConfig(TechniqueConfig):
    """Parameters of structured pruning."""

    heads: float = Field(
        default=0.33, ge=0, lt=1, title="Heads", description="Share of the attention heads to remove in every layer"
    )
    ffn: float = Field(
        default=0.5, ge=0, lt=1, title="Neurons", description="Share of the feed-forward neurons to remove"
    )
    channels: float = Field(
        default=0.5, ge=0, lt=1, title="Channels", description="Share of the convolution channels to remove"
    )
    importance: Literal["taylor", "magnitude"] = Field(
        default="taylor",
        title="Importance",
        description="What decides which units go: the loss they would cost (first-order Taylor), or their magnitude",
    )
    recovery_epochs: float = Field(
        default=1.0,
        ge=0,
        le=50,
        title="Recovery",
        description="Fine-tuning after the cut",
        json_schema_extra={"unit": "epochs"},
    )


class PruneStructured(ModelTechnique[PruneStructuredConfig]):
    """Removes the least important units and lets the rest recover."""

    name = "prune-structured"
    title = "Structured pruning"
    summary = "Removes whole heads, neurons and channels, then recovers; faster on every backend."
    group = Group.PRUNING
    config_type = PruneStructuredConfig
    packages = ("torch-pruning",)

    def check(self, config: PruneStructuredConfig, facts: ModelFacts) -> None:
        """Refuse to remove nothing, or every head."""
        if config.heads == config.ffn == config.channels == 0:
            raise InvalidValueError("prune-structured: nothing would be removed; set heads, ffn or channels above 0.")
        if facts.heads and round(facts.heads * (1 - config.heads)) < 1:
            raise InvalidValueError(
                f"prune-structured: heads={config.heads} would remove all {facts.heads} heads of a layer; lower it."
            )

    def apply(self, model: TrainedModel, config: PruneStructuredConfig, context: TrainingContext) -> TrainedModel:
        """Cut and recover, in place."""
        split = context.dataset.train

        def score(module: nn.Module) -> None:
            """Leave the gradients of the mean loss over some training samples."""
            import torch
            from torch.nn import functional

            module.eval()
            module.zero_grad()
            chosen = np.random.default_rng(context.seed).permutation(len(split))[:SCORING_SAMPLES]
            for start in range(0, len(chosen), SCORING_BATCH):
                indices = chosen[start : start + SCORING_BATCH]
                logits = model.family.logits(module, encode(model, split, indices))
                labels = torch.from_numpy(split.labels[indices])
                torch.autograd.backward(functional.cross_entropy(logits, labels, reduction="sum"))

        shares: dict[UnitKind, float] = {"heads": config.heads, "ffn": config.ffn, "channels": config.channels}
        example = encode_first(model, split)
        prune_units(model, shares, example, score if config.importance == "taylor" else None)
        fine_tune(model, context, config.recovery_epochs)
        return model
