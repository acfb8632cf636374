"""Rounding while training: values on the grid, gradients as if nothing were rounded, a plain model in the end."""

import pytest
import torch
from torch import nn

from engine.models.fake_quant import fake_quantized, round_weight


def test_a_rounded_weight_is_a_whole_multiple_of_its_channel_s_scale() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 7) * torch.tensor([[0.01], [0.1], [1], [10], [100]])
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    steps = round_weight(weight) / scale
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert (round_weight(weight) - weight).abs().le(scale / 2 * 1.001).all()


def test_rounding_again_changes_nothing() -> None:
    torch.manual_seed(0)
    once = round_weight(torch.randn(4, 9))
    assert torch.allclose(round_weight(once), once, atol=1e-6)


def test_gradients_pass_straight_through() -> None:
    weight = torch.randn(3, 4, requires_grad=True)
    round_weight(weight).sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_inputs_are_rounded_to_the_range_that_training_showed() -> None:
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4))
    with fake_quantized(layer):
        layer.train()
        layer(torch.tensor([[0.0, 0.5, 0.7, 2.55]]))
        layer.eval()
        seen = layer(torch.tensor([[0.004, 0.1234, 1.0, 9.0]]))
    assert seen.tolist()[0] == pytest.approx([0.0, 0.12, 1.0, 2.55], abs=2e-3)


def test_products_are_rounded_before_their_bias_is_added() -> None:
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4))
        layer.bias.fill_(100.0)
    with fake_quantized(layer):
        layer.train()
        layer(torch.tensor([[0.0, 0.5, 0.7, 2.55]]))
        layer.eval()
        seen = layer(torch.tensor([[0.0, 0.1, 1.0, 2.55]]))
    assert seen.tolist()[0] == pytest.approx([100.0, 100.1, 101.0, 102.55], abs=6e-3)


def test_the_model_is_a_plain_one_afterwards_with_weights_on_the_grid() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2))
    names = {name for name, _ in module.named_parameters()}
    with fake_quantized(module):
        module(torch.randn(2, 1, 4, 4))
    assert {name for name, _ in module.named_parameters()} == names
    convolution = module[0]
    assert isinstance(convolution, nn.Conv2d)
    assert torch.allclose(round_weight(convolution.weight), convolution.weight, atol=1e-6)
    plain = module(torch.full((1, 1, 4, 4), 1000.0))
    assert plain.isfinite().all()
    assert plain.abs().max() > 10, "inputs are not rounded to a range any more"
