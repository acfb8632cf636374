"""ONNX Runtime: the model as one optimised graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from engine.backends import onnx_layers
from engine.backends.base import (
    FOUND_BY_TRYING,
    Backend,
    BackendOptions,
    Inputs,
    OperatorTime,
    Part,
    Session,
    input_names,
    manifest_of,
    no_such,
)
from engine.backends.onnx_cut import cut_in_two
from engine.backends.onnx_export import GRAPH_FILE, export_halves, export_whole
from engine.errors import ExportError, MeasurementError
from engine.insight import INTEGER_PRODUCTS, SIGNED
from engine.models.base import Artifact, TrainedModel
from engine.models.early_exit import has_way_out, is_unsure
from engine.models.training import load_preprocessor_of

if TYPE_CHECKING:
    import torch

_KERNEL = "_kernel_time"
_SUFFIX = "ExecutionProvider"
_GPU_PROVIDERS = frozenset({"cuda", "tensorrt", "nvtensorrtrtx", "migraphx", "rocm"})
"""Those that compute on what PyTorch calls ``cuda``, where the baseline then has to run as well."""
_LEVELS = {
    "off": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


class OnnxRuntimeOptions(BackendOptions):
    """Options of ONNX Runtime."""

    provider: str = Field(
        default="cpu",
        pattern=r"^[a-z0-9_]+$",
        max_length=32,
        title="Execution provider",
        description="What computes the graph; what it cannot do falls to the CPU, and is counted",
        json_schema_extra={**FOUND_BY_TRYING, "unwritten": True},
    )
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

    inter_op_threads: int = Field(
        default=1,
        ge=1,
        le=256,
        title="Threads between operators",
        description="Run so many independent operators at once; 1 runs one after the other",
        json_schema_extra={"unwritten": True},
    )

    @model_validator(mode="after")
    def _provider_fits_device(self) -> OnnxRuntimeOptions:
        on_gpu = self.provider in _GPU_PROVIDERS
        if on_gpu != self.device.startswith("cuda"):
            wanted = "device=cuda" if on_gpu else "provider=cuda or device=cpu"
            raise ValueError(f"the provider {self.provider} does not compute on {self.device}: choose {wanted}")
        return self


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


class OnnxPart:
    """One of the two graphs of a model that was cut."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = {node.name for node in session.get_inputs()}
        self._outputs = [node.name for node in session.get_outputs()]

    def run(self, inputs: Inputs) -> Inputs:
        """Return what the graph puts out, beside what it was given."""
        feeds = {name: array for name, array in inputs.items() if name in self._inputs}
        return {**inputs, **dict(zip(self._outputs, self._session.run(None, feeds), strict=True))}


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
    """The execution providers of ONNX Runtime, whichever are installed."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    summary = "The model as one fused graph; usually two to three times as fast as eager, and int8 pays here."
    format = "onnx"
    options_type = OnnxRuntimeOptions
    distributions = ("onnxruntime", "onnx")
    takes_split_models = True

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Run a graph of one node on every execution provider that is installed."""
        found = []
        for short, provider in _installed_providers().items():
            if provider.startswith("Azure"):  # asks a server of others; nothing here computes
                continue
            try:
                session = open_session(onnx_layers.one_node(), OnnxRuntimeOptions.model_construct(provider=short))
            except MeasurementError:
                continue
            found += [short] if session.run(None, {"x": np.ones(1, dtype=np.float32)})[0][0] == 2 else []
        on_gpu = any(short in _GPU_PROVIDERS for short in found)
        return {"device": ("cpu", "cuda") if on_gpu else ("cpu",), "provider": tuple(found)}

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
        return _answering(artifact, [open_session(path, options) for path in graphs_of(artifact)])

    def cut(self, artifact: Artifact, folder: Path) -> tuple[Artifact, Artifact] | None:
        """Cut the graph where both parts read about as many weights."""
        if len(artifact.manifest.weights) > 1:  # of a model with a way out, which is in two already
            return None
        parts = folder / "front", folder / "back"
        for part in parts:
            part.mkdir()
            artifact.copy_beside_weights(part)
        try:
            cut_in_two(artifact.folder / GRAPH_FILE, parts[0] / GRAPH_FILE, parts[1] / GRAPH_FILE)
        except ExportError:
            return None
        front, back = (Artifact.write(part, artifact.manifest) for part in parts)
        return front, back

    def load_part(self, artifact: Artifact, options: OnnxRuntimeOptions) -> Part:
        """Load one of the two graphs."""
        return OnnxPart(open_session(artifact.folder / GRAPH_FILE, options))

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
            sessions.append(open_session(path, options, settings))
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
    settings.inter_op_num_threads = options.inter_op_threads
    if options.inter_op_threads > 1:
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
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


