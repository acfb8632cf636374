"""Int4 weights whose groups keep a real offset: what a whole-numbered zero point rounds away rides along as columns.

A group of weights is ``scale * q + offset``, with ``q`` from 0 to 15, as in ggml's Q4_1. ONNX Runtime's packed product
knows ``scale * (q - zero)`` with a whole ``zero`` only, which moves all weights of a group by up to half a step. The
rest, ``offset + scale * zero``, is the same for a whole group, so its part of the product is a number per group times
the sum of the group's inputs. Here these sums become further inputs of the product and the rests further weights, in
four bits themselves: what is lost is about a thirtieth of what was, for one more group per 32. Where the last of these
groups has room, it carries what their four bits round away, too, against the same sums made smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import ExportError
from engine.models.base import Artifact, ModelFacts, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, copy_beside_weights
from engine.techniques.blockwise import pack, products, save_beside
from engine.techniques.int4_mixed import bits_by_name
from engine.techniques.weight_only import GroupedConfig, check_groups

Floats = NDArray[np.float32]
_LEVELS = 15
_FINER = 12
"""How much smaller sums come a second time: half a step, so many times larger, stays within the 15 levels."""
_DOMAIN = "com.microsoft"
_ACCURACY_INT8 = 4
"""ONNX Runtime's name for products of eight-bit inputs with packed weights."""


_INSENSITIVE = ("gate_proj", "up_proj")
"""The wide inputs of an MLP, where whole zero points cost least: a perplexity stayed within 0.5 % of the exact one."""


class Int4AffineConfig(GroupedConfig):
    """Parameters of weight-only quantization with exact offsets."""

    output_layer: bool = Field(
        default=True, title="Output layer in int8", description="Keeps the last product, which decides between words"
    )
    everywhere: bool = Field(
        default=True,
        title="Exact everywhere",
        description="Without it MLP inputs keep whole offsets: a few percent faster, and more words differ",
    )


class Groups(NamedTuple):
    """Weights of ``(outputs, groups, size)`` in four bits: ``scale * (q - zero)``."""

    q: NDArray[np.uint8]
    scale: Floats
    """``(outputs, groups)``."""
    zero: NDArray[np.uint8]
    """``(outputs, groups)``, 0 to 15."""
    rest: Floats
    """``(outputs, groups)``: what is to be added to each weight of a group."""


class Int4Affine(ArtifactTechnique[Int4AffineConfig]):
    """Four bits a weight, on the grid that the weights span."""

    name = "int4-affine"
    title = "Int4 weights, exact offsets"
    summary = "Int4 weights with a real offset for each group: keeps weights that were published in four bits."
    group = Group.QUANTIZATION
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = Int4AffineConfig
    exclusive = True
    formats = frozenset({"genai"})

    def check(self, config: Int4AffineConfig, facts: ModelFacts) -> None:
        """Refuse a group size that does not divide the inputs of every product."""
        check_groups(self.name, config.group_size, facts)

    def apply(self, artifact: Artifact, config: Int4AffineConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Pack every product: in eight bits as ONNX Runtime does, in four with exact offsets.

        Raises:
            ExportError: if there is no product whose weights could be packed.
        """
        import onnx

        copy_beside_weights(artifact, folder)
        graph, data = artifact.manifest.weights
        model = onnx.load(str(artifact.folder / graph))
        bits = bits_by_name(products(model), output_layer=config.output_layer, layers=False)
        if not bits:
            raise ExportError(f"{self.name}: this graph has no matrix product with constant weights; leave it out.")
        eight, four, exact = parts(bits, everywhere=config.everywhere)
        pack_affine(model, exact, config.group_size)
        for names, width in ((four, 4), (eight, 8)):
            if names:
                chosen = dict.fromkeys(names, width)
                model, _ = pack(model, chosen, config.group_size, symmetric=width == 8)
        context.note(f"{len(exact)} of {len(bits)} products with exact offsets, {len(eight)} in int8")
        save_beside(model, folder / graph, data)
        return Artifact.write(folder, artifact.manifest)


def parts(bits: Mapping[str, int], *, everywhere: bool) -> tuple[list[str], list[str], list[str]]:
    """Return the products in eight bits, those in four with whole zero points, and those with exact offsets.

    Args:
        bits: 8 or 4 by name.
        everywhere: whether no product keeps whole zero points.
    """
    eight = [name for name, width in bits.items() if width == 8]
    whole = [part for part in _INSENSITIVE if not everywhere]
    four = [name for name, width in bits.items() if width == 4 and any(part in name for part in whole)]
    return eight, four, [name for name in bits if name not in {*eight, *four}]


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


def _columns(groups: int, size: int) -> tuple[int, int]:
    """Return how many columns are added, in whole groups, and how many of them carry a sum a second time."""
    columns = -(-groups // size) * size
    return columns, min(columns - groups, groups)


def _widen(graph: Any, source: str, inputs: int, size: int) -> tuple[list[Any], str]:
    """Return the nodes that put the sums of an input's groups behind it, and the name of what they make."""
    from onnx import helper, numpy_helper

    adder = f"group_sums_{inputs}_{size}"
    if adder not in {constant.name for constant in graph.initializer}:
        groups = inputs // size
        columns, twice = _columns(groups, size)
        sums_of = np.zeros((groups, size, columns), dtype=np.float32)
        sums_of[np.arange(groups), :, np.arange(groups)] = 1
        sums_of[np.arange(twice), :, groups + np.arange(twice)] = 1 / _FINER
        graph.initializer.append(numpy_helper.from_array(sums_of.reshape(inputs, columns), adder))
    sums, wide = f"{source}/group_sums", f"{source}/with_group_sums"
    return [
        helper.make_node("MatMul", [source, adder], [sums], name=sums),
        helper.make_node("Concat", [source, sums], [wide], name=wide, axis=-1),
    ], wide


def _packed(graph: Any, node: Any, source: str, weights: Floats, size: int) -> Any:
    """Return the packed product that stands for ``node``; its weights are added to the graph."""
    from onnx import helper, numpy_helper

    groups = group_weights(weights, size)
    more = _rest_groups(groups.rest, size)
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
        K=q.shape[1] * size,
        N=len(weights),
        bits=4,
        block_size=size,
        accuracy_level=_ACCURACY_INT8,
    )


def _rest_groups(rest: Floats, size: int) -> Groups:
    """Return the columns that :func:`_widen` adds inputs for, in four bits; what they leave over is lost."""
    outputs, groups = rest.shape
    columns, twice = _columns(groups, size)
    wide = np.zeros((outputs, columns), dtype=np.float32)
    wide[:, :groups] = rest
    found = group_weights(wide, size)
    scale, zero = found.scale.repeat(size, axis=1), found.zero.repeat(size, axis=1).astype(np.float32)
    q = found.q.reshape(outputs, columns)
    lost = wide - scale * (q - zero)
    finer = slice(groups, groups + twice)
    q[:, finer] = np.rint(_FINER * lost[:, :twice] / scale[:, finer] + zero[:, finer]).clip(0, _LEVELS)
    return found._replace(q=q.reshape(found.q.shape))


def _in_pairs(zero: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pack ``(outputs, groups)`` numbers of four bits, the first of a pair low, each row in whole bytes; flat."""
    even = np.pad(zero, ((0, 0), (0, zero.shape[1] % 2)))
    return (even[:, 0::2] | (even[:, 1::2] << 4)).astype(np.uint8).reshape(-1)
