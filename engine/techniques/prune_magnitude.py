"""Unstructured magnitude pruning: the smallest weights become zero; shapes, and so dense kernels, stay as they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.models.base import TrainedModel, TrainingContext
from engine.models.sparsity import Masks, magnitudes
from engine.models.training import fine_tune
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
        """Zero, and recover with the zeros held."""
        masks = Masks(model.module)
        keep = masks.keep_largest if config.scope == "global" else masks.keep_largest_of_each
        keep(magnitudes(masks.weights), config.sparsity)
        fine_tune(model, context, config.recovery_epochs)
        return model