def open_session(graph: Path | bytes, options: OnnxRuntimeOptions, settings: Any = None) -> Any:
    """Load a graph on the provider that was chosen, and on no other.

    Raises:
        MeasurementError: if the provider is not there or did not start, or if the runtime refuses the graph.
    """
    import onnxruntime

    installed = _installed_providers()
    if options.provider not in installed:
        raise no_such("ONNX Runtime", "execution provider", options.provider, list(installed))
    wanted: Any = installed[options.provider]
    number = options.device.partition(":")[2]
    configured = (wanted, {"device_id": number}) if number else wanted
    try:
        session = onnxruntime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph), settings or _settings(options), providers=[configured]
        )
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise MeasurementError(f"ONNX Runtime refused the graph ({error}).") from error
    if session.get_providers()[0] != wanted:
        raise MeasurementError(
            f"ONNX Runtime's provider '{options.provider}' is installed but did not start; all would silently have run "
            "on the CPU. The run's log names the library that is missing; install it, or choose provider=cpu."
        )
    return session


def _installed_providers() -> dict[str, str]:
    """Return the execution providers of the installed wheel, by the short name that a person writes."""
    import onnxruntime

    return {name.removesuffix(_SUFFIX).lower(): name for name in onnxruntime.get_available_providers()}


def _kind_of(told: Mapping[str, Any]) -> str:
    """Return what an operator does, and whether it is a product of signed integers, which has another kernel."""
    kind = str(told["op_name"])
    types = [str(name) for entry in told.get("input_type_shape", [])[:1] for name in entry]
    return f"{kind}{SIGNED}" if kind in INTEGER_PRODUCTS and types == ["int8"] else kind


def operator_times(profile: Path, sizes: Mapping[str, int], queries: int) -> list[OperatorTime]:
    """Add the profiler's events up by node; the file holds one event for each call of a kernel, in microseconds."""
    spent: dict[str, tuple[str, str, float, int]] = {}
    for event in json.loads(profile.read_text("utf-8")):
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith(_KERNEL):
            continue
        name = name.removesuffix(_KERNEL)
        told, (*_, seconds, calls) = event["args"], spent.get(name, ("", "", 0.0, 0))
        provider = str(told.get("provider", "")).removesuffix(_SUFFIX).lower()
        spent[name] = (_kind_of(told), provider, seconds + float(event["dur"]) / 1e6, calls + 1)
    return [
        OperatorTime(name, kind, seconds / queries, calls / queries, sizes.get(name, 0), provider)
        for name, (kind, provider, seconds, calls) in spent.items()
    ]


def example_inputs(model: TrainedModel) -> dict[str, torch.Tensor]:
    """Return one small batch of the right kind."""
    import torch

    if model.preprocess.kind == "text":
        samples: Any = ["an example sentence to trace with", "a second, much longer one, so that padding is seen too"]
    else:
        samples = np.zeros((2, 28, 28), dtype=np.uint8)
    return {name: torch.from_numpy(array) for name, array in load_preprocessor_of(model)(samples).items()}
