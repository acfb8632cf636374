"""Packing the weights of a graph's matrix products into few bits, block by block, with ONNX Runtime's own quantizer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_KEPT_IN_GRAPH_BYTES = 1024
"""Constants below this size stay in the graph's own file where the weights have a file of their own."""


def products(model: Any) -> list[str]:
    """Return the names of the matrix products with constant weights, in the order of execution."""
    constants = {constant.name for constant in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "MatMul" and constants & set(node.input)]


def pack(model: Any, bits: Mapping[str, int], block_size: int, *, symmetric: bool) -> tuple[Any, int]:
    """Return the graph with the products packed, and how many they are.

    Args:
        model: an ONNX model; changed in place.
        bits: 4 or 8 by the name of each product that is to be packed; the others stay.
        block_size: weights that share a scale.
        symmetric: zero stays zero, so that no offset is stored.
    """
    for width in sorted(set(bits.values()), reverse=True):
        chosen = {name for name, wanted in bits.items() if wanted == width}
        model = _pack_alike(model, chosen, width, block_size, symmetric=symmetric)
    return model, sum(node.op_type == "MatMulNBits" for node in model.graph.node)


def _pack_alike(model: Any, chosen: Collection[str], bits: int, block_size: int, *, symmetric: bool) -> Any:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        model,
        bits=bits,
        block_size=block_size,
        is_symmetric=symmetric,
        accuracy_level=4,
        nodes_to_exclude=[name for name in products(model) if name not in chosen],
    )
    quantizer.process()
    return quantizer.model.model


def save_beside(model: Any, path: Path, data: str) -> None:
    """Write a graph with its weights in a file of their own, ``data``, in the same folder."""
    import onnx

    onnx.save(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data,
        size_threshold=_KEPT_IN_GRAPH_BYTES,
    )
