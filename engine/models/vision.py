"""Small image classifiers that are trained here in under a minute: the classic MLP and a four-layer CNN."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.datasets.base import Dataset
from engine.errors import InvalidValueError, WeightsError
from engine.models.base import FineTuneSettings, ModelFacts, ModelFamily, Prunable, TrainedModel
from engine.models.early_exit import has_way_out, with_way_out
from engine.models.preprocess import PreprocessSpec
from engine.models.weights_file import WEIGHTS_FILE, load_into, read_weights, save_weights
from engine.spec import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

CONFIG_FILE = "config.json"
MLP, CNN = "mlp", "cnn"
MLP_HIDDEN = 512
CNN_CHANNELS = (32, 64, 64, 128)
SIDE = 28


def build(variant: str, side: int, classes: int) -> nn.Module:
    """Return an untrained network from ``(batch, 1, side, side)`` to ``(batch, classes)``.

    Raises:
        WeightsError: if there is no such variant.
    """
    from torch import nn

    if variant == MLP:
        hidden = nn.Linear(side * side, MLP_HIDDEN)
        return nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                hidden=hidden,
                act=nn.ReLU(),
                drop=nn.Dropout(0.2),
                head=nn.Linear(MLP_HIDDEN, classes),
            )
        )
    if variant != CNN:
        raise WeightsError(f"There is no vision model of kind '{variant}'; known: {MLP}, {CNN}.")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    width = 1
    for number, channels in enumerate(CNN_CHANNELS, start=1):
        layers[f"conv{number}"] = nn.Conv2d(width, channels, 3, padding=1, bias=False)
        layers[f"norm{number}"] = nn.BatchNorm2d(channels)
        layers[f"act{number}"] = nn.ReLU()
        if number != 2:  # 28 -> 14 -> 14 -> 7 -> 1
            layers[f"pool{number}"] = nn.MaxPool2d(2) if number < len(CNN_CHANNELS) else nn.AdaptiveAvgPool2d(1)
        width = channels
    layers["flatten"] = nn.Flatten()
    layers["drop"] = nn.Dropout(0.2)
    layers["head"] = nn.Linear(width, classes)
    return nn.Sequential(layers)


def to_channels_last(module: nn.Module) -> None:
    """Lay convolution weights out as the vector units like them, in place."""
    import torch

    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _in_two(module: nn.Module, after: int, threshold: float) -> nn.Module:
    """Return a copy of the CNN with a way out behind its convolution of that number."""
    from torch import nn

    class Front(nn.Module):
        """The first convolutions."""

        def __init__(self, layers: nn.Module) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.layers(images),)

    parts: list[tuple[str, nn.Module]] = list(copy.deepcopy(module).named_children())
    end = next(place for place, (name, _) in enumerate(parts) if name == f"conv{after + 1}")
    convolution = next(layer for name, layer in parts if name == f"conv{after}")
    head = parts[-1][1]
    if not isinstance(convolution, nn.Conv2d) or not isinstance(head, nn.Linear):
        raise InvalidValueError("early-exit: this image model has no convolutions to leave between.")
    way_out = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(convolution.out_channels, head.out_features)
    )
    front, back = nn.Sequential(OrderedDict(parts[:end])), nn.Sequential(OrderedDict(parts[end:]))
    return with_way_out(Front(front), back, way_out, after, threshold)


class VisionFamily(ModelFamily):
    """The two embedded image classifiers."""

    name = "vision"
    task = Task.IMAGE_CLASSIFICATION
    input_names = ("image",)

    def variant(self, module: nn.Module) -> str:
        """Tell the two architectures apart."""
        return MLP if hasattr(module, "hidden") else CNN

    def fine_tuning(self, variant: str) -> FineTuneSettings:
        """Return settings that end within a minute on two cores."""
        if variant == MLP:
            return FineTuneSettings(
                epochs=30, batch_size=128, learning_rate=3e-3, weight_decay=0.1, label_smoothing=0.1, flip=True
            )
        return FineTuneSettings(
            epochs=7,
            batch_size=64,
            learning_rate=4e-3,
            weight_decay=0.1,
            autocast_bf16=True,
            label_smoothing=0.1,
            flip=True,
        )

    def facts(self, variant: str, source: Path | None) -> ModelFacts:
        """Return the hidden width; these networks have no repeated layers."""
        return ModelFacts(family=self.name, width=MLP_HIDDEN if variant == MLP else CNN_CHANNELS[-1])

    def create(self, variant: str, source: Path | None, dataset: Dataset, seed: int) -> tuple[TrainedModel, bool]:
        """Return a network with random weights, normalising as the training images ask."""
        import torch

        torch.manual_seed(seed)
        pixels = np.asarray(dataset.train.samples)
        spec = PreprocessSpec(kind="image", mean=float(pixels.mean() / 255), std=float(pixels.std() / 255))
        module = build(variant, pixels.shape[-1], len(dataset.classes))
        to_channels_last(module)  # twice as fast to train
        return TrainedModel(module, self, spec), False

    def save(self, model: TrainedModel, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        module: Any = model.module
        head = (module.back if has_way_out(module) else module).get_submodule("head")
        config = {
            "variant": self.variant(module),
            "classes": head.out_features,
            "preprocess": model.preprocess.model_dump(),
        }
        if has_way_out(module):
            config["early_exit"] = {"after": module.exit_after, "threshold": module.exit_threshold}
        (folder / CONFIG_FILE).write_text(json.dumps(config), "utf-8")
        save_weights(model.module, folder / WEIGHTS_FILE)

    def load(self, folder: Path) -> TrainedModel:
        """Read a folder of :meth:`save`."""
        config = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        module = build(config["variant"], SIDE, config["classes"])
        if way_out := config.get("early_exit"):
            module = _in_two(module, way_out["after"], way_out["threshold"])
        load_into(module, read_weights(folder / WEIGHTS_FILE))
        return TrainedModel(module.eval(), self, PreprocessSpec.model_validate(config["preprocess"]))

    def logits(self, module: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return ``(batch, classes)``."""
        dtype = next(module.parameters()).dtype  # of a model in half precision, that of its weights
        logits: torch.Tensor = module(inputs["image"].to(dtype))
        return logits

    def keep_layers(self, model: TrainedModel, layers: int) -> TrainedModel:
        """Refuse: there are no repeated layers."""
        raise InvalidValueError("This image model has no repeated layers to drop. Make the student narrower instead.")

    def with_layers(self, model: TrainedModel, chosen: Sequence[int]) -> TrainedModel:
        """Refuse: there are no repeated layers."""
        raise InvalidValueError("This image model has no repeated layers to drop. Make it narrower instead.")

    def with_exit(self, model: TrainedModel, after: int, threshold: float) -> TrainedModel:
        """Cut the CNN behind one of its convolutions; the way out looks at the mean of each channel."""
        count = len(CNN_CHANNELS) if self.variant(model.module) == CNN else 0
        after = after or count // 2
        if not 1 <= after < count:
            raise InvalidValueError("early-exit: this image model has no layer to skip there.")
        split = copy.copy(model)
        split.module = _in_two(model.module, after, threshold)
        return split

    def state_axes(self) -> list[dict[int, str]]:
        """Return the batch axis of the feature maps."""
        return [{0: "batch"}]

    def prunable(self, module: nn.Module) -> Prunable:
        """Return hidden neurons of the MLP, channels of the CNN."""
        from torch import nn

        convolutions: list[nn.Module] = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
        head = module.get_submodule("head")
        hidden: list[nn.Module] = [
            layer for layer in module.modules() if isinstance(layer, nn.Linear) and layer is not head
        ]
        return Prunable({"ffn": hidden, "channels": convolutions, "heads": []}, {}, [head])

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Return the batch axis."""
        return {"image": {0: "batch"}, "logits": {0: "batch"}}
