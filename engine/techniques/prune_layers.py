"""Depth pruning: whole layers go, chosen by position or by what the model loses without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from engine.datasets.base import Split
from engine.datasets.files import take
from engine.errors import InvalidValueError
from engine.models import text_training
from engine.models.base import ModelFacts, TrainedModel, TrainingContext
from engine.models.training import fine_tune, predict
from engine.spec import Task
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig

SCORING_SAMPLES = 512
SCORING_TEXTS = 16
"""Fewer, because a language model learns from every token of a text, and has many layers to leave out."""


class PruneLayersConfig(TechniqueConfig):
    """Parameters of depth pruning."""

    layers: int = Field(
        default=2, ge=1, le=127, title="Layers", description="Layers to remove", json_schema_extra={"unit": "layers"}
    )
    importance: Literal["measured", "position"] = Field(
        default="measured",
        title="Importance",
        description="Remove the layers that are missed least on training samples, or evenly spaced ones",
    )
    recovery_epochs: float = Field(
        default=1.0,
        ge=0,
        le=50,
        title="Recovery",
        description="Fine-tuning after the cut",
        json_schema_extra={"unit": "epochs"},
    )


class PruneLayers(ModelTechnique[PruneLayersConfig]):
    """Removes repeated layers and lets the rest recover."""

    name = "prune-layers"
    title = "Depth pruning"
    summary = "Removes whole layers, then recovers; time falls with depth on every backend."
    group = Group.PRUNING
    config_type = PruneLayersConfig
    tasks = frozenset({Task.TEXT_CLASSIFICATION, Task.TEXT_GENERATION})

    def check(self, config: PruneLayersConfig, facts: ModelFacts) -> None:
        """Refuse to remove every layer."""
        if facts.layers is not None and config.layers >= facts.layers:
            raise InvalidValueError(
                f"prune-layers: layers={config.layers} would leave none of {facts.layers}; choose 1 to "
                f"{facts.layers - 1}."
            )

    def apply(self, model: TrainedModel, config: PruneLayersConfig, context: TrainingContext) -> TrainedModel:
        """Cut and recover."""
        count = len(model.family.blocks(model.module))
        if config.layers >= count:
            raise InvalidValueError(f"prune-layers: this model has {count} layers; remove fewer than that.")
        if config.importance == "position":
            smaller = model.family.keep_layers(model, count - config.layers)
        else:
            smaller = _without_the_least_missed(model, config.layers, context)
        if model.family.task is Task.TEXT_GENERATION:
            text_training.recover(smaller, model, context, config.recovery_epochs)
        else:
            fine_tune(smaller, context, config.recovery_epochs)
        return smaller


def _without_the_least_missed(model: TrainedModel, remove: int, context: TrainingContext) -> TrainedModel:
    """Remove one layer after the other, each time the one without which the loss rises least."""
    missed = _text_loss(model, context) if model.family.task is Task.TEXT_GENERATION else _class_loss(context)
    for step in range(remove):
        layers = range(len(model.family.blocks(model.module)))
        losses = []
        for gone in layers:
            losses.append(missed(model.family.with_layers(model, [kept for kept in layers if kept != gone])))
            context.report(0.0, f"cut {step + 1} of {remove}: without layer {gone + 1} of {len(layers)}")
        least = int(np.argmin(losses))
        model = model.family.with_layers(model, [kept for kept in layers if kept != least])
    return model


def _text_loss(model: TrainedModel, context: TrainingContext) -> Callable[[TrainedModel], float]:
    """Return the loss of the next token on some training texts."""
    texts = text_training.sequences(model, context.dataset.train, SCORING_TEXTS, context.seed)
    return lambda candidate: text_training.loss(candidate, texts)


def _class_loss(context: TrainingContext) -> Callable[[TrainedModel], float]:
    """Return the loss of the classes of some training samples."""
    split = context.dataset.train
    chosen = np.random.default_rng(context.seed).permutation(len(split))[:SCORING_SAMPLES]
    seen = Split(take(split.samples, chosen), split.labels[chosen])
    return lambda candidate: _loss(candidate, seen)


def _loss(model: TrainedModel, split: Split) -> float:
    """Return the mean cross-entropy."""
    from scipy.special import log_softmax

    scores = log_softmax(predict(model, split).astype(np.float64), axis=1)
    return float(-scores[np.arange(len(split)), split.labels].mean())
