"""Removing units: the share that was asked for, the least important ones, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InvalidValueError
from engine.models.base import TrainedModel
from engine.models.structured import prune_units
from engine.models.training import encode_first, predict
from tests import tiny
from tests.tiny import Kind


def cut(model: TrainedModel, **shares: float) -> None:
    dataset = tiny.dataset_for(model.family.task)
    prune_units(model, shares, encode_first(model, dataset.train), score=None)


@pytest.fixture
def encoder(tmp_path: Path) -> TrainedModel:
    return tiny.untrained(Kind("encoder"), tmp_path)


@pytest.fixture
def mlp(tmp_path: Path) -> TrainedModel:
    return tiny.untrained(Kind("vision", "mlp"), tmp_path)


def shapes(model: TrainedModel) -> list[tuple[int, int]]:
    """Return (width of the query, of the feed-forward layer) for every layer of a BERT."""
    module: Any = model.module
    return [
        (layer.attention.self.query.out_features, layer.intermediate.dense.out_features)
        for layer in module.bert.encoder.layer
    ]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"heads": 0.5}, (tiny.HIDDEN // 2, tiny.INNER)),
        ({"ffn": 0.25}, (tiny.HIDDEN, tiny.INNER * 3 // 4)),
        ({"heads": 0.25, "ffn": 0.5}, (tiny.HIDDEN * 3 // 4, tiny.INNER // 2)),
    ],
)
def test_every_layer_loses_its_share(
    encoder: TrainedModel, shares: dict[str, float], expected: tuple[int, int]
) -> None:
    cut(encoder, **shares)
    assert shapes(encoder) == [expected] * tiny.LAYERS


def test_whole_heads_go(encoder: TrainedModel) -> None:
    module: Any = encoder.module
    cut(encoder, heads=0.5)
    attention = module.bert.encoder.layer[0].attention.self
    assert attention.num_attention_heads == tiny.HEADS // 2
    assert attention.attention_head_size == tiny.HIDDEN // tiny.HEADS
    assert np.isfinite(predict(encoder, tiny.text_dataset().test)).all()


def test_the_residual_stream_stays(encoder: TrainedModel) -> None:
    module: Any = encoder.module
    cut(encoder, heads=0.5, ffn=0.5)
    assert module.bert.encoder.layer[0].output.dense.out_features == tiny.HIDDEN
    assert module.classifier.in_features == tiny.HIDDEN


def test_the_weakest_neurons_go_first(mlp: TrainedModel) -> None:
    import torch

    hidden: Any = mlp.module.get_submodule("hidden")
    head: Any = mlp.module.get_submodule("head")
    with torch.no_grad():
        hidden.weight[:256] *= 1e-6
        hidden.bias[:256] = 0
        head.weight[:, :256] *= 1e-6
    split = tiny.image_dataset().test
    before = predict(mlp, split)
    cut(mlp, ffn=0.5)
    assert hidden.out_features == 256
    np.testing.assert_allclose(predict(mlp, split), before, atol=1e-4)


@pytest.mark.parametrize("shares", [{"heads": 0.5}, {"channels": 0.5}, {"ffn": 0.0}])
def test_units_a_model_does_not_have_are_refused(mlp: TrainedModel, shares: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=r"Nothing to prune.*it has: ffn"):
        cut(mlp, **shares)
