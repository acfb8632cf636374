"""ONNX Runtime: the model as one optimised graph."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.backends.base import Backend, BackendOptions, Inputs, Session, input_names, manifest_of
from engine.errors import ExportError, MeasurementError
from engine.models.base import Artifact, TrainedModel
from engine.models.training import load_preprocessor_of
from engine.results import Capability

if TYPE_CHECKING:
    import torch
    from torch import nn

GRAPH_FILE = "model.onnx"
OPSET = 17
_LEVELS = {
    "off": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


class OnnxRuntimeOptions(BackendOptions):
    """Options of ONNX Runtime."""

    device: Literal["cpu"] = Field(default="cpu", title="Device", description="Where the graph runs")
    graph_optimization: Literal["off", "basic", "extended", "all"] = Field(
        default="all",
        title="Graph optimisation",
        description="How far the graph is rewritten when it is loaded: constants folded (basic), operators fused "
        "(extended), memory layout changed (all)",
    )


class OnnxSession:
    """A loaded graph."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = {node.name for node in session.get_inputs()}

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return ``(batch, classes)`` logits."""
        feeds = {name: array for name, array in inputs.items() if name in self._names}
        logits: NDArray[np.float32] = self._session.run(None, feeds)[0]
        return logits

    def synchronize(self) -> None:
        """Return at once: ``run`` returns when the graph has ended."""


class OnnxRuntime(Backend[OnnxRuntimeOptions]):
    """The CPU execution provider of ONNX Runtime."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    summary = "The model as one fused graph; usually two to three times as fast as eager, and int8 pays here."
    format = "onnx"
    options_type = OnnxRuntimeOptions

    def capabilities(self) -> Capability:
        """Look for the distributions."""
        try:
            found = version("onnxruntime")
            version("onnx")
        except PackageNotFoundError as error:
            return Capability(
                backend=self.name,
                available=False,
                reason=f"{error.name} is not installed: pip install onnx onnxruntime",
            )
        return Capability(backend=self.name, available=True, version=found, devices=("cpu",))

    def export(self, model: TrainedModel, options: OnnxRuntimeOptions, folder: Path) -> Artifact:
        """Trace the model into one ONNX file.

        The TorchScript exporter is used because graphs of the dynamo exporter neither fuse attention nor pass through
        ``quantize_dynamic``.
        """
        names = input_names(model)
        _trace(model, names, folder / GRAPH_FILE)
        for name, path in model.preprocess_files.items():
            (folder / name).write_bytes(path.read_bytes())
        return Artifact.write(folder, manifest_of(model, self.format, (GRAPH_FILE,)))

    def load(self, artifact: Artifact, options: OnnxRuntimeOptions) -> Session:
        """Load the graph with the thread count set: left alone, ONNX Runtime takes half of the CPUs."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, _LEVELS[options.graph_optimization]
        )
        settings.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                str(artifact.folder / GRAPH_FILE), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise MeasurementError(f"ONNX Runtime refused the graph ({error}).") from error
        return OnnxSession(session)


def _trace(model: TrainedModel, names: tuple[str, ...], path: Path) -> None:
    """Write the graph of ``model`` with a free batch axis (and sequence axis, for texts)."""
    import torch
    from torch import nn

    family = model.family

    class Positional(nn.Module):
        """The module with positional inputs and logits only, as the exporter wants it."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            return family.logits(self.inner, dict(zip(names, tensors, strict=True)))

    example = example_inputs(model)
    axes = {name: axis for name, axis in family.dynamic_axes().items() if name in {*names, "logits"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every shape it takes as constant
        try:
            torch.onnx.export(
                Positional(model.module.eval()),
                tuple(example[name] for name in names),
                str(path),
                input_names=list(names),
                output_names=["logits"],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise ExportError(f"The model cannot be exported to ONNX ({error}). Choose the torch backend.") from error


def example_inputs(model: TrainedModel) -> dict[str, torch.Tensor]:
    """Return one small batch of the right kind."""
    import torch

    if model.preprocess.kind == "text":
        samples: Any = ["an example sentence to trace with", "a second, much longer one, so that padding is seen too"]
    else:
        samples = np.zeros((2, 28, 28), dtype=np.uint8)
    return {name: torch.from_numpy(array) for name, array in load_preprocessor_of(model)(samples).items()}
