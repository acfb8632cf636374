"""The embedded image classifiers."""

from pathlib import Path

import pytest

from engine.errors import WeightsError
from engine.models.vision import VisionFamily, build
from engine.models.weights_file import count_parameters
from tests import tiny


def test_the_mlp_is_the_classic_one() -> None:
    assert count_parameters(build("mlp", 28, 10))[0] == 784 * 512 + 512 + 512 * 10 + 10


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(WeightsError, match="no vision model of kind 'transformer'; known: mlp, cnn"):
        build("transformer", 28, 10)


@pytest.mark.parametrize("variant", ["mlp", "cnn"])
def test_a_seed_fixes_the_start_and_the_training_images_the_normalisation(variant: str) -> None:
    family, dataset = VisionFamily(), tiny.image_dataset()
    one, fits = family.create(variant, None, dataset, seed=3)
    same, _ = family.create(variant, None, dataset, seed=3)
    other, _ = family.create(variant, None, dataset, seed=4)
    weights = [model.module.get_submodule("head").state_dict()["weight"] for model in (one, same, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])
    assert not fits
    assert 0.2 < one.preprocess.mean < 0.6
    assert family.variant(one.module) == variant


def test_it_is_read_back_with_its_normalisation(tmp_path: Path) -> None:
    family = VisionFamily()
    model, _ = family.create("cnn", None, tiny.image_dataset(), seed=0)
    family.save(model, tmp_path)
    assert family.load(tmp_path).preprocess == model.preprocess
    assert family.variant(family.load(tmp_path).module) == "cnn"
