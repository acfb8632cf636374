"""A made-up backend of somebody else: PyTorch in double precision, under a format of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Backend, BackendOptions, Inputs, OperatorTime, Session, manifest_of, no_such
from engine.models import FAMILIES
from engine.models.base import Artifact, TrainedModel
from engine.models.weights_file import WEIGHTS_FILE


class DoubleSession:
    """A module with its weights in double precision."""

    def __init__(self, model: TrainedModel) -> None:
        self._module, self._family = model.module.double().eval(), model.family

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
            logits: NDArray[np.float32] = self._family.logits(self._module, tensors).float().numpy()
            return logits

    def synchronize(self) -> None:
        return None


class Double(Backend[BackendOptions]):
    """What a stranger would write."""

    name = "double"
    title = "Double precision"
    summary = "Twice the bits, for whoever does not believe in half."
    format = "double"
    options_type = BackendOptions
    distributions = ("torch",)

    def try_options(self) -> dict[str, tuple[str, ...]]:
        return {"device": ("cpu",)}

    def export(self, model: TrainedModel, options: BackendOptions, folder: Path) -> Artifact:
        model.family.save(model, folder)
        return Artifact.write(folder, manifest_of(model, self.format, (WEIGHTS_FILE,)))

    def load(self, artifact: Artifact, options: BackendOptions) -> Session:
        if options.device != "cpu":
            raise no_such(self.title, "device", options.device, ["cpu"])
        return DoubleSession(FAMILIES.get(artifact.manifest.family).load(artifact.folder))

    def profile(
        self, artifact: Artifact, options: BackendOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        return [OperatorTime("everything", "double", 1.0, 1.0, 0)]


def add(backends: Any) -> None:
    """The one line."""
    backends.add(Double())
