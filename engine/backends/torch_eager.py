"""PyTorch eager: the reference that every speed-up is measured against."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.backends.base import Backend, BackendOptions, Inputs, Session
from engine.models import FAMILIES
from engine.models.base import Artifact, Manifest, TrainedModel
from engine.models.weights_file import WEIGHTS_FILE, count_parameters
from engine.results import Capability

if TYPE_CHECKING:
    from engine.models.base import ModelFamily


class TorchOptions(BackendOptions):
    """Options of PyTorch eager."""

    device: Literal["cpu"] = Field(default="cpu", title="Device", description="Where the model runs")
    threads: int = Field(
        default=0, ge=0, le=256, title="Threads", description="Threads within an operator; 0 takes every core"
    )


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
        parameters, nonzero = count_parameters(model.module)
        return Artifact.write(
            folder,
            Manifest(
                format=self.format,
                family=model.family.name,
                weights=(WEIGHTS_FILE,),
                parameters=parameters,
                nonzero_parameters=nonzero,
                preprocess=model.preprocess,
                input_names=input_names(model.family, model),
            ),
        )

    def load(self, artifact: Artifact, options: TorchOptions) -> Session:
        """Build the module; steps that PyTorch repeats in memory are taken by the techniques that wrote them."""
        import torch

        if options.threads:
            torch.set_num_threads(options.threads)
        return TorchSession(FAMILIES.get(artifact.manifest.family).load(artifact.folder))


def input_names(family: ModelFamily, model: TrainedModel) -> tuple[str, ...]:
    """Return the inputs this very model takes."""
    names = family.input_names
    return names if model.preprocess.token_type_ids else tuple(name for name in names if name != "token_type_ids")
