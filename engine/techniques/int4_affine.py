"""Int4 weights whose groups keep a real offset: what a whole-numbered zero point rounds away rides along as columns.

A group of weights is ``scale * q + offset``, with ``q`` from 0 to 15, as in ggml's Q4_1. ONNX Runtime's packed product
knows ``scale * (q - zero)`` with a whole ``zero`` only, which moves all weights of a group by up to half a step. The
rest, ``offset + scale * zero``, is the same for a whole group, so its part of the product is a number per group times
the sum of the group's inputs. Here these sums become further inputs of the product and the rests further weights, in
four bits themselves: what is lost is about a thirtieth of what was, for one more group per 32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import ExportError
from engine.models.base import Artifact, ModelFacts, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, copy_beside_weights
from engine.techniques.blockwise import pack, products, save_beside
from engine.techniques.int4_mixed import Int4MixedConfig, bits_by_name
from engine.techniques.weight_only import check_groups

Floats = NDArray[np.float32]
_LEVELS = 15
_DOMAIN = "com.microsoft"
_ACCURACY_INT8 = 4
"""ONNX Runtime's name for products of eight-bit inputs with packed weights."""


class Groups(NamedTuple):
    """Weights of ``(outputs, groups, size)`` in four bits: ``scale * (q - zero)``."""

    q: NDArray[np.uint8]
    scale: Floats
    """``(outputs, groups)``."""
    zero: NDArray[np.uint8]
    """``(outputs, groups)``, 0 to 15."""
    rest: Floats
    """``(outputs, groups)``: what is to be added to each weight of a group."""


class Int4Affine(ArtifactTechnique[Int4MixedConfig]):
    """Four bits a weight, on the grid that the weights span."""

    name = "int4-affine"
    title = "Int4 weights, exact offsets"
    summary = "Int4 weights with a real offset for each group: keeps weights that were published in four bits."
    group = Group.QUANTIZATION
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = Int4MixedConfig
    exclusive = True
    formats = frozenset({"genai"})

    def check(self, config: Int4MixedConfig, facts: ModelFacts) -> None:
        """Refuse a group size that does not divide the inputs of every product."""
        check_groups(self.name, config.group_size, facts)

    def apply(self, artifact: Artifact, config: Int4MixedConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Pack every product: in eight bits as ONNX Runtime does, in four with exact offsets.

        Raises:
            ExportError: if there is no product whose weights could be packed.
        """
        import onnx

        copy_beside_weights(artifact, folder)
        graph, data = artifact.manifest.weights
        model = onnx.load(str(artifact.folder / graph))
        bits = bits_by_name(products(model), output_layer=config.output_layer, layers=config.layers)
        if not bits:
            raise ExportError(f"{self.name}: this graph has no matrix product with constant weights; leave it out.")
        pack_affine(model, [name for name, width in bits.items() if width == 4], config.group_size)
        eight = {name: width for name, width in bits.items() if width == 8}
        model, _ = pack(model, eight, config.group_size, symmetric=True)
        context.note(f"{len(eight)} of {len(bits)} products in int8")
        save_beside(model, folder / graph, data)
        return Artifact.write(folder, artifact.manifest)


def group_weights(weights: Floats, size: int) -> Groups:
    """Round weights to the grid that the least and the greatest of each group span.

    Args:
        weights: ``(outputs, inputs)``; ``size`` divides the inputs.
        size: weights in a group.
    """
    blocks = weights.reshape(len(weights), -1, size)
    least, most = blocks.min(axis=2), blocks.max(axis=2)
    scale = (most - least) / _LEVELS
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    q = np.rint((blocks - least[..., None]) / scale[..., None]).clip(0, _LEVELS).astype(np.uint8)
    zero = np.rint(-least / scale).clip(0, _LEVELS)
    rest = (least + scale * zero).astype(np.float32)
    return Groups(q, scale, zero.astype(np.uint8), rest)


def pack_affine(model: Any, names: list[str], size: int) -> None:
    """Replace products in a graph by packed ones over their inputs and the sums of their inputs' groups.

    Args:
        model: an ONNX model; changed in place.
        names: products with constant weights of ``(inputs, outputs)``.
        size: weights in a group; it divides every product's inputs.
    """
    from onnx import numpy_helper

    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    wanted = set(names)
    widened: dict[str, str] = {}
    nodes, used = [], set()
    for node in graph.node:
        if node.name not in wanted:
            nodes.append(node)
            continue
        source, weights_name = node.input
        weights = numpy_helper.to_array(constants[weights_name]).astype(np.float32)
        if source not in widened:
            added, widened[source] = _widen(graph, source, len(weights), size)
            nodes += added
        nodes.append(_packed(graph, node, widened[source], np.ascontiguousarray(weights.T), size))
        used.add(weights_name)
    del graph.node[:]
    graph.node.extend(nodes)
    still = {name for node in graph.node for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name not in used - still]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    if _DOMAIN not in {opset.domain for opset in model.opset_import}:
        import onnx

        model.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))


def _columns(inputs: int, size: int) -> int:
    """Return how many columns are added: one a group, and zeros up to whole groups."""
    return -(-(inputs // size) // size) * size


def _widen(graph: Any, source: str, inputs: int, size: int) -> tuple[list[Any], str]:
    """Return the nodes that put the sums of an input's groups behind it, and the name of what they make."""
    from onnx import helper, numpy_helper

    adder = f"group_sums_{inputs}_{size}"
    if adder not in {constant.name for constant in graph.initializer}:
        ones = np.zeros((inputs, _columns(inputs, size)), dtype=np.float32)
        ones[np.arange(inputs), np.arange(inputs) // size] = 1
        graph.initializer.append(numpy_helper.from_array(ones, adder))
    sums, wide = f"{source}/group_sums", f"{source}/with_group_sums"
    return [
        helper.make_node("MatMul", [source, adder], [sums], name=sums),
        helper.make_node("Concat", [source, sums], [wide], name=wide, axis=-1),
    ], wide


def _packed(graph: Any, node: Any, source: str, weights: Floats, size: int) -> Any:
    """Return the packed product that stands for ``node``; its weights are added to the graph."""
    from onnx import helper, numpy_helper

    outputs, inputs = weights.shape
    groups = group_weights(weights, size)
    rests = np.zeros((outputs, _columns(inputs, size)), dtype=np.float32)
    rests[:, : inputs // size] = groups.rest
    more = group_weights(rests, size)  # what these leave over is a thirtieth of half a step, and lost
    q = np.concatenate([groups.q, more.q], axis=1)
    arrays = {
        "q4": q[..., 0::2] | (q[..., 1::2] << 4),
        "scales": np.concatenate([groups.scale, more.scale], axis=1).reshape(-1),
        "zeros": _in_pairs(np.concatenate([groups.zero, more.zero], axis=1)),
    }
    for ending, array in arrays.items():
        graph.initializer.append(numpy_helper.from_array(array, f"{node.name}/{ending}"))
    return helper.make_node(
        "MatMulNBits",
        [source, *(f"{node.name}/{ending}" for ending in arrays)],
        list(node.output),
        name=f"{node.name}_Q4",
        domain=_DOMAIN,
        K=inputs + rests.shape[1],
        N=outputs,
        bits=4,
        block_size=size,
        accuracy_level=_ACCURACY_INT8,
    )


def _in_pairs(zero: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pack ``(outputs, groups)`` numbers of four bits, the first of a pair low, each row in whole bytes; flat."""
    even = np.pad(zero, ((0, 0), (0, zero.shape[1] % 2)))
    return (even[:, 0::2] | (even[:, 1::2] << 4)).astype(np.uint8).reshape(-1)
