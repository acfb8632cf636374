"""Distillation: a smaller student learns from the model's own answers (Hinton, Vinyals, Dean 2015)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from engine.errors import ContradictionError, InvalidValueError
from engine.models import FAMILIES, MODELS, text_training
from engine.models.base import ModelFacts, TrainedModel, TrainingContext
from engine.models.matching import Distance, matching
from engine.models.structured import prune_units
from engine.models.training import LossFunction, encode_first, fine_tune, predict
from engine.models.weights import fetch
from engine.spec import Task
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig

if TYPE_CHECKING:
    import torch

ITSELF = "itself"
STUDENTS = (ITSELF, *MODELS.names())
SPEAKING = "causal-lm"
"""The family whose students are taught token by token."""
Targets = Literal["soft", "hard"]


def _known(student: str) -> str:
    if student not in STUDENTS:
        raise ValueError(f"Input should be one of {', '.join(STUDENTS)}")
    return student


class DistillConfig(TechniqueConfig):
    """Parameters of distillation."""

    student: Annotated[str, AfterValidator(_known)] = Field(
        default=ITSELF,
        title="Student",
        description="The model itself with fewer or narrower layers, or another model of the catalog as it is",
        json_schema_extra={"enum": list(STUDENTS)},
    )
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
    targets: Targets = Field(
        default="soft",
        title="Targets",
        description="The teacher's probabilities (soft), or only the class it thinks most likely (hard)",
    )
    temperature: float = Field(
        default=2.0, ge=0.5, le=20, title="Temperature", description="Softens the teacher's answers; higher is softer"
    )
    soft_weight: float = Field(
        default=0.7,
        ge=0,
        le=1,
        title="Weight of the teacher",
        description="Share of the loss that follows the teacher's answers; the rest follows the true labels",
    )
    hidden_weight: float = Field(
        default=0.0,
        ge=0,
        le=100,
        title="Hidden states",
        description="Weight of the distance between the layers of student and teacher; 0 leaves them free",
    )
    attention_weight: float = Field(
        default=0.0,
        ge=0,
        le=100,
        title="Attention",
        description="Weight of the distance between the attention maps of student and teacher; 0 leaves them free",
    )
    teachers: int = Field(
        default=1,
        ge=1,
        le=5,
        title="Teachers",
        description="Fitted with different seeds, their answers are averaged; the first is the model itself",
        json_schema_extra={"unit": "teachers"},
    )
    epochs: float = Field(
        default=3,
        gt=0,
        le=50,
        title="Epochs",
        description="How long the student learns",
        json_schema_extra={"unit": "epochs"},
    )

    @property
    def matches_layers(self) -> bool:
        """Tell whether the student is to be like its teacher inside, too."""
        return self.hidden_weight > 0 or self.attention_weight > 0


class Distill(ModelTechnique[DistillConfig]):
    """A student with fewer layers or narrower ones, or another model, taught by the incoming one."""

    name = "distill"
    title = "Distillation"
    summary = "Trains a smaller student on the model's own answers; the largest speed-ups, a few points lost."
    group = Group.DISTILLATION
    config_type = DistillConfig
    tasks = frozenset(Task)

    def check(self, config: DistillConfig, facts: ModelFacts) -> None:
        """Refuse a student that is not smaller than its teacher, or that cannot be taught in this way."""
        if config.student != ITSELF:
            _check_other(config, facts)
            return
        if config.layers == 0 and config.width == 1:
            raise ContradictionError(
                "distill: the student would be as large as its teacher; set fewer layers or a width under 1."
            )
        if facts.family == SPEAKING:
            _check_text(config)
        if facts.family == "vision" and config.layers:
            raise InvalidValueError(
                "distill: this image model has no repeated layers; set layers=0 and a width under 1."
            )
        if facts.family == "vision" and config.matches_layers:
            raise InvalidValueError(
                "distill: this image model has no repeated layers to match; set hidden_weight=0 and attention_weight=0."
            )
        if facts.layers is not None and config.layers >= facts.layers:
            raise InvalidValueError(
                f"distill: layers={config.layers} is not fewer than the teacher's {facts.layers}; choose 1 to "
                f"{facts.layers - 1}."
            )

    def apply(self, model: TrainedModel, config: DistillConfig, context: TrainingContext) -> TrainedModel:
        """Return the trained student."""
        if model.family.task is Task.TEXT_GENERATION:
            student = _student(model, config, context)
            text_training.recover(
                student, model, context, config.epochs, temperature=config.temperature, weight=config.soft_weight
            )
            return student
        train = context.dataset.train
        teachers = [model, *(context.another(context.seed + number) for number in range(1, config.teachers))]
        answers = np.stack([predict(teacher, train) for teacher in teachers])
        of_answers = answer_loss(answers, config.temperature, config.soft_weight, config.targets)
        teacher = copy.copy(model)
        if config.matches_layers:
            teacher.module = copy.deepcopy(model.module)  # the student may become of the very same module
        student = _student(model, config, context)
        if not config.matches_layers:
            fine_tune(student, context, config.epochs, loss=of_answers)
            return student
        with matching(teacher, student, train, config.hidden_weight, config.attention_weight) as distance:
            fine_tune(student, context, config.epochs, loss=_sum(of_answers, distance))
        return student


def _check_text(config: DistillConfig) -> None:
    """Refuse what is not known for language models: only whole layers can be left out there."""
    if config.layers == 0 or config.width != 1:
        raise InvalidValueError("distill: a student of a language model has fewer layers; set layers=N and width=1.")
    if config.matches_layers or config.teachers > 1 or config.targets == "hard":
        raise InvalidValueError(
            "distill: a language model learns from one teacher's soft answers; leave hidden_weight, attention_weight, "
            "teachers and targets as they are."
        )


def _sum(of_answers: LossFunction, distance: Distance) -> LossFunction:
    """Return the loss of the answers plus the distance between layers."""

    def loss(logits: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        return of_answers(logits, labels, indices) + distance(indices)

    return loss


def _check_other(config: DistillConfig, facts: ModelFacts) -> None:
    """Refuse a student from the catalog that is for another task, no smaller, or to be matched layer by layer."""
    student = MODELS.get(config.student)
    if student.family != facts.family:
        raise ContradictionError(f"distill: {student.name} is a model for {student.task}; choose another student.")
    if config.matches_layers:
        raise ContradictionError(
            "distill: only layers of the model itself can be matched; set hidden_weight=0 and attention_weight=0."
        )
    if facts.flops is not None and student.flops is not None and student.flops >= facts.flops:
        raise ContradictionError(
            f"distill: {student.name} has as much to compute as its teacher or more; choose a smaller student."
        )


def _student(model: TrainedModel, config: DistillConfig, context: TrainingContext) -> TrainedModel:
    """Return the untaught student."""
    if config.student != ITSELF:
        entry = MODELS.get(config.student)
        source = fetch(entry, lambda text: context.report(0, text))
        student, _ = FAMILIES.get(entry.family).create(entry.variant, source, context.dataset, context.seed)
        return student
    student = model.family.keep_layers(model, config.layers) if config.layers else model
    if config.width < 1:
        share = 1 - config.width
        shares = {kind: share for kind, layers in model.family.prunable(student.module).layers.items() if layers}
        prune_units(student, shares, encode_first(student, context.dataset.train), score=None)
    return student


def answer_loss(
    answers: NDArray[np.float32], temperature: float, weight: float, targets: Targets = "soft"
) -> LossFunction:
    """Return ``w T² KL(teachers || student) + (1 - w) CE(labels)`` (Hinton et al. 2015, section 2).

    The teachers' probabilities are averaged. With hard targets the first term is the cross-entropy with the class that
    the teachers think most likely, without ``T²``.

    Args:
        answers: the teachers' logits, ``(teachers, n, classes)``, by sample index.
        weight: ``w``, the share of the teachers.
    """
    import torch
    from torch.nn import functional

    each = torch.log_softmax(torch.from_numpy(answers) / temperature, dim=-1)
    probabilities = torch.logsumexp(each, dim=0) - float(np.log(len(answers)))

    def loss(logits: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        target = probabilities[indices]
        if targets == "hard":
            taught = functional.cross_entropy(logits, target.argmax(dim=-1))
        else:
            mine = torch.log_softmax(logits / temperature, dim=-1)
            taught = temperature**2 * functional.kl_div(mine, target, reduction="batchmean", log_target=True)
        return weight * taught + (1 - weight) * functional.cross_entropy(logits, labels)

    return loss
