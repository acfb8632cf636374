"""LiteRT, once TensorFlow Lite: the model as phones and small boards run it, on XNNPACK's kernels.

Its graphs have fixed shapes: a free sequence axis would keep XNNPACK from taking the operators over. A text model
therefore becomes one graph a length of a ladder, all in one file over the same weights; a text is padded to the next
length and masked. There is one row in a graph, so that the texts or images of a batch are answered one after another.

XNNPACK packs the weights anew for every graph when the first query comes: six graphs of MiniLM, 92 MB on disk, come to
440 MB in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
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
from engine.errors import ExportError, MeasurementError
from engine.models.base import Artifact, TrainedModel
from engine.models.training import load_preprocessor_of

if TYPE_CHECKING:
    import torch
    from torch import nn

GRAPH_FILE = "model.tflite"
LENGTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Tokens that there are graphs for, as far as the model takes them."""
IMAGE = "image"
_LENGTH = "tokens_"


class LiteRtOptions(BackendOptions):
    """Options of LiteRT."""


class LiteRtSession:
    """The graphs of one file, by the length they take."""

    def __init__(self, interpreter: Any, pad_id: int) -> None:
        self._pad_id = pad_id
        self._graphs = {
            length_of(name): interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()
        }
        self._lengths = sorted(self._graphs)

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return ``(batch, classes)`` logits."""
        rows = range(len(next(iter(inputs.values()))))
        return np.concatenate(
            [self._one({name: array[row : row + 1] for name, array in inputs.items()}) for row in rows]
        )

    def synchronize(self) -> None:
        """Return at once: ``run`` returns when the graphs have ended."""

    def _one(self, row: Inputs) -> NDArray[np.float32]:
        length = self._length(row)
        (logits,) = self._graphs[length](**(fitted(row, length, self._pad_id) if length else row)).values()
        answer: NDArray[np.float32] = logits.astype(np.float32)
        return answer

    def _length(self, row: Inputs) -> int:
        """Return the length of the graph for one row: the first into which its text goes."""
        mask = row.get("attention_mask")
        used = 0 if mask is None else int(mask.sum())
        return next((length for length in self._lengths if length >= used), self._lengths[-1])


class LiteRt(Backend[LiteRtOptions]):
    """Google's runtime for the edge."""

    name = "litert"
    title = "LiteRT"
    summary = "The model as phones run it, on XNNPACK; texts are padded to a few lengths, batches answered row by row."
    format = "litert"
    options_type = LiteRtOptions
    distributions = ("ai-edge-litert",)
    requirements = (
        "ai-edge-litert==2.3.0",
        "litert-torch==0.10.0",
        # What litert-torch's compiler wants older than we do; named here, so that pip need not search for them.
        "typing-extensions==4.12.2",
        "pydantic==2.11.10",
        "typing-inspection==0.4.2",
        "anyio==4.14.2",
    )

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Convert and run an addition."""
        import torch
        from torch import nn

        class Twice(nn.Module):
            def forward(self, image: torch.Tensor) -> torch.Tensor:
                return image + image

        graph = converted(Twice(), {IMAGE: {"image": torch.ones(1, 4)}})
        session = LiteRtSession(_interpreter(1, model_content=graph), pad_id=0)
        doubled = session.run({"image": np.ones((1, 4), dtype=np.float32)})
        return {"device": ("cpu",)} if float(doubled.sum()) == 8 else {}

    def export(self, model: TrainedModel, options: LiteRtOptions, folder: Path) -> Artifact:
        """Convert the module, once for each length."""
        import torch

        graph = converted(
            _answering(model),
            {
                name: {key: torch.from_numpy(array) for key, array in example.items()}
                for name, example in _examples(model).items()
            },
        )
        (folder / GRAPH_FILE).write_bytes(graph)
        for name, path in model.preprocess_files.items():
            (folder / name).write_bytes(path.read_bytes())
        return Artifact.write(folder, manifest_of(model, self.format, (GRAPH_FILE,)))

    def load(self, artifact: Artifact, options: LiteRtOptions) -> Session:
        """Read the file and let XNNPACK pack the weights."""
        if options.device != "cpu":
            raise no_such(self.title, "device", options.device, ("cpu",))
        interpreter = _interpreter(options.threads, model_path=str(artifact.folder / GRAPH_FILE))
        return LiteRtSession(interpreter, artifact.manifest.preprocess.pad_id)

    def profile(
        self, artifact: Artifact, options: LiteRtOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Refuse: the runtime's profiler is not part of its Python package."""
        raise MeasurementError("LiteRT's Python package has no profiler, so it cannot be said where its time goes.")


def length_of(name: str) -> int:
    """Return how many tokens a graph takes, by its name; 0 for one that takes no text."""
    return int(name.removeprefix(_LENGTH)) if name.startswith(_LENGTH) else 0


def fitted(row: Inputs, length: int, pad_id: int) -> Inputs:
    """Return one text, arrays of ``(1, seq)``, filled up or cut to ``(1, length)`` int32."""
    cut = {name: array[:, :length].astype(np.int32) for name, array in row.items()}
    return {
        name: np.pad(
            array, ((0, 0), (0, length - array.shape[1])), constant_values=pad_id if name == "input_ids" else 0
        )
        for name, array in cut.items()
    }


def converted(module: nn.Module, examples: Mapping[str, Mapping[str, torch.Tensor]]) -> bytes:
    """Return a file with one graph of ``module`` for each of the named examples, over the same weights.

    Raises:
        ExportError: if an operator cannot be expressed.
    """
    import litert_torch

    litert_torch.config.show_progress = False
    converter = litert_torch.Converter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyTorch deprecates in its own exporter
        for name, example in examples.items():
            converter.signature(name, module.eval(), sample_kwargs=dict(example))
        try:
            return bytes(converter.convert().model_content())
        except Exception as error:  # torch.export, MLIR and the converter share no base class
            raise ExportError(f"LiteRT cannot convert the model ({error}). Choose ONNX Runtime.") from error


def _examples(model: TrainedModel) -> dict[str, Inputs]:
    """Return one row for each graph, by the graph's name."""
    prepare, spec = load_preprocessor_of(model), model.preprocess
    if spec.kind == "image":
        return {IMAGE: prepare(np.zeros((1, 28, 28), dtype=np.uint8))}
    text = {name: array for name, array in prepare(["an example"]).items() if name in input_names(model)}
    lengths = [*(length for length in LENGTHS if length < spec.max_length), spec.max_length]
    return {f"{_LENGTH}{length}": fitted(text, length, spec.pad_id) for length in lengths}


def _answering(model: TrainedModel) -> nn.Module:
    """Return the module from named inputs to logits, and nothing else."""
    from torch import nn

    class Answering(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
            return model.family.logits(self.inner, inputs)

    return Answering(model.module)


def _interpreter(threads: int, **source: Any) -> Any:
    """Return what runs the graphs of a file."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        return Interpreter(num_threads=threads or None, **source)
    except (ValueError, RuntimeError) as error:
        raise MeasurementError(f"LiteRT refused the graph ({error}). Prepare it anew.") from error
