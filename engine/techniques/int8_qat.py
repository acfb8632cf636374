"""Quantization-aware training: fine-tuned with rounded products, the model then becomes an integer graph."""

from __future__ import annotations

from pydantic import Field

from engine.models.base import TrainedModel, TrainingContext
from engine.models.fake_quant import fake_quantized
from engine.models.training import fine_tune, predict
from engine.spec import Choice
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig
from engine.techniques.distill import answer_loss
from engine.techniques.int8_static import Int8Static, Int8StaticConfig

RATE = 0.1
"""Share of the usual learning rate: the weights have only to settle on the grid, not to be learnt anew."""


TEMPERATURE = 2.0
"""Of the answers before rounding, as in :class:`engine.techniques.distill.DistillConfig`."""


class Int8QatConfig(TechniqueConfig):
    """Parameters of quantization-aware training."""

    epochs: float = Field(
        default=1.0,
        gt=0,
        le=50,
        title="Epochs",
        description="How long it is fine-tuned with rounded weights and activations",
        json_schema_extra={"unit": "epochs"},
    )
    own_answers: float = Field(
        default=1.0,
        ge=0,
        le=1,
        title="Weight of its own answers",
        description="Share of the loss that asks for what it answered before it was rounded; the rest asks for labels, "
        "which a fitted model knows already",
    )
    samples: int = Field(
        default=128,
        ge=8,
        le=4096,
        title="Samples",
        description="Training samples that the final ranges of activations are measured on",
        json_schema_extra={"unit": "samples"},
    )


class Int8Qat(ModelTechnique[Int8QatConfig]):
    """Fine-tunes with the rounding of static int8, then quantizes for good."""

    name = "int8-qat"
    title = "Int8 with training"
    summary = "Fine-tunes with int8 rounding, then quantizes: static int8 that has learnt to live with its error."
    group = Group.QUANTIZATION
    config_type = Int8QatConfig
    exclusive = True
    formats = Int8Static.formats
    needs_whole_model = True

    def apply(self, model: TrainedModel, config: Int8QatConfig, context: TrainingContext) -> TrainedModel:
        """Fine-tune in place, towards what the model answered before it was rounded.

        Raises:
            TrainingError: if training diverges.
        """
        answers = predict(model, context.dataset.train)[None]
        loss = answer_loss(answers, TEMPERATURE, config.own_answers)
        with fake_quantized(model.module):
            fine_tune(model, context, config.epochs, rate=RATE, loss=loss)
        return model

    def completed_by(self, config: Int8QatConfig) -> tuple[Choice, ...]:
        """Return static quantization, whose grid was trained for."""
        params = Int8StaticConfig(samples=config.samples).model_dump(mode="json")
        return (Choice(name=Int8Static.name, params=params),)
