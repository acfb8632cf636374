"""Cutting an ONNX graph into two that run one after the other and have about as much to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import ExportError

GRAPH_COST = 1
"""What a node without constants counts for, in bytes: next to nothing, but not nothing."""


def cut_in_two(graph: Path, front: Path, back: Path) -> str:
    """Write the two parts of a graph and return the name of the value that goes from one to the other.

    The place is the one value at which the bytes of constants that either part reads, the best sign of the work to do
    that a file shows, are most alike. What the back needs of the inputs themselves, a mask for example, it is given
    too.

    Raises:
        ExportError: if there is no such value.
    """
    import onnx

    model = onnx.load(str(graph))
    at = _balanced(model.graph)
    if at is None:
        raise ExportError("This graph has no place to be cut at: no single value separates its two ends.")
    known = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    between = known.get(at) or onnx.helper.make_tensor_value_info(at, onnx.TensorProto.FLOAT, None)
    nodes, feeds = list(model.graph.node), {value.name: value for value in model.graph.input}
    first = _needed(nodes, [at], stop=())
    last = _needed(nodes, [output.name for output in model.graph.output], stop=(at,))
    for path, chosen, outputs in ((front, first, [between]), (back, last, list(model.graph.output))):
        kept = [node for number, node in enumerate(nodes) if number in chosen]
        read = {name for node in kept for name in node.input}
        part = onnx.helper.make_graph(
            kept,
            path.stem,
            [feeds[name] for name in feeds if name in read] + ([between] if at in read else []),
            outputs,
            [constant for constant in model.graph.initializer if constant.name in read],
        )
        made: Any = onnx.helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
        onnx.save(made, str(path))
    return at


def _balanced(graph: Any) -> str | None:
    """Return the value at which both parts have most nearly the same to read."""
    nodes = list(graph.node)
    sizes = {constant.name: len(constant.raw_data) or constant.ByteSize() for constant in graph.initializer}
    costs = [GRAPH_COST + sum(sizes.get(name, 0) for name in node.input) for node in nodes]
    ends = [output.name for output in graph.output]
    found: dict[str, int] = {}
    for node in nodes:
        for value in node.output[:1]:
            if value in ends:
                continue
            first, last = _needed(nodes, [value], stop=()), _needed(nodes, ends, stop=(value,))
            if _heaviest(first, costs) and _heaviest(last, costs) and not _shared_weights(first & last, costs):
                found[value] = max(sum(costs[number] for number in part) for part in (first, last))
    return min(found, key=found.__getitem__) if found else None


def _heaviest(part: set[int], costs: list[int]) -> bool:
    """Tell whether a part has anything to read at all."""
    return any(costs[number] > GRAPH_COST for number in part)


def _shared_weights(both: set[int], costs: list[int]) -> bool:
    """Tell whether work of weight would be done twice, which is no cut."""
    return sum(costs[number] for number in both) > 0.01 * sum(costs)


def _needed(nodes: list[Any], values: Iterable[str], stop: Iterable[str]) -> set[int]:
    """Return the places of the nodes that these values depend on, not looking behind the values of ``stop``."""
    maker: Mapping[str, int] = {name: number for number, node in enumerate(nodes) for name in node.output}
    seen, open_, closed = set[int](), list(values), set(stop)
    while open_:
        name = open_.pop()
        number = maker.get(name)
        if number is None or name in closed or number in seen:
            continue
        seen.add(number)
        open_ += nodes[number].input
    return seen
