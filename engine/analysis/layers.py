"""The layers of a variant: where its time, its bytes and its errors are."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.insight import LayerEffect

_WRAPPER = "inner"
"""The name under which an exported model stands in its graph."""


def layer_of(name: str) -> str:
    """Return the layer an operator or a value belongs to, from the name a runtime gives it.

    ``/inner/bert/encoder/layer.0/output/dense/MatMul`` is of ``bert.encoder.layer.0.output.dense``; a name that
    tells no layer is its own.
    """
    start = name.find(f"/{_WRAPPER}/")
    if start < 0:
        return name
    parts = name[start + 1 :].split("/")[1:-1]
    return ".".join(parts) or "outside any layer"


def layers_of(arrays: Mapping[str, NDArray[np.generic]], sensitivity: Mapping[str, float]) -> tuple[LayerEffect, ...]:
    """Return one row a layer from what a profiling process sent; see :func:`layer_effects`."""
    columns = (arrays[f"operator_{name}"].tolist() for name in ("name", "kind", "s", "bytes"))
    errors = dict(zip(arrays["error_name"].tolist(), arrays["error"].tolist(), strict=True))
    return layer_effects(list(zip(*columns, strict=True)), errors, sensitivity)


def layer_effects(
    operators: Sequence[tuple[str, str, float, int]], errors: Mapping[str, float], sensitivity: Mapping[str, float]
) -> tuple[LayerEffect, ...]:
    """Return one row a layer, in the order of execution.

    Args:
        operators: name, kind, seconds in a query and bytes of constants of each operator.
        errors: relative error against the parent, by the name of a value.
        sensitivity: mean squared change of the logits when this operator alone is quantized, by its name.
    """
    whole_s = sum(seconds for _, _, seconds, _ in operators) or 1.0
    worst, most = _largest(errors), _largest(sensitivity)
    kinds: dict[str, dict[str, None]] = {}
    spent: dict[str, tuple[float, int]] = {}
    for name, kind, seconds, size in operators:
        layer = layer_of(name)
        kinds.setdefault(layer, {})[kind] = None
        before_s, before = spent.get(layer, (0.0, 0))
        spent[layer] = (before_s + seconds, before + size)
    return tuple(
        LayerEffect(
            name=layer,
            kinds=", ".join(kinds[layer]),
            ms=seconds * 1e3,
            share=seconds / whole_s,
            size_bytes=size,
            error=worst.get(layer),
            sensitivity=most.get(layer),
        )
        for layer, (seconds, size) in spent.items()
    )


def _largest(by_name: Mapping[str, float]) -> dict[str, float]:
    """Return the largest number of each layer."""
    found: dict[str, float] = {}
    for name, value in by_name.items():
        layer = layer_of(name)
        found[layer] = max(value, found.get(layer, 0.0))
    return found
