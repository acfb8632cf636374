"""Distillation: the loss is Hinton's, the student is smaller, senseless students are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from engine.errors import ContradictionError, InvalidValueError
from engine.models.base import ModelFacts, TrainedModel
from engine.techniques.distill import Distill, DistillConfig, answer_loss
from tests import tiny
from tests.tiny import Kind

TEACHER = np.array([[2.0, -1.0, 0.5], [0.0, 1.0, -1.0], [3.0, 3.0, 0.0]], dtype=np.float32)
STUDENT = np.array([[1.0, 0.0, 0.0], [0.5, 0.2, -2.0]], dtype=np.float32)
LABELS, INDICES = np.array([0, 1]), np.array([2, 0])


def loss_of(temperature: float, weight: float, student: np.ndarray = STUDENT) -> float:
    import torch

    loss = answer_loss(TEACHER[None], temperature, weight)
    return float(loss(torch.from_numpy(student), torch.from_numpy(LABELS), torch.from_numpy(INDICES)))


def expected(temperature: float, weight: float) -> float:
    """Return the formula, written out in NumPy."""
    target = softmax(TEACHER[INDICES] / temperature, axis=1)
    soft = (target * (np.log(target) - log_softmax(STUDENT / temperature, axis=1))).sum(axis=1).mean()
    hard = -log_softmax(STUDENT, axis=1)[np.arange(2), LABELS].mean()
    return float(weight * temperature**2 * soft + (1 - weight) * hard)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_the_formula(temperature: float, weight: float) -> None:
    assert loss_of(temperature, weight) == pytest.approx(expected(temperature, weight), rel=1e-5)


def test_a_student_that_agrees_has_no_soft_loss() -> None:
    assert loss_of(3.0, 1.0, TEACHER[INDICES]) == pytest.approx(0, abs=1e-6)
    assert loss_of(3.0, 1.0) > 0.01


def test_several_teachers_are_averaged_as_probabilities() -> None:
    import torch

    other = TEACHER[:, ::-1].copy()
    loss = answer_loss(np.stack([TEACHER, other]), 2.0, 1.0)
    found = float(loss(torch.from_numpy(STUDENT), torch.from_numpy(LABELS), torch.from_numpy(INDICES)))
    target = (softmax(TEACHER[INDICES] / 2, axis=1) + softmax(other[INDICES] / 2, axis=1)) / 2
    soft = (target * (np.log(target) - log_softmax(STUDENT / 2, axis=1))).sum(axis=1).mean()
    assert found == pytest.approx(4 * soft, rel=1e-5)


def test_hard_targets_are_the_teachers_likeliest_classes() -> None:
    import torch

    loss = answer_loss(TEACHER[None], 2.0, 1.0, "hard")
    found = float(loss(torch.from_numpy(STUDENT), torch.from_numpy(LABELS), torch.from_numpy(INDICES)))
    classes = TEACHER[INDICES].argmax(axis=1)
    assert found == pytest.approx(-log_softmax(STUDENT, axis=1)[np.arange(2), classes].mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("params", "facts", "error", "sentence"),
    [
        (
            {"layers": 0, "width": 1},
            ModelFacts(family="encoder", layers=6),
            ContradictionError,
            "as large as its teacher",
        ),
        ({"layers": 6}, ModelFacts(family="encoder", layers=6), InvalidValueError, "not fewer .* 6; choose 1 to 5"),
        ({"layers": 2}, ModelFacts(family="vision"), InvalidValueError, "no repeated layers"),
        ({"hidden_weight": 1}, ModelFacts(family="vision"), InvalidValueError, "no repeated layers to match"),
        ({"student": "fashion-cnn"}, ModelFacts(family="encoder"), ContradictionError, "for image-classification"),
        (
            {"student": "fashion-mlp", "attention_weight": 1},
            ModelFacts(family="vision"),
            ContradictionError,
            "layers of the model itself",
        ),
        (
            {"student": "fashion-cnn"},
            ModelFacts(family="vision", flops=1.0),
            ContradictionError,
            "as much to compute as its teacher or more",
        ),
    ],
)
def test_senseless_students_are_refused(
    params: dict[str, int], facts: ModelFacts, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Distill().check(DistillConfig.model_validate(params), facts)


@pytest.mark.parametrize(
    ("params", "facts"),
    [
        ({"layers": 3}, ModelFacts(family="encoder", layers=6)),
        ({"width": 0.5}, ModelFacts(family="vision")),
        ({"layers": 3}, ModelFacts(family="encoder")),
        ({"student": "fashion-mlp"}, ModelFacts(family="vision", flops=1e12)),
        ({"layers": 3, "width": 1, "hidden_weight": 1}, ModelFacts(family="encoder", layers=6)),
    ],
)
def test_sensible_students_are_let_through(params: dict[str, float], facts: ModelFacts) -> None:
    Distill().check(DistillConfig.model_validate(params), facts)


def test_a_student_has_the_layers_and_the_width_asked_for(tmp_path: Path) -> None:
    model = tiny.untrained(Kind("encoder"), tmp_path)
    config = DistillConfig(layers=1, width=0.5, epochs=1)
    student = Distill().apply(model, config, tiny.context_for(model.family.task)).module
    layers = student.bert.encoder.layer
    assert len(layers) == 1
    assert layers[0].intermediate.dense.out_features == tiny.INNER // 2
    assert layers[0].attention.self.query.out_features == tiny.HIDDEN // 2


def test_a_student_learns_from_its_teacher_alone(tmp_path: Path) -> None:
    from engine.models.training import predict, train

    dataset = tiny.image_dataset()
    teacher = tiny.untrained(Kind("vision", "mlp"), tmp_path)
    settings = teacher.family.fine_tuning("mlp").model_copy(update={"epochs": 10, "flip": False})
    train(teacher, dataset.train, settings, seed=0, report=lambda *_: None)
    teacher_answers = predict(teacher, dataset.test).argmax(axis=1)
    config = DistillConfig(width=0.25, epochs=10, soft_weight=1.0)
    student = Distill().apply(teacher, config, tiny.context_for(teacher.family.task))
    assert (predict(student, dataset.test).argmax(axis=1) == teacher_answers).mean() > 0.8


def test_another_model_of_the_catalog_can_be_the_student(tmp_path: Path) -> None:
    teacher = tiny.untrained(Kind("vision", "cnn"), tmp_path)
    student = Distill().apply(
        teacher, DistillConfig(student="fashion-mlp", epochs=1), tiny.context_for(teacher.family.task)
    )
    assert student.family.variant(student.module) == "mlp"


def test_an_unknown_student_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="should be one of itself, fashion-mlp"):
        DistillConfig(student="fashion-mlq")


def test_more_teachers_are_fitted_with_other_seeds(tmp_path: Path) -> None:
    asked: list[int] = []

    def another(seed: int) -> TrainedModel:
        asked.append(seed)
        return tiny.untrained(Kind("vision", "mlp"), tmp_path)

    model = tiny.untrained(Kind("vision", "mlp"), tmp_path)
    context = replace(tiny.context_for(model.family.task), another=another)
    Distill().apply(model, DistillConfig(teachers=3, epochs=1), context)
    assert asked == [tiny.SEED + 1, tiny.SEED + 2]


@pytest.mark.parametrize("weights", [{"hidden_weight": 10.0}, {"attention_weight": 10.0}])
def test_a_student_that_is_matched_comes_closer_inside(weights: dict[str, float], tmp_path: Path) -> None:
    """The same student, taught with and without looking inside, against its teacher's layers."""
    import copy

    import torch

    from engine.models.matching import matching
    from engine.models.training import encode

    model = tiny.untrained(Kind("encoder"), tmp_path)
    context = tiny.context_for(model.family.task)
    split = context.dataset.train
    apart = {}
    for name, chosen in (("free", {}), ("matched", weights)):
        teacher = copy.copy(model)
        teacher.module = copy.deepcopy(model.module)
        config = DistillConfig.model_validate({"layers": 1, "width": 1, "epochs": 20, **chosen})
        student = Distill().apply(copy.copy(teacher), config, context)
        with (
            matching(
                teacher, student, split, bool(weights.get("hidden_weight")), bool(weights.get("attention_weight"))
            ) as distance,
            torch.no_grad(),
        ):
            indices = np.arange(16)
            student.family.logits(student.module.eval(), encode(student, split, indices))
            apart[name] = float(distance(torch.from_numpy(indices)))
    assert apart["matched"] < 0.9 * apart["free"]
