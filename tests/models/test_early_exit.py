"""A way out: sure samples take it, the others go on, and the company a sample comes in makes no difference."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.datasets.files import take
from engine.errors import InvalidValueError
from engine.models.base import TrainedModel
from engine.models.early_exit import has_way_out, is_unsure
from engine.models.preprocess import load_preprocessor
from engine.models.training import encode, predict
from tests import tiny
from tests.tiny import Kind

KINDS = (Kind("vision", "cnn"), Kind("encoder"))
each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


def split_model(kind: Kind, folder: Path, threshold: float) -> TrainedModel:
    model = tiny.untrained(kind, folder)
    torch.manual_seed(1)
    split = model.family.with_exit(model, 1, threshold)
    split.module.eval()
    return split


def both_ways(model: TrainedModel, kind: Kind) -> tuple[Any, Any]:
    """Return the logits of the way out and of the end for the validation samples."""
    module: Any = model.module
    split = tiny.dataset_for(kind.task).validation
    inputs = encode(model, split, np.arange(len(split)))
    with torch.inference_mode():
        state = module.front(**inputs) if kind.family == "encoder" else module.front(*inputs.values())
        return module.way_out(state[0]).numpy(), module.back(*state).numpy()


@each_kind
def test_the_two_halves_make_the_whole(kind: Kind, tmp_path: Path) -> None:
    model = tiny.untrained(kind, tmp_path)
    split = tiny.dataset_for(kind.task).validation
    _, last = both_ways(split_model(kind, tmp_path, 0.9), kind)
    np.testing.assert_allclose(last, predict(model, split), atol=1e-4)


@each_kind
def test_sure_samples_leave_and_the_others_go_on(kind: Kind, tmp_path: Path) -> None:
    early, last = both_ways(split_model(kind, tmp_path, 0.5), kind)
    confidence = torch.from_numpy(early).softmax(-1).amax(-1)
    model = split_model(kind, tmp_path, float(confidence.median()))
    unsure = is_unsure(early, float(confidence.median()))
    assert 0 < unsure.sum() < len(unsure)
    answers = predict(model, tiny.dataset_for(kind.task).validation)
    np.testing.assert_allclose(answers, np.where(unsure[:, None], last, early), atol=1e-4)


@each_kind
def test_while_training_every_sample_goes_to_the_end(kind: Kind, tmp_path: Path) -> None:
    model = split_model(kind, tmp_path, 1e-6)
    for layer in model.module.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    module: Any = model.module
    split = tiny.dataset_for(kind.task).validation
    module.train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
    with torch.inference_mode():
        logits = model.family.logits(module, encode(model, split, np.arange(len(split))))
    module.eval()
    np.testing.assert_allclose(logits.numpy(), both_ways(model, kind)[1], atol=1e-4)


@each_kind
@pytest.mark.parametrize("threshold", [1e-6, 0.55, 0.999999])
def test_both_halves_are_exported_and_answer_alike(kind: Kind, threshold: float, tmp_path: Path) -> None:
    model = split_model(kind, tmp_path, threshold)
    samples = tiny.dataset_for(kind.task).validation.samples
    expected = predict(model, tiny.dataset_for(kind.task).validation)
    saved = tmp_path / "saved"
    saved.mkdir()
    model.family.save(model, saved)
    again = model.family.load(saved)
    assert has_way_out(again.module)
    for backend in (backend for backend in tiny.usable_backends() if backend.takes_split_models):
        folder = tmp_path / backend.name
        folder.mkdir()
        options = backend.options_type.model_validate({"threads": 1})
        artifact = backend.export(again, options, folder)
        session = backend.load(artifact, options)
        preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
        together = session.run(preprocess(take(samples, np.arange(8))))
        alone = np.concatenate([session.run(preprocess(take(samples, np.array([row])))) for row in range(8)])
        np.testing.assert_allclose(together, expected[:8], atol=1e-4)
        np.testing.assert_allclose(alone, expected[:8], atol=1e-4)


def test_a_way_out_at_the_end_is_refused(tmp_path: Path) -> None:
    model = tiny.untrained(Kind("encoder"), tmp_path)
    with pytest.raises(InvalidValueError, match="leaves nothing to skip"):
        model.family.with_exit(model, tiny.LAYERS, 0.9)


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    model = tiny.untrained(Kind("vision", "mlp"), tmp_path)
    with pytest.raises(InvalidValueError, match="no layer to skip"):
        model.family.with_exit(model, 1, 0.9)
