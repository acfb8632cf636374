"""OpenVINO: the model as Intel's runtime compiles it for the processor at hand."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.backends import onnx_layers
from engine.backends.base import (
    Backend,
    BackendOptions,
    Inputs,
    OperatorTime,
    Session,
    input_names,
    manifest_of,
    no_such,
)
from engine.backends.onnx_export import export_whole
from engine.backends.onnx_runtime import example_inputs
from engine.errors import ExportError, MeasurementError
from engine.models.base import Artifact, TrainedModel
from engine.quiet import without_telemetry

GRAPH_FILE, WEIGHTS_FILE = "model.xml", "model.bin"
PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoOptions(BackendOptions):
    """Options of OpenVINO."""

    precision: Literal["fp32", "bf16"] = Field(
        default="fp32",
        title="Precision",
        description="Of floating-point arithmetic; left alone, OpenVINO takes bf16 where the processor has it",
    )


class OpenVinoSession:
    """A compiled graph."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._names = {name for port in compiled.inputs for name in port.get_names()}

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return ``(batch, classes)`` logits."""
        self._request.infer({name: array for name, array in inputs.items() if name in self._names})
        logits: NDArray[np.float32] = self._request.get_output_tensor(0).data.astype(np.float32)
        return logits

    def synchronize(self) -> None:
        """Return at once: ``run`` returns when the graph has ended."""


class OpenVino(Backend[OpenVinoOptions]):
    """Intel's runtime on its own graph format."""

    name = "openvino"
    title = "OpenVINO"
    summary = "The model compiled by Intel's runtime: as fast as ONNX Runtime in fp32, with bf16 and its own int8."
    format = "openvino"
    options_type = OpenVinoOptions
    distributions = ("openvino",)
    extra = "openvino"

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Compile and run a graph of one node on every device that OpenVINO sees."""
        from openvino import Core

        core, one = Core(), np.ones(1, dtype=np.float32)
        graph = core.read_model(onnx_layers.one_node())
        answered = (
            name for name, device in _devices(core).items() if core.compile_model(graph, device)([one])[0][0] == 2
        )
        return {"device": tuple(answered)}

    def export(self, model: TrainedModel, options: OpenVinoOptions, folder: Path) -> Artifact:
        """Convert the ONNX graph of the model."""
        without_telemetry()
        import openvino

        example = example_inputs(model)
        with tempfile.TemporaryDirectory() as scratch:
            (name,) = export_whole(model, {name: example[name] for name in input_names(model)}, Path(scratch))
            try:
                graph = openvino.convert_model(str(Path(scratch) / name))
            except Exception as error:  # its own exceptions share no base class
                raise ExportError(f"OpenVINO cannot convert the model ({error}). Choose ONNX Runtime.") from error
            openvino.save_model(graph, str(folder / GRAPH_FILE), compress_to_fp16=False)
        for name, path in model.preprocess_files.items():
            (folder / name).write_bytes(path.read_bytes())
        return Artifact.write(folder, manifest_of(model, self.format, (GRAPH_FILE, WEIGHTS_FILE)))

    def load(self, artifact: Artifact, options: OpenVinoOptions) -> Session:
        """Compile the graph for the processor, tuned for the latency of one query."""
        return OpenVinoSession(_compiled(artifact, options))

    def profile(
        self, artifact: Artifact, options: OpenVinoOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Return the times of the compiled graph's nodes."""
        return node_times(_compiled(artifact, options, PERF_COUNT=True), queries)


def node_times(
    compiled: Any, queries: Sequence[Inputs], before: Callable[[Any], None] = lambda request: None
) -> list[OperatorTime]:
    """Return the times of a graph's nodes, the mean over queries.

    Args:
        compiled: a graph that was compiled with its counters on.
        queries: what it is asked.
        before: called with the request before each query.
    """
    request = compiled.create_infer_request()
    known = {name for port in compiled.inputs for name in port.get_names()}
    spent: dict[str, tuple[str, float, int]] = {}
    for inputs in queries:
        before(request)
        request.infer({name: array for name, array in inputs.items() if name in known})
        for node in request.profiling_info:
            _, seconds, calls = spent.get(node.node_name, ("", 0.0, 0))
            ran = node.real_time.total_seconds() > 0
            spent[node.node_name] = (node.node_type, seconds + node.real_time.total_seconds(), calls + ran)
    return [
        OperatorTime(name, kind, seconds / len(queries), calls / len(queries), 0)
        for name, (kind, seconds, calls) in spent.items()
        if calls
    ]


def _devices(core: Any) -> dict[str, str]:
    """Return OpenVINO's names of the devices it sees, by ours: ``GPU.1`` is ``gpu:1``."""
    return {str(name).lower().replace(".", ":"): str(name) for name in core.available_devices}


def _compiled(artifact: Artifact, options: OpenVinoOptions, **more: Any) -> Any:
    """Compile an artifact with the thread count set and no precision chosen behind our back."""
    from openvino import Core

    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": PRECISIONS[options.precision],
        **more,
    }
    if options.threads:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    core = Core()
    devices = _devices(core)
    if options.device not in devices:
        raise no_such("OpenVINO", "device", options.device, list(devices))
    try:
        return core.compile_model(str(artifact.folder / GRAPH_FILE), devices[options.device], settings)
    except RuntimeError as error:
        raise MeasurementError(f"OpenVINO refused the graph ({error}).") from error
