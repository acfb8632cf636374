"""Both kinds of pruning, in what the contract does not say of all techniques."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InvalidValueError
from engine.models.base import ModelFacts, TrainedModel
from engine.models.training import predict
from engine.techniques.prune_magnitude import PruneMagnitude, PruneMagnitudeConfig
from engine.techniques.prune_structured import PruneStructured, PruneStructuredConfig
from tests import tiny
from tests.tiny import Kind


@pytest.fixture
def mlp(tmp_path: Path) -> TrainedModel:
    return tiny.untrained(Kind("vision", "mlp"), tmp_path)


def zero_shares(model: TrainedModel) -> list[float]:
    return [float((layer.weight == 0).float().mean()) for layer in layers(model)]


def layers(model: TrainedModel) -> list[Any]:
    return [model.module.get_submodule("hidden"), model.module.get_submodule("head")]


def prune(model: TrainedModel, **params: Any) -> TrainedModel:
    config = PruneMagnitudeConfig.model_validate(params)
    return PruneMagnitude().apply(model, config, tiny.context_for(model.family.task))


def test_every_layer_loses_its_share_by_layer(mlp: TrainedModel) -> None:
    assert zero_shares(prune(mlp, sparsity=0.3, scope="layer")) == pytest.approx([0.3, 0.3], abs=1e-3)


def test_weights_compete_globally(mlp: TrainedModel) -> None:
    import torch

    with torch.no_grad():
        layers(mlp)[1].weight *= 1000
    hidden, head = zero_shares(prune(mlp, sparsity=0.3))
    total, small = 784 * 512 + 512 * 3, 784 * 512
    assert head < 0.01
    assert hidden == pytest.approx(0.3 * total / small, abs=1e-3)


def test_the_smallest_go(mlp: TrainedModel) -> None:
    before = layers(mlp)[0].weight.detach().abs().clone()
    after = layers(prune(mlp, sparsity=0.5, scope="layer"))[0].weight
    assert before[after == 0].max() <= before[after != 0].min()


def test_zeros_stay_zero_through_recovery(mlp: TrainedModel) -> None:
    pruned = prune(mlp, sparsity=0.5, scope="layer", recovery_epochs=2)
    assert zero_shares(pruned) == pytest.approx([0.5, 0.5], abs=1e-3)
    assert {name for name, _ in pruned.module.named_parameters()} == {
        "hidden.weight",
        "hidden.bias",
        "head.weight",
        "head.bias",
    }


@pytest.mark.parametrize(
    ("params", "facts", "sentence"),
    [
        ({"heads": 0, "ffn": 0, "channels": 0}, ModelFacts(family="encoder"), "nothing would be removed"),
        ({"heads": 0.95}, ModelFacts(family="encoder", heads=4), "would remove all 4 heads"),
    ],
)
def test_senseless_cuts_are_refused(params: dict[str, float], facts: ModelFacts, sentence: str) -> None:
    with pytest.raises(InvalidValueError, match=sentence):
        PruneStructured().check(PruneStructuredConfig.model_validate(params), facts)


def test_sensible_cuts_are_let_through() -> None:
    PruneStructured().check(PruneStructuredConfig(heads=0.5), ModelFacts(family="encoder", heads=4))


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_a_cut_without_recovery_keeps_what_matters(mlp: TrainedModel, importance: str) -> None:
    """Neurons without influence on the answer go first, by either importance."""
    import torch

    hidden, head = layers(mlp)
    with torch.no_grad():
        hidden.weight[::2] *= 1e-6
        hidden.bias[::2] = 0
        head.weight[:, ::2] *= 1e-6
    split = tiny.image_dataset().test
    before = predict(mlp, split)
    config = PruneStructuredConfig(ffn=0.5, importance=importance, recovery_epochs=0)
    cut = PruneStructured().apply(mlp, config, tiny.context_for(mlp.family.task))
    assert layers(cut)[0].out_features == 256
    np.testing.assert_allclose(predict(cut, split), before, atol=1e-4)


def test_taylor_importance_knows_what_magnitude_does_not(mlp: TrainedModel) -> None:
    """Large weights that see only black pixels cost no loss; only Taylor importance can tell."""
    import torch

    hidden, _ = layers(mlp)
    with torch.no_grad():
        hidden.weight[:256] = 5.0
        hidden.bias[:256] = -1e6  # never active
    split = tiny.image_dataset().test
    before = predict(mlp, split)
    config = PruneStructuredConfig(ffn=0.5, importance="taylor", recovery_epochs=0)
    cut = PruneStructured().apply(mlp, config, tiny.context_for(mlp.family.task))
    np.testing.assert_allclose(predict(cut, split), before, atol=1e-4)
