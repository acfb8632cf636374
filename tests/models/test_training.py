"""The training loop and prediction."""

from pathlib import Path

import numpy as np
import pytest

from engine.datasets.base import Split
from engine.errors import TrainingError
from engine.models.base import FineTuneSettings, TrainedModel
from engine.models.training import predict, train
from engine.models.weights_file import count_parameters
from tests import tiny
from tests.tiny import Kind

SETTINGS = FineTuneSettings(epochs=1, batch_size=16, learning_rate=1e-3)


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    return tiny.untrained(Kind("vision", "mlp"), tmp_path)


def run(model: TrainedModel, settings: FineTuneSettings = SETTINGS, **changes: object) -> list[float]:
    shares: list[float] = []
    train(
        model,
        tiny.image_dataset().train,
        settings,
        seed=0,
        report=lambda share, _: shares.append(share),
        **changes,
    )
    return shares


@pytest.mark.parametrize("steps", range(1, 25))
def test_any_number_of_steps_can_be_scheduled(model: TrainedModel, steps: int) -> None:
    before = predict(model, tiny.image_dataset().test)
    assert len(run(model, SETTINGS.model_copy(update={"epochs": steps / 4}))) == steps
    assert not np.array_equal(predict(model, tiny.image_dataset().test), before)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 4), (2.5, 10), (0.5, 2)])
def test_epochs_may_be_a_fraction(model: TrainedModel, epochs: float, steps: int) -> None:
    shares = run(model, SETTINGS.model_copy(update={"epochs": epochs}))
    assert len(shares) == steps
    assert shares[-1] == 1


def test_no_epochs_change_nothing(model: TrainedModel) -> None:
    before = predict(model, tiny.image_dataset().test)
    assert run(model, SETTINGS.model_copy(update={"epochs": 0})) == []
    np.testing.assert_array_equal(predict(model, tiny.image_dataset().test), before)


def test_a_loss_that_is_no_number_stops_it(model: TrainedModel) -> None:
    with pytest.raises(TrainingError, match="loss became nan at step 1 of 4"):
        run(model, loss=lambda logits, *_: logits.sum() * float("nan"))


def test_the_loss_sees_which_samples_it_got(model: TrainedModel) -> None:
    import torch

    labels, seen = tiny.image_dataset().train.labels, []

    def loss(logits: torch.Tensor, targets: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        np.testing.assert_array_equal(targets.numpy(), labels[indices.numpy()])
        seen.extend(indices.tolist())
        return logits.square().mean()

    run(model, loss=loss)
    assert sorted(seen) == list(range(len(labels)))


def test_texts_of_similar_length_share_a_batch(tmp_path: Path) -> None:
    import torch

    model, lengths = tiny.untrained(Kind("encoder"), tmp_path), []
    split = tiny.text_dataset(train=256).train

    def loss(logits: torch.Tensor, _: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        lengths.append([len(split.samples[row]) for row in indices.tolist()])
        return logits.square().mean()

    train(model, split, SETTINGS, seed=0, report=lambda *_: None, loss=loss)
    spread = np.mean([max(batch) - min(batch) for batch in lengths])
    assert spread < 0.3 * (max(map(max, lengths)) - min(map(min, lengths)))


def test_pruned_zeros_are_held_while_it_recovers(model: TrainedModel) -> None:
    from torch.nn.utils import prune

    layer = model.module.get_submodule("hidden")
    prune.l1_unstructured(layer, "weight", amount=0.5)
    run(model)
    prune.remove(layer, "weight")
    total, nonzero = count_parameters(model.module)
    assert total - nonzero >= 0.5 * 784 * 512


def test_predictions_come_in_the_split_s_order(tmp_path: Path) -> None:
    model = tiny.untrained(Kind("encoder"), tmp_path)
    split = tiny.text_dataset(other=100).test
    together = predict(model, split)
    for row in (0, 17, 99):
        alone = predict(model, Split([split.samples[row]], split.labels[row : row + 1]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_an_empty_split_cannot_be_predicted(model: TrainedModel) -> None:
    with pytest.raises(TrainingError, match="split is empty"):
        predict(model, Split(np.empty((0, 28, 28), np.uint8), np.empty(0, np.int64)))
