"""Unstructured magnitude pruning: the smallest weights become zero; shapes, and so dense kernels, stay as they are."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.models.base import TrainedModel, TrainingContext
from engine.models.training import train
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig


class PruneMagnitudeConfig(TechniqueConfig):
    """Parameters of magnitude pruning."""

    sparsity: float = Field(
        default=0.5, gt=0, lt=1, title="Sparsity", description="Share of the weights to set to zero"
    )
    scope: Literal["global", "layer"] = Field(
        default="global",
        title="Scope",
        description="Whether weights compete across the whole model, or every layer loses the same share",
    )
    recovery_epochs: float = Field(
        default=0.0,
        ge=0,
        le=50,
        title="Recovery",
        description="Fine-tuning with the zeros held",
        json_schema_extra={"unit": "epochs"},
    )


class PruneMagnitude(ModelTechnique[PruneMagnitudeConfig]):
    """Zeroes the smallest weights of linear and convolution layers."""

    name = "prune-magnitude"
    title = "Magnitude pruning"
    summary = "Zeroes the smallest weights; compresses well, but dense kernels do not run faster for it."
    group = Group.PRUNING
    config_type = PruneMagnitudeConfig

    def apply(self, model: TrainedModel, config: PruneMagnitudeConfig, context: TrainingContext) -> TrainedModel:
        """Zero, recover with the zeros held, and make the zeros permanent."""
        from torch import nn
        from torch.nn.utils import prune as pruning

        prune: Any = pruning  # torch leaves these functions untyped

        targets = [(layer, "weight") for layer in model.module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        if config.scope == "global":
            prune.global_unstructured(targets, pruning_method=prune.L1Unstructured, amount=config.sparsity)
        else:
            for layer, name in targets:
                prune.l1_unstructured(layer, name, amount=config.sparsity)
        base = model.family.fine_tuning(model.family.variant(model.module))
        train(
            model,
            context.dataset.train,
            base.model_copy(update={"epochs": config.recovery_epochs}),
            seed=context.seed,
            report=context.report,
        )
        for layer, name in targets:
            prune.remove(layer, name)
        return model
