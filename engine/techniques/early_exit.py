"""Early exit: a second classifier half-way answers the easy samples, which then skip the rest of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from engine.errors import InvalidValueError
from engine.models.base import ModelFacts, TrainedModel, TrainingContext
from engine.models.training import encode, fine_tune
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig

if TYPE_CHECKING:
    import torch

BATCH = 64


class EarlyExitConfig(TechniqueConfig):
    """Parameters of early exit."""

    after: int = Field(
        default=0,
        ge=0,
        le=127,
        title="After",
        description="Layers before the way out; 0 puts it half-way",
        json_schema_extra={"unit": "layers"},
    )
    threshold: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        title="Confidence",
        description="Probability of the likeliest class from which a sample leaves early",
    )
    epochs: float = Field(
        default=1.0,
        gt=0,
        le=50,
        title="Epochs",
        description="How long both classifiers are trained together",
        json_schema_extra={"unit": "epochs"},
    )


class EarlyExit(ModelTechnique[EarlyExitConfig]):
    """Trains a classifier in the middle together with the one at the end (Teerapittayanon et al. 2016, BranchyNet)."""

    name = "early-exit"
    title = "Early exit"
    summary = "Easy samples leave half-way by a classifier of their own; the mean falls, the hardest pay a little."
    group = Group.ADAPTIVE
    config_type = EarlyExitConfig
    splits_model = True

    def check(self, config: EarlyExitConfig, facts: ModelFacts) -> None:
        """Refuse a way out where there is no layer before or after it."""
        if facts.exits == 0:
            raise InvalidValueError("early-exit: this model has no layers between which a sample could leave.")
        if facts.exits is not None and config.after > facts.exits:
            raise InvalidValueError(
                f"early-exit: after={config.after} leaves nothing to skip; choose 1 to {facts.exits}, or 0."
            )

    def apply(self, model: TrainedModel, config: EarlyExitConfig, context: TrainingContext) -> TrainedModel:
        """Return the model with a way out.

        Raises:
            TrainingError: if training diverges.
        """
        from torch.nn.functional import cross_entropy

        split = model.family.with_exit(model, config.after, config.threshold)
        module: Any = split.module
        early: list[torch.Tensor] = []

        def loss(logits: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
            return cross_entropy(logits, labels) + cross_entropy(early.pop().float(), labels)

        hook = module.way_out.register_forward_hook(lambda layer, given, output: early.append(output))
        try:
            fine_tune(split, context, config.epochs, loss=loss)
        finally:
            hook.remove()
        context.note(_told(split, context))
        return split


def _told(model: TrainedModel, context: TrainingContext) -> str:
    """Return how many validation samples leave early, and how often they are right to."""
    import torch

    module: Any = model.module
    split = context.dataset.validation
    early: list[torch.Tensor] = []
    hook = module.way_out.register_forward_hook(lambda layer, given, output: early.append(output.float()))
    try:
        with torch.inference_mode():
            for start in range(0, len(split), BATCH):
                indices = np.arange(start, min(start + BATCH, len(split)))
                model.family.logits(module, encode(model, split, indices))
    finally:
        hook.remove()
    confidence, answer = torch.cat(early).softmax(dim=-1).max(dim=-1)
    leaves = (confidence >= module.exit_threshold).numpy()
    right = (answer.numpy() == split.labels)[leaves]
    if not leaves.any():
        return "no validation sample leaves early"
    return (
        f"{leaves.mean():.0%} of the validation samples leave after {module.exit_after} layers, {right.mean():.0%} of "
        "them with the right answer"
    )
