"""Distillation: a smaller student learns from the model's own answers (Hinton, Vinyals, Dean 2015)."""

from __future__ import annotations

from pydantic import Field

from engine.errors import ContradictionError, InvalidValueError
from engine.models.base import ModelFacts, TrainedModel, TrainingContext
from engine.models.structured import prune_units
from engine.models.training import LossFunction, encode_first, predict, train
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig


class DistillConfig(TechniqueConfig):
    """Parameters of distillation."""

    layers: int = Field(
        default=0,
        ge=0,
        le=128,
        title="Layers",
        description="Layers the student keeps, evenly spaced over the teacher's; 0 keeps all",
        json_schema_extra={"unit": "layers"},
    )
    width: float = Field(
        default=0.5,
        gt=0,
        le=1,
        title="Width",
        description="Share of heads, neurons and channels the student keeps in each layer",
    )
    temperature: float = Field(
        default=2.0, ge=0.5, le=20, title="Temperature", description="Softens the teacher's answers; higher is softer"
    )
    soft_weight: float = Field(
        default=0.7,
        ge=0,
        le=1,
        title="Weight of soft labels",
        description="Share of the loss that follows the teacher; the rest follows the true labels",
    )
    epochs: float = Field(
        default=3,
        gt=0,
        le=50,
        title="Epochs",
        description="How long the student learns",
        json_schema_extra={"unit": "epochs"},
    )


class Distill(ModelTechnique[DistillConfig]):
    """A student with fewer layers or narrower ones, taught by the incoming model."""

    name = "distill"
    title = "Distillation"
    summary = "Trains a smaller student on the model's own soft answers; the largest speed-ups, a few points lost."
    group = Group.DISTILLATION
    config_type = DistillConfig

    def check(self, config: DistillConfig, facts: ModelFacts) -> None:
        """Refuse a student that is not smaller than its teacher."""
        if config.layers == 0 and config.width == 1:
            raise ContradictionError(
                "distill: the student would be as large as its teacher; set fewer layers or a width under 1."
            )
        if config.layers and facts.layers is None and facts.family == "vision":
            raise InvalidValueError(
                "distill: this image model has no repeated layers; set layers=0 and a width under 1."
            )
        if facts.layers is not None and config.layers >= facts.layers:
            raise InvalidValueError(
                f"distill: layers={config.layers} is not fewer than the teacher's {facts.layers}; choose 1 to "
                f"{facts.layers - 1}."
            )

    def apply(self, model: TrainedModel, config: DistillConfig, context: TrainingContext) -> TrainedModel:
        """Return the trained student."""
        teacher_logits = predict(model, context.dataset.train)
        student = model.family.keep_layers(model, config.layers) if config.layers else model
        if config.width < 1:
            share = 1 - config.width
            shares = {kind: share for kind, layers in model.family.prunable(student.module).layers.items() if layers}
            prune_units(student, shares, encode_first(student, context.dataset.train), score=None)
        base = model.family.fine_tuning(model.family.variant(model.module))
        settings = base.model_copy(update={"epochs": config.epochs})
        train(
            student,
            context.dataset.train,
            settings,
            seed=context.seed,
            report=context.report,
            loss=soft_label_loss(teacher_logits, config.temperature, config.soft_weight),
        )
        return student


def soft_label_loss(teacher_logits: object, temperature: float, soft_weight: float) -> LossFunction:
    """Return ``w T² KL(teacher || student) + (1 - w) CE(labels)`` (Hinton et al. 2015, section 2).

    Args:
        teacher_logits: ``(n, classes)`` float32, by sample index.
    """
    import torch
    from torch.nn import functional

    targets = torch.log_softmax(torch.as_tensor(teacher_logits) / temperature, dim=-1)

    def loss(logits: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        soft = functional.kl_div(
            torch.log_softmax(logits / temperature, dim=-1), targets[indices], reduction="batchmean", log_target=True
        )
        hard = functional.cross_entropy(logits, labels)
        return soft_weight * temperature**2 * soft + (1 - soft_weight) * hard

    return loss
