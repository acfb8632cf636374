"""ExecuTorch: PyTorch's own runtime for devices, with XNNPACK's kernels for what these can compute.

The exported program keeps its batch and sequence axes free up to a bound, for which its memory is planned: texts as
long as the model takes, and 32 rows; larger batches are answered in parts.
"""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
from engine.backends.onnx_runtime import example_inputs
from engine.errors import ExportError, MeasurementError
from engine.models.base import Artifact, TrainedModel

if TYPE_CHECKING:
    import torch
    from torch import nn

PROGRAM_FILE = "model.pte"
MOST_ROWS = 32
_METHOD = "forward"
_NATIVE = "native_call_"
_NUMBER = re.compile(r" #\d+$")


class ExecuTorchSession:
    """A loaded program."""

    def __init__(self, program: Any, names: Sequence[str]) -> None:
        # A method does not keep the program alive whose memory it reads.
        self._program, self._method, self._names = program, program.load_method(_METHOD), names

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return ``(batch, classes)`` logits."""
        import torch

        # Copied, because an axis of one that NumPy has added has a stride of nothing, which ExecuTorch refuses.
        tensors = [torch.from_numpy(np.array(inputs[name], order="C")) for name in self._names]
        answers = [
            self._method([tensor[start : start + MOST_ROWS] for tensor in tensors])[0].numpy().copy()
            for start in range(0, len(tensors[0]), MOST_ROWS)
        ]
        logits: NDArray[np.float32] = np.concatenate(answers)
        return logits

    def synchronize(self) -> None:
        """Return at once: ``run`` returns when the program has ended."""


class ExecuTorch(Backend[BackendOptions]):
    """PyTorch's runtime for phones and boards."""

    name = "executorch"
    title = "ExecuTorch"
    summary = "PyTorch's runtime for devices, on XNNPACK: exported in one piece, any length of text, no Python in it."
    format = "executorch"
    options_type = BackendOptions
    distributions = ("executorch",)
    extra = "executorch"

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Export and run an addition."""
        import torch
        from torch import nn

        class Twice(nn.Module):
            def forward(self, value: torch.Tensor) -> torch.Tensor:
                return value + value

        lowered = _lowered(Twice(), (torch.ones(1, 4),), None)
        session = ExecuTorchSession(_program(lowered), ["value"])
        doubled = session.run({"value": np.ones((1, 4), dtype=np.float32)})
        return {"device": ("cpu",)} if float(doubled.sum()) == 8 else {}

    def export(self, model: TrainedModel, options: BackendOptions, folder: Path) -> Artifact:
        """Export the module and lower it to XNNPACK.

        Raises:
            ExportError: if an operator cannot be expressed.
        """
        import torch
        from torch.export import Dim

        inputs = example_inputs(model)
        example = {name: inputs[name].clone(memory_format=torch.contiguous_format) for name in input_names(model)}
        bounds = {"batch": Dim("batch", min=1, max=MOST_ROWS)}
        if model.preprocess.kind == "text":
            bounds["sequence"] = Dim("sequence", min=2, max=model.preprocess.max_length)
        axes = model.family.dynamic_axes()
        shapes = tuple({axis: bounds[name] for axis, name in axes[key].items()} for key in example)
        program = _lowered(_positional(model, list(example)), tuple(example.values()), (shapes,))
        (folder / PROGRAM_FILE).write_bytes(program)
        for name, path in model.preprocess_files.items():
            (folder / name).write_bytes(path.read_bytes())
        return Artifact.write(folder, manifest_of(model, self.format, (PROGRAM_FILE,)))

    def load(self, artifact: Artifact, options: BackendOptions) -> Session:
        """Load the program with as many threads as asked."""
        if options.device != "cpu":
            raise no_such(self.title, "device", options.device, ["cpu"])
        return self._session(artifact, options, _program(artifact.folder / PROGRAM_FILE))

    def profile(
        self, artifact: Artifact, options: BackendOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Return the times of XNNPACK's operators and of ExecuTorch's own ("portable"), by the runtime's event tracer.

        XNNPACK tells its operators' times in whole microseconds, so that the smallest appear as nothing.
        """
        program = _program(artifact.folder / PROGRAM_FILE, profiled=True)
        session = self._session(artifact, options, program)
        for inputs in queries:
            session.run(inputs)
        dump = scratch / "etdump"
        program.write_etdump_result_to_file(str(dump), str(scratch / "debug"))
        return _operator_times(dump, len(queries))

    def _session(self, artifact: Artifact, options: BackendOptions, program: Any) -> Session:
        if options.threads:
            _runtime()._unsafe_reset_threadpool(options.threads)
        return ExecuTorchSession(program, artifact.manifest.input_names)


