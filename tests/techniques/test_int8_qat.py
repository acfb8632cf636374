"""Training for int8: what it is taught, and where the weights end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.models.fake_quant import round_weight
from engine.models.training import predict
from engine.techniques.int8_qat import Int8Qat, Int8QatConfig
from tests import tiny
from tests.tiny import Kind

KIND = Kind("vision", "mlp")


def trained(tmp_path: Path, own_answers: float, *, shuffled: bool) -> np.ndarray:
    """Return the logits of a model that was trained on labels as they are, or on others."""
    context = tiny.context_for(KIND.task)
    data = context.dataset
    labels = np.roll(data.train.labels, 1) if shuffled else data.train.labels
    context = replace(context, dataset=replace(data, train=replace(data.train, labels=labels)))
    model = tiny.untrained(KIND, tmp_path)
    return predict(Int8Qat().apply(model, Int8QatConfig(own_answers=own_answers), context), data.validation)


def test_its_own_answers_leave_labels_no_say(tmp_path: Path) -> None:
    one, other = (trained(tmp_path, 1.0, shuffled=shuffled) for shuffled in (False, True))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("own_answers", [0.0, 0.5])
def test_labels_teach_as_far_as_they_are_asked(own_answers: float, tmp_path: Path) -> None:
    one, other = (trained(tmp_path, own_answers, shuffled=shuffled) for shuffled in (False, True))
    assert not np.array_equal(one, other)


def test_weights_end_on_the_grid(tmp_path: Path) -> None:
    import torch

    model = Int8Qat().apply(tiny.untrained(KIND, tmp_path), Int8QatConfig(), tiny.context_for(KIND.task))
    layers = [layer for layer in model.module.modules() if isinstance(layer, torch.nn.Linear)]
    assert layers
    for layer in layers:
        torch.testing.assert_close(round_weight(layer.weight), layer.weight, atol=1e-6, rtol=0)
