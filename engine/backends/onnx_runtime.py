"""ONNX Runtime: the model as one optimised graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.backends import onnx_layers
from engine.backends.base import Backend, BackendOptions, Inputs, OperatorTime, Session, input_names, manifest_of
from engine.backends.onnx_export import GRAPH_FILE, export_halves, export_whole
from engine.errors import MeasurementError
from engine.insight import INTEGER_PRODUCTS, SIGNED
from engine.models.base import Artifact, TrainedModel
from engine.models.early_exit import has_way_out, is_unsure
from engine.models.training import load_preprocessor_of
from engine.results import Capability

if TYPE_CHECKING:
    import torch

_KERNEL = "_kernel_time"
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
    memory_arena: bool = Field(
        default=True,
        title="Memory arena",
        description="Keep freed memory for the next query; off saves memory and costs time",
    )
    memory_pattern: bool = Field(
        default=True,
        title="Memory pattern",
        description="Plan the memory of a query at once, from the shapes of an earlier one",
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


class TwoHalves:
    """Two loaded graphs with a way out between them; see :mod:`engine.models.early_exit`."""

    def __init__(self, front: Any, back: Any, threshold: float) -> None:
        self._front, self._back, self._threshold = front, back, threshold
        self._names = {node.name for node in front.get_inputs()}
        self._state = [node.name for node in front.get_outputs()][1:]
        self._taken = {node.name for node in back.get_inputs()}

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return ``(batch, classes)`` logits, those of the second graph where the first is not sure."""
        feeds = {name: array for name, array in inputs.items() if name in self._names}
        early, *state = self._front.run(None, feeds)
        unsure = is_unsure(early, self._threshold)
        logits: NDArray[np.float32] = early
        if unsure.any():
            named = zip(self._state, state, strict=True)
            rest = {name: array[unsure] for name, array in named if name in self._taken}
            logits[unsure] = self._back.run(None, rest)[0]
        return logits

    def synchronize(self) -> None:
        """Return at once: ``run`` returns when both graphs have ended."""


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
        example = example_inputs(model)
        export = export_halves if has_way_out(model.module) else export_whole
        graphs = export(model, {name: example[name] for name in input_names(model)}, folder)
        for name, path in model.preprocess_files.items():
            (folder / name).write_bytes(path.read_bytes())
        return Artifact.write(folder, manifest_of(model, self.format, graphs))

    def load(self, artifact: Artifact, options: OnnxRuntimeOptions) -> Session:
        """Load the graph with the thread count set: left alone, ONNX Runtime takes half of the CPUs."""
        return _answering(artifact, [open_session(path, _settings(options)) for path in graphs_of(artifact)])

    def profile(
        self, artifact: Artifact, options: OnnxRuntimeOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Return the kernel times of the graph's nodes as they are after ONNX Runtime's own optimisation."""
        sessions = []
        for path in graphs_of(artifact):
            settings = _settings(options)
            settings.enable_profiling = True
            settings.profile_file_prefix = str(scratch / f"{path.stem}-profile")
            settings.optimized_model_filepath = str(scratch / path.name)
            sessions.append(open_session(path, settings))
        answering = _answering(artifact, sessions)
        for inputs in queries:
            answering.run(inputs)
        times: list[OperatorTime] = []
        for path, session in zip(graphs_of(artifact), sessions, strict=True):
            sizes = onnx_layers.bytes_by_node(scratch / path.name)
            times += operator_times(Path(session.end_profiling()), sizes, len(queries))
        return times

    def operators_in_file(self, artifact: Artifact) -> int:
        """Count the nodes of the graphs on disk."""
        return sum(len(onnx_layers.bytes_by_node(path)) for path in graphs_of(artifact))

    def layer_errors(
        self, artifact: Artifact, parent: Artifact, queries: Sequence[Inputs], scratch: Path
    ) -> dict[str, float]:
        """Compare the values that both graphs compute."""
        return onnx_layers.relative_errors(artifact.folder / GRAPH_FILE, parent.folder / GRAPH_FILE, queries, scratch)


def _settings(options: OnnxRuntimeOptions) -> Any:
    """Return session options; made anew for every session, because profiling changes them."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[options.graph_optimization])
    settings.enable_cpu_mem_arena = options.memory_arena
    settings.enable_mem_pattern = options.memory_pattern
    settings.log_severity_level = 3
    return settings


def graphs_of(artifact: Artifact) -> list[Path]:
    """Return the files of an artifact's graphs, in the order in which a sample goes through them."""
    return [artifact.folder / name for name in artifact.manifest.weights]


def _answering(artifact: Artifact, sessions: list[Any]) -> Session:
    """Return what answers with these graphs."""
    threshold = artifact.manifest.exit_threshold
    return OnnxSession(sessions[0]) if threshold is None else TwoHalves(sessions[0], sessions[1], threshold)


def open_session(path: Path, settings: Any) -> Any:
    """Load a graph.

    Raises:
        MeasurementError: if the runtime refuses it.
    """
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise MeasurementError(f"ONNX Runtime refused the graph ({error}).") from error


def _kind_of(told: Mapping[str, Any]) -> str:
    """Return what an operator does, and whether it is a product of signed integers, which has another kernel."""
    kind = str(told["op_name"])
    types = [str(name) for entry in told.get("input_type_shape", [])[:1] for name in entry]
    return f"{kind}{SIGNED}" if kind in INTEGER_PRODUCTS and types == ["int8"] else kind


def operator_times(profile: Path, sizes: Mapping[str, int], queries: int) -> list[OperatorTime]:
    """Add the profiler's events up by node; the file holds one event for each call of a kernel, in microseconds."""
    spent: dict[str, tuple[str, float, int]] = {}
    for event in json.loads(profile.read_text("utf-8")):
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith(_KERNEL):
            continue
        name = name.removesuffix(_KERNEL)
        _, seconds, calls = spent.get(name, ("", 0.0, 0))
        spent[name] = (_kind_of(event["args"]), seconds + float(event["dur"]) / 1e6, calls + 1)
    return [
        OperatorTime(name, kind, seconds / queries, calls / queries, sizes.get(name, 0))
        for name, (kind, seconds, calls) in spent.items()
    ]


def example_inputs(model: TrainedModel) -> dict[str, torch.Tensor]:
    """Return one small batch of the right kind."""
    import torch

    if model.preprocess.kind == "text":
        samples: Any = ["an example sentence to trace with", "a second, much longer one, so that padding is seen too"]
    else:
        samples = np.zeros((2, 28, 28), dtype=np.uint8)
    return {name: torch.from_numpy(array) for name, array in load_preprocessor_of(model)(samples).items()}
