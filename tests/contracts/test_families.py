"""What every model family must do: make, save, load, shrink."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import InvalidValueError, WeightsError
from engine.models import FAMILIES
from engine.models.base import TrainedModel
from engine.models.structured import prune_units
from engine.models.training import encode_first, predict, train
from engine.models.weights_file import WEIGHTS_FILE, count_parameters
from engine.spec import CLASSIFICATION
from tests import tiny
from tests.tiny import KINDS, Kind

pytestmark = pytest.mark.parametrize("kind", KINDS, ids=str)


@pytest.fixture
def model(kind: Kind, tmp_path: Path) -> TrainedModel:
    return tiny.untrained(kind, tmp_path)


def reload(model: TrainedModel, folder: Path) -> TrainedModel:
    folder.mkdir()
    model.family.save(model, folder)
    return model.family.load(folder)


def assert_equal_answers(one: TrainedModel, other: TrainedModel, kind: Kind) -> None:
    split = tiny.dataset_for(kind.task).validation
    np.testing.assert_allclose(predict(one, split), predict(other, split), atol=1e-5)


def test_every_family_is_tried_here(kind: Kind) -> None:
    assert kind.family in FAMILIES
    classifiers = {family.name for family in FAMILIES if family.task in CLASSIFICATION}
    assert {tried.family for tried in KINDS} == classifiers, "language models have a contract of their own"


def test_save_and_load_keep_the_answers(model: TrainedModel, kind: Kind, tmp_path: Path) -> None:
    again = reload(model, tmp_path / "saved")
    assert_equal_answers(model, again, kind)
    assert count_parameters(again.module) == count_parameters(model.module)
    assert again.preprocess == model.preprocess
    assert not again.module.training


def test_a_cut_model_is_smaller_and_is_read_back(model: TrainedModel, kind: Kind, tmp_path: Path) -> None:
    before, _ = count_parameters(model.module)
    shares = {name: 0.5 for name, layers in model.family.prunable(model.module).layers.items() if layers}
    prune_units(model, shares, encode_first(model, tiny.dataset_for(kind.task).train), score=None)
    after, _ = count_parameters(model.module)
    assert after < 0.8 * before
    assert all(parameter.grad is None for parameter in model.module.parameters())
    again = reload(model, tmp_path / "saved")
    assert count_parameters(again.module)[0] == after
    assert_equal_answers(model, again, kind)


def test_a_cut_model_can_be_cut_and_trained_again(model: TrainedModel, kind: Kind, tmp_path: Path) -> None:
    dataset = tiny.dataset_for(kind.task)
    for name in ("first", "second"):
        shares = {unit: 0.5 for unit, layers in model.family.prunable(model.module).layers.items() if layers}
        prune_units(model, shares, encode_first(model, dataset.train), score=None)
        settings = model.family.fine_tuning(kind.variant).model_copy(update={"epochs": 1})
        train(model, dataset.train, settings, seed=0, report=lambda *_: None)
        model = reload(model, tmp_path / name)
    assert np.isfinite(predict(model, dataset.validation)).all()


def test_fewer_layers_are_kept_or_refused(model: TrainedModel, kind: Kind, tmp_path: Path) -> None:
    before = count_parameters(model.module)
    if kind.family == "vision":
        with pytest.raises(InvalidValueError, match="no repeated layers"):
            model.family.keep_layers(model, 1)
        return
    student = model.family.keep_layers(model, 1)
    assert count_parameters(student.module)[0] < before[0]
    assert count_parameters(model.module) == before, "the teacher was changed"
    assert_equal_answers(student, reload(student, tmp_path / "student"), kind)
    for layers in (0, tiny.LAYERS, tiny.LAYERS + 1):
        with pytest.raises(InvalidValueError, match="not smaller"):
            model.family.keep_layers(model, layers)


def test_the_last_layer_is_kept(model: TrainedModel, kind: Kind) -> None:
    if kind.family == "vision":
        pytest.skip("vision models have no repeated layers")
    student = model.family.keep_layers(model, 1)
    teacher_state, student_state = model.module.state_dict(), student.module.state_dict()
    name = "bert.encoder.layer.{}.output.dense.weight"
    np.testing.assert_array_equal(student_state[name.format(0)], teacher_state[name.format(tiny.LAYERS - 1)])


def test_training_learns_and_can_be_repeated(kind: Kind, tmp_path: Path) -> None:
    dataset = tiny.dataset_for(kind.task)
    answers = []
    for name in ("one", "two"):
        model = tiny.untrained(kind, tmp_path / name)
        settings = model.family.fine_tuning(kind.variant).model_copy(
            update={"epochs": 8, "batch_size": 16, "learning_rate": 5e-3}
        )
        train(model, dataset.train, settings, seed=1, report=lambda *_: None)
        answers.append(predict(model, dataset.test))
    np.testing.assert_array_equal(answers[0], answers[1])
    assert (answers[0].argmax(axis=1) == dataset.test.labels).mean() > 0.8


def test_damaged_weights_are_refused_with_a_sentence(model: TrainedModel, kind: Kind, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    model.family.save(model, folder)
    whole = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be read"):
        model.family.load(folder)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        model.family.load(folder)


def test_units_that_may_go_and_layers_that_must_stay_are_disjoint(model: TrainedModel, kind: Kind) -> None:
    prunable = model.family.prunable(model.module)
    free = [layer for layers in prunable.layers.values() for layer in layers]
    assert free
    assert not {id(layer) for layer in free} & {id(layer) for layer in prunable.frozen}
    assert set(prunable.heads) == set(prunable.layers["heads"])


def test_facts_are_known_without_the_weights(kind: Kind, tmp_path: Path) -> None:
    family = FAMILIES.get(kind.family)
    source = tiny.encoder_folder(tmp_path) if kind.family == "encoder" else None
    if source:
        (source / WEIGHTS_FILE).unlink()
    facts = family.facts(kind.variant, source)
    assert facts.family == kind.family
    expected = (tiny.LAYERS, tiny.HEADS) if kind.family == "encoder" else (None, None)
    assert (facts.layers, facts.heads) == expected


def test_axes_name_every_input(model: TrainedModel, kind: Kind) -> None:
    axes = model.family.dynamic_axes()
    assert axes.keys() == {*model.family.input_names, "logits"}
    assert all(axis[0] == "batch" for axis in axes.values())
