"""PyTorch eager: the reference."""

from pathlib import Path

import numpy as np
import pytest

from engine.backends.torch_eager import TorchEager, TorchOptions
from tests import tiny
from tests.tiny import Kind


@pytest.fixture
def threads() -> "object":
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_it_takes_the_threads_it_is_given(tmp_path: Path) -> None:
    import torch

    artifact = TorchEager().export(tiny.untrained(Kind("vision", "mlp"), tmp_path), TorchOptions(), tmp_path)
    for count in (2, 1):
        TorchEager().load(artifact, TorchOptions(threads=count))
        assert torch.get_num_threads() == count


def test_answers_need_no_autograd_and_dropout_is_off(tmp_path: Path) -> None:
    artifact = TorchEager().export(tiny.untrained(Kind("vision", "cnn"), tmp_path), TorchOptions(), tmp_path)
    session = TorchEager().load(artifact, TorchOptions(threads=1))
    image = {"image": np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)}
    np.testing.assert_array_equal(session.run(image), session.run(image))


def test_a_text_model_without_segments_is_fed_none(tmp_path: Path) -> None:
    model = tiny.untrained(Kind("encoder"), tmp_path)
    model.preprocess = model.preprocess.model_copy(update={"token_type_ids": False})
    (tmp_path / "artifact").mkdir()
    artifact = TorchEager().export(model, TorchOptions(), tmp_path / "artifact")
    assert artifact.manifest.input_names == ("input_ids", "attention_mask")
