"""Writing PyTorch models as ONNX graphs, in one piece or in the two halves of a model with a way out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ExportError
from engine.models.base import TrainedModel

if TYPE_CHECKING:
    import torch

GRAPH_FILE = "model.onnx"
REST_FILE = "rest.onnx"
OPSET = 17

Tensors = Mapping[str, "torch.Tensor"]
Axes = Mapping[str, dict[int, str]]


def export_whole(model: TrainedModel, example: Tensors, folder: Path) -> tuple[str, ...]:
    """Write one graph from the inputs to ``logits``, with a free batch axis (and sequence axis, for texts)."""

    def answer(inner: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return model.family.logits(inner, inputs)

    axes = _chosen(model.family.dynamic_axes(), example, ("logits",))
    _trace(model.module, answer, example, axes, folder / GRAPH_FILE)
    return (GRAPH_FILE,)


def export_halves(model: TrainedModel, example: Tensors, folder: Path) -> tuple[str, ...]:
    """Write two graphs: from the inputs to ``early`` logits and the state, and from that state to ``logits``."""
    import torch

    module: Any = model.module.eval()
    axes = dict(model.family.dynamic_axes()) | {"early": {0: "batch"}}
    names = [f"state_{number}" for number in range(len(model.family.state_axes()))]
    axes |= dict(zip(names, model.family.state_axes(), strict=True))

    def first(inner: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        state = inner.front(**inputs) if model.preprocess.kind == "text" else inner.front(*inputs.values())
        # A state that is an input too, an attention mask for example, needs a name of its own.
        return (inner.way_out(state[0]), *(tensor + 0 for tensor in state))

    def second(inner: Any, state: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = inner.back(*state.values())
        return logits

    with torch.no_grad():
        state = dict(zip(names, first(module, dict(example))[1:], strict=True))
    _trace(module, first, example, _chosen(axes, example, ("early", *names)), folder / GRAPH_FILE)
    _trace(module, second, state, _chosen(axes, state, ("logits",)), folder / REST_FILE)
    return (GRAPH_FILE, REST_FILE)


def _chosen(axes: Axes, inputs: Iterable[str], outputs: Iterable[str]) -> Axes:
    """Return the axes of these inputs and outputs only."""
    return {name: axes[name] for name in (*inputs, *outputs)}


def _trace(
    module: Any,
    answer: Callable[[Any, dict[str, torch.Tensor]], Any],
    example: Tensors,
    axes: Axes,
    path: Path,
) -> None:
    """Write the graph of ``answer`` on ``module``.

    Args:
        answer: from the module and named inputs to the outputs.
        example: a small batch of those inputs.
        axes: the axes that may vary, of every input, then of every output, in their order.

    Raises:
        ExportError: if an operator cannot be expressed.
    """
    import torch
    from torch import nn

    class Positional(nn.Module):
        """The module with positional inputs and plain tensors as outputs, as the exporter wants it."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *tensors: torch.Tensor) -> Any:
            return answer(self.inner, dict(zip(example, tensors, strict=True)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every shape it takes as constant
        try:
            torch.onnx.export(
                Positional(module.eval()),
                tuple(example.values()),
                str(path),
                input_names=list(example),
                output_names=[name for name in axes if name not in example],
                dynamic_axes=dict(axes),
                opset_version=OPSET,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise ExportError(f"The model cannot be exported to ONNX ({error}). Choose the torch backend.") from error
