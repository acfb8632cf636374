"""Quantization-aware training: fine-tuned with rounded products, the model then becomes an integer graph."""

from __future__ import annotations

from pydantic import Field

from engine.models.base import TrainedModel, TrainingContext
from engine.models.fake_quant import fake_quantized
from engine.models.training import fine_tune
from engine.spec import Choice
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig
from engine.techniques.int8_static import Int8Static, Int8StaticConfig

RATE = 0.1
"""Share of the usual learning rate: the weights have only to settle on the grid, not to be learnt anew."""


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
        """Fine-tune in place.

        Raises:
            TrainingError: if training diverges.
        """
        with fake_quantized(model.module):
            fine_tune(model, context, config.epochs, rate=RATE)
        return model

    def completed_by(self, config: Int8QatConfig) -> tuple[Choice, ...]:
        """Return static quantization, whose grid was trained for."""
        params = Int8StaticConfig(samples=config.samples).model_dump(mode="json")
        return (Choice(name=Int8Static.name, params=params),)
