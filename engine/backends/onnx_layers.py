"""What lies inside an ONNX graph: the bytes each node reads, and how far its values are from those of another graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.backends.base import Inputs

COMPARED = frozenset(
    {
        "Attention",
        "BiasGelu",
        "Conv",
        "EmbedLayerNormalization",
        "Gemm",
        "LayerNormalization",
        "MatMul",
        "Relu",
        "SkipLayerNormalization",
        "Softmax",
    }
)
"""Operators whose values are compared: those that end a layer, or something a reader knows by name."""


def bytes_by_node(path: Path) -> dict[str, int]:
    """Return how many bytes of constants each node of a graph reads, by the node's name."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    sizes = {constant.name: int(numpy_helper.to_array(constant).nbytes) for constant in graph.initializer}
    return {node.name: sum(sizes.get(name, 0) for name in node.input) for node in graph.node}


def relative_errors(ours: Path, theirs: Path, queries: Sequence[Inputs], scratch: Path) -> dict[str, float]:
    """Return how far values inside one graph are from those of the same name in the other.

    The error is the root mean square of the difference over that of the other's values, over all queries.

    Args:
        scratch: an empty folder for the two graphs with more outputs.
    """
    names = _shared_values(ours, theirs)
    if not names:
        return {}
    mine, other = (_exposed(path, names, scratch / f"{number}.onnx") for number, path in enumerate((ours, theirs)))
    squares: dict[str, list[float]] = {name: [0.0, 0.0] for name in names}
    for inputs in queries:
        for name, one, two in zip(names, _values(mine, names, inputs), _values(other, names, inputs), strict=True):
            if one.shape == two.shape:
                squares[name][0] += float(np.square(one - two, dtype=np.float64).sum())
                squares[name][1] += float(np.square(two, dtype=np.float64).sum())
    return {name: float(np.sqrt(apart / size)) for name, (apart, size) in squares.items() if size}


def _shared_values(ours: Path, theirs: Path) -> list[str]:
    """Return the values that both graphs compute and that are worth comparing, in the other graph's order."""
    import onnx

    mine = {name for node in onnx.load(str(ours)).graph.node for name in node.output}
    graph = onnx.load(str(theirs)).graph
    ends = {output.name for output in graph.output}
    return [
        node.output[0]
        for node in graph.node
        if node.op_type in COMPARED and node.output[0] in mine and node.output[0] not in ends
    ]


def _exposed(path: Path, names: Sequence[str], target: Path) -> Any:
    """Return a session on a copy of the graph whose outputs are these values."""
    import onnx
    import onnxruntime

    model = onnx.load(str(path))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)  # of whatever type they are
    onnx.save(model, str(target))
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(str(target), settings, providers=["CPUExecutionProvider"])


def _values(session: Any, names: Sequence[str], inputs: Inputs) -> list[np.ndarray[Any, Any]]:
    known = {node.name for node in session.get_inputs()}
    values = session.run(list(names), {name: array for name, array in inputs.items() if name in known})
    return [np.asarray(value, dtype=np.float32) for value in values]


def one_node() -> bytes:
    """Return the smallest graph there is to try a runtime with: its input added to itself."""
    from onnx import TensorProto, helper

    value, total = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "one", [value], [total])
    model: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized
