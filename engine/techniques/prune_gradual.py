"""Gradual pruning: zeros grow along a cubic schedule while the model is fine-tuned, so that it can adapt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from engine.models.base import TrainedModel, TrainingContext
from engine.models.sparsity import Masks, cubic, magnitudes
from engine.models.training import fine_tune
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig

if TYPE_CHECKING:
    import torch

UPDATES = 50
"""How often the choice of dead weights is made anew; in between they are only held at zero."""


class PruneGradualConfig(TechniqueConfig):
    """Parameters of gradual pruning."""

    sparsity: float = Field(
        default=0.7, gt=0, lt=1, title="Sparsity", description="Share of the weights that are zero in the end"
    )
    importance: Literal["magnitude", "movement"] = Field(
        default="magnitude",
        title="Importance",
        description="What decides which weights die: how small they are, or whether training moves them towards zero",
    )
    epochs: float = Field(
        default=2.0,
        gt=0,
        le=50,
        title="Epochs",
        description="How long it is fine-tuned meanwhile",
        json_schema_extra={"unit": "epochs"},
    )


class PruneGradual(ModelTechnique[PruneGradualConfig]):
    """Prunes while fine-tuning, by magnitude (Zhu and Gupta 2017) or by movement (Sanh, Wolf and Rush 2020)."""

    name = "prune-gradual"
    title = "Gradual pruning"
    summary = "Zeros grow while the model is fine-tuned: more of them for the same accuracy, but no faster kernels."
    group = Group.PRUNING
    config_type = PruneGradualConfig

    def apply(self, model: TrainedModel, config: PruneGradualConfig, context: TrainingContext) -> TrainedModel:
        """Fine-tune and prune, in place.

        Raises:
            TrainingError: if training diverges.
        """
        import torch

        masks = Masks(model.module)
        moved = [torch.zeros_like(weight) for weight in masks.weights]

        def after_step(done: int, steps: int) -> None:
            if config.importance == "movement":
                _follow(moved, masks.weights)
            if done % max(1, steps // UPDATES) == 0 or done == steps:
                scores = moved if config.importance == "movement" else magnitudes(masks.weights)
                # Layer by layer: across layers, those with small weights die first, an encoder's classifier as a whole.
                masks.keep_largest_of_each(scores, cubic(done, steps, config.sparsity))
            else:
                masks.apply()

        fine_tune(model, context, config.epochs, after_step=after_step)
        return model


def _follow(moved: list[torch.Tensor], weights: list[torch.Tensor]) -> None:
    """Add to each weight's score how far this step moved it away from zero (Sanh et al. 2020, equation 3)."""
    for score, weight in zip(moved, weights, strict=True):
        if weight.grad is not None:
            score.sub_(weight.detach() * weight.grad)
