"""Masks: what is dead stays dead, by magnitude over all layers or by a pattern within each row."""

import pytest
import torch
from torch import nn

from engine.models.sparsity import Masks, cubic


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def zeros(module: nn.Module) -> float:
    weights = [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9])
def test_the_smallest_die_wherever_they_are(sparsity: float) -> None:
    module = network()
    masks = Masks(module)
    before = torch.cat([weight.detach().abs().flatten() for weight in masks.weights])
    masks.keep_largest([weight.detach().abs() for weight in masks.weights], sparsity)
    assert zeros(module) == pytest.approx(sparsity, abs=1 / len(before))
    after = torch.cat([weight.detach().abs().flatten() for weight in masks.weights])
    if sparsity:
        assert before[after == 0].max() <= after[after != 0].min()


def test_what_is_dead_stays_dead_after_a_step() -> None:
    module = network()
    masks = Masks(module)
    masks.keep_largest([weight.detach().abs() for weight in masks.weights], 0.5)
    with torch.no_grad():
        for weight in masks.weights:
            weight.add_(1)
    masks.apply()
    assert zeros(module) == pytest.approx(0.5, abs=0.02)


def test_two_of_four_live_in_every_group() -> None:
    module = network()
    masks = Masks(module)
    masks.keep_n_of_m(2, 4)
    first, second = (weight.detach() for weight in masks.weights)
    assert ((first.reshape(6, 2, 4) != 0).sum(-1) == 2).all()
    assert ((second[:, :4] != 0).sum(-1) == 2).all()
    assert (second[:, 4:] != 0).all(), "what is left over at the end of a row lives"


def test_the_largest_of_a_group_live() -> None:
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, -0.9, 0.5, 0.2]]))
    Masks(layer).keep_n_of_m(2, 4)
    assert layer.weight.tolist() == [[0, pytest.approx(-0.9), pytest.approx(0.5), 0]]


def test_sparsity_grows_fast_at_first_and_ends_early() -> None:
    steps = [cubic(done, 100, 0.8) for done in range(101)]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[70] == steps[100] == pytest.approx(0.8)
    assert steps[20] > 0.4
