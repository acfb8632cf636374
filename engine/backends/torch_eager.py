"""PyTorch eager: the reference that every speed-up is measured against."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.backends.base import Backend, BackendOptions, Inputs, Session, manifest_of
from engine.models import FAMILIES
from engine.models.base import Artifact, TrainedModel
from engine.models.weights_file import WEIGHTS_FILE
from engine.results import Capability


class TorchOptions(BackendOptions):
    """Options of PyTorch eager."""

    device: Literal["cpu"] = Field(default="cpu", title="Device", description="Where the model runs")


class TorchSession:
    """A PyTorch module ready to answer, without autograd."""

    def __init__(self, model: TrainedModel) -> None:
        self._module, self._family = model.module.eval(), model.family

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return ``(batch, classes)`` logits."""
        import torch

        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
            logits: NDArray[np.float32] = self._family.logits(self._module, tensors).float().numpy()
            return logits

    def synchronize(self) -> None:
        """Return at once: CPU operators have ended when they return."""


class TorchEager(Backend[TorchOptions]):
    """PyTorch without any compilation."""

    name = "torch"
    title = "PyTorch eager"
    summary = "The reference: flexible, every operator one call; int8 rarely helps here."
    format = "torch"
    options_type = TorchOptions

    def capabilities(self) -> Capability:
        """Look for the distribution; PyTorch always has its CPU device."""
        try:
            return Capability(backend=self.name, available=True, version=version("torch"), devices=("cpu",))
        except PackageNotFoundError:
            return Capability(
                backend=self.name, available=False, reason="PyTorch is not installed: pip install torch==2.13.0"
            )

    def export(self, model: TrainedModel, options: TorchOptions, folder: Path) -> Artifact:
        """Save the model as it is."""
        model.family.save(model, folder)
        return Artifact.write(folder, manifest_of(model, self.format, (WEIGHTS_FILE,)))

    def load(self, artifact: Artifact, options: TorchOptions) -> Session:
        """Build the module; steps that PyTorch repeats in memory are taken by the techniques that wrote them."""
        import torch

        if options.threads:
            torch.set_num_threads(options.threads)
        return TorchSession(FAMILIES.get(artifact.manifest.family).load(artifact.folder))