def _positional(model: TrainedModel, names: Sequence[str]) -> nn.Module:
    """Return a copy of the module from positional inputs to logits, its weights in the layout XNNPACK expects."""
    from torch import nn

    class Positional(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            return model.family.logits(self.inner, dict(zip(names, tensors, strict=True)))

    inner = copy.deepcopy(model.module)
    for parameter in inner.parameters():
        parameter.data = parameter.data.contiguous()
    return Positional(inner)


def _lowered(module: nn.Module, example: tuple[torch.Tensor, ...], shapes: Any) -> bytes:
    """Return the program of a module, as much of it as possible on XNNPACK.

    Raises:
        ExportError: if an operator cannot be expressed.
    """
    import torch

    with _quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        try:
            with torch.no_grad():
                exported = torch.export.export(module.eval(), example, dynamic_shapes=shapes)
            lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
            return bytes(lowered.to_executorch().buffer)
        except Exception as error:  # torch.export and ExecuTorch's passes share no base class
            told = str(error).strip().partition("\n")[0]
            raise ExportError(f"ExecuTorch cannot export the model ({told}). Choose ONNX Runtime.") from error


def _runtime() -> Any:
    """Return the runtime itself.

    The documented ``executorch.runtime`` imports the exporter first: seconds and 200 MB that inference has no use for,
    which would be counted as its cold start and memory.
    """
    import torch  # noqa: F401 - the libraries that the runtime is linked to
    from executorch.extension.pybindings import _C

    return _C


def _program(source: Path | bytes, *, profiled: bool = False) -> Any:
    """Load a program.

    Raises:
        MeasurementError: if the runtime refuses it.
    """
    load = _runtime()._load_program_from_buffer if isinstance(source, bytes) else _runtime()._load_program
    try:
        return load(source if isinstance(source, bytes) else str(source), enable_etdump=profiled)
    except (RuntimeError, OSError) as error:
        raise MeasurementError(f"ExecuTorch refused the program ({error}). Prepare it anew.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep notices of what is experimental or deprecated from a person who can do nothing about them."""
    logging.getLogger("executorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _operator_times(dump: Path, queries: int) -> list[OperatorTime]:
    """Add events up by node; those that only wrap others are left out."""
    with _quiet():
        from executorch.devtools import Inspector
        from executorch.devtools.inspector import TimeScale

        seen = Inspector(etdump_path=str(dump), source_time_scale=TimeScale.NS, target_time_scale=TimeScale.S)
    times: list[OperatorTime] = []
    for block in seen.event_blocks:
        for number, event in enumerate(block.events):
            told = str(event.name)
            if event.perf_data is None or not (event.is_delegated_op or told.startswith(_NATIVE)):
                continue
            kind = _NUMBER.sub("", told) if event.is_delegated_op else f"{told.removeprefix(_NATIVE)} (portable)"
            spent = [float(value) for value in event.perf_data.raw]
            times.append(OperatorTime(f"{number}: {kind}", kind, sum(spent) / queries, len(spent) / queries, 0))
    return times
