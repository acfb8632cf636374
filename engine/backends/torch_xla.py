"""PyTorch/XLA: the model compiled by XLA, the compiler of TPUs, which has a CPU device too.

XLA compiles for every new shape, which takes seconds; texts are therefore padded to the next length of a ladder and
masked. Its threads are as many as the cores that the process is held on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Backend, BackendOptions, Inputs, OperatorTime, Session, manifest_of, no_such
from engine.backends.litert import LENGTHS, fitted
from engine.errors import MeasurementError
from engine.models import FAMILIES
from engine.models.base import Artifact, TrainedModel
from engine.models.weights_file import WEIGHTS_FILE

DEVICES = ("cpu", "tpu")


class TorchXlaSession:
    """A module on an XLA device."""

    def __init__(self, model: TrainedModel, device: str) -> None:
        # Read once, when XLA is first asked for a device; a process has one kind.
        os.environ["PJRT_DEVICE"] = device.upper()
        import torch_xla

        self._xla, self._device = torch_xla, torch_xla.device()
        self._module, self._family = model.module.eval().to(self._device), model.family
        self._spec = model.preprocess

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return ``(batch, classes)`` logits."""
        import torch

        with torch.no_grad():
            padded = self._padded(inputs)
            tensors = {name: torch.from_numpy(array).to(self._device) for name, array in padded.items()}
            answer = self._family.logits(self._module, tensors)
            self._xla.sync()
            logits: NDArray[np.float32] = answer.cpu().float().numpy()
            return logits

    def synchronize(self) -> None:
        """Wait for the device."""
        self._xla.sync(wait=True)

    def _padded(self, inputs: Inputs) -> Inputs:
        if self._spec.kind != "text":
            return inputs
        used = inputs["input_ids"].shape[1]
        length = next((length for length in LENGTHS if length >= used), used)
        return fitted(inputs, min(length, self._spec.max_length), self._spec.pad_id)


class TorchXla(Backend[BackendOptions]):
    """PyTorch by way of XLA."""

    name = "torch-xla"
    title = "PyTorch/XLA"
    summary = "The model compiled by XLA, as TPUs need it; on a processor it mostly shows what a TPU would be given."
    format = "torch-xla"
    options_type = BackendOptions
    distributions = ("torch-xla",)
    requirements = ("torch-xla==2.9.0", "torch==2.9.0")

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Add two numbers on the device that this machine has: its TPU, else its processor."""
        from torch_xla._internal import tpu

        device = "tpu" if tpu.num_available_chips() else "cpu"
        os.environ["PJRT_DEVICE"] = device.upper()
        import torch
        import torch_xla

        added = torch.ones(1, device=torch_xla.device()) + 1
        torch_xla.sync()
        return {"device": (device,)} if float(added.cpu().item()) == 2 else {}

    def export(self, model: TrainedModel, options: BackendOptions, folder: Path) -> Artifact:
        """Save the model as it is; XLA compiles it at the first query of each shape."""
        model.family.save(model, folder)
        return Artifact.write(folder, manifest_of(model, self.format, (WEIGHTS_FILE,)))

    def load(self, artifact: Artifact, options: BackendOptions) -> Session:
        """Put the module on its device."""
        if options.device not in DEVICES:
            raise no_such(self.title, "device", options.device, DEVICES)
        model = FAMILIES.get(artifact.manifest.family).load(artifact.folder)
        try:
            return TorchXlaSession(model, options.device)
        except RuntimeError as error:
            raise MeasurementError(
                f"XLA did not start on {options.device} ({error}). Choose the device that subsecond doctor names."
            ) from error

    def profile(
        self, artifact: Artifact, options: BackendOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Refuse: XLA's profiler writes traces for a viewer of its own."""
        raise MeasurementError("XLA's profiler writes for a viewer of its own, so it cannot be said where time goes.")
