"""Encoders: what of a person's folder is taken over, and what is refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import WeightsError
from engine.models import FAMILIES
from engine.models.training import predict
from tests import tiny

FAMILY = FAMILIES.get("encoder")


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_head_that_fits_is_kept(tmp_path: Path) -> None:
    source = tiny.encoder_folder(tmp_path)
    one, fits = FAMILY.create("", source, tiny.text_dataset(), seed=1)
    other, _ = FAMILY.create("", source, tiny.text_dataset(), seed=2)
    assert fits
    split = tiny.text_dataset().test
    np.testing.assert_array_equal(predict(one, split), predict(other, split))


def test_a_bare_encoder_gets_a_fresh_head(tmp_path: Path) -> None:
    source = tiny.encoder_folder(tmp_path, head=False)
    model, fits = FAMILY.create("", source, tiny.text_dataset(), seed=0)
    assert not fits
    assert predict(model, tiny.text_dataset().test).shape[1] == 2
    whole, _ = FAMILY.create("", tiny.encoder_folder(tmp_path / "whole"), tiny.text_dataset(), seed=0)
    name = "bert.encoder.layer.1.output.dense.weight"
    np.testing.assert_array_equal(model.module.state_dict()[name], whole.module.state_dict()[name])


def test_a_head_for_other_classes_is_replaced(tmp_path: Path) -> None:
    source = tiny.encoder_folder(tmp_path, classes=("a", "b", "c"))
    model, fits = FAMILY.create("", source, tiny.text_dataset(), seed=0)
    assert not fits
    assert predict(model, tiny.text_dataset().test).shape[1] == 2


def test_as_many_classes_as_the_data_has(tmp_path: Path) -> None:
    dataset = dataclasses.replace(tiny.text_dataset(), classes=("a", "b", "c"))
    model, fits = FAMILY.create("", tiny.encoder_folder(tmp_path), dataset, seed=0)
    assert not fits
    assert predict(model, dataset.test).shape[1] == 3


def test_an_encoder_never_starts_from_nothing() -> None:
    with pytest.raises(WeightsError, match="pretrained"):
        FAMILY.create("", None, tiny.text_dataset(), seed=0)


def test_a_folder_without_a_fast_tokenizer_is_refused(tmp_path: Path) -> None:
    source = tiny.encoder_folder(tmp_path)
    (source / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"no tokenizer\.json"):
        FAMILY.create("", source, tiny.text_dataset(), seed=0)


def test_weights_that_lack_a_layer_are_refused(tmp_path: Path) -> None:
    source = tiny.encoder_folder(tmp_path)
    edit(source, num_hidden_layers=tiny.LAYERS + 1)
    with pytest.raises(WeightsError, match=r"lack \d+ tensors, 'bert\.encoder\.layer\.2"):
        FAMILY.create("", source, tiny.text_dataset(), seed=0)


@pytest.mark.parametrize("change", [{"model_type": "no-such-model"}, {"model_type": "clip"}])
def test_a_configuration_of_something_else_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    source = tiny.encoder_folder(tmp_path)
    edit(source, **change)
    with pytest.raises(WeightsError):
        FAMILY.create("", source, tiny.text_dataset(), seed=0)


def test_code_in_a_folder_is_never_run(tmp_path: Path) -> None:
    source = tiny.encoder_folder(tmp_path / "source")
    proof = tmp_path / "was here"
    (source / "evil.py").write_text(
        f"from pathlib import Path\nPath({str(proof)!r}).touch()\nfrom transformers import BertConfig as Evil\n"
    )
    edit(
        source,
        model_type="evil",
        auto_map={"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"},
    )
    with pytest.raises(WeightsError):
        FAMILY.create("", source, tiny.text_dataset(), seed=0)
    assert not proof.exists()


def test_the_longest_input_fits_the_position_embeddings(tmp_path: Path) -> None:
    model = tiny.untrained(tiny.Kind("encoder"), tmp_path)
    assert model.preprocess.max_length == tiny.POSITIONS - 2
