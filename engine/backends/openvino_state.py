"""A causal language model as an OpenVINO graph that keeps its KV cache to itself, as its CPU plugin wants it.

OpenVINO fuses attention with the cache where keys and values are the graph's own state, gathered by ``beam_idx``, the
text each row of a batch goes on from.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ExportError
from engine.models.base import TrainedModel

if TYPE_CHECKING:
    import torch

INPUTS = ("input_ids", "attention_mask", "position_ids", "beam_idx")
_KINDS = ("key", "value")
_BATCH, _PAST, _NEW = 2, 3, 4
"""Sizes of the example that is traced; different ones, so that no two axes are taken for the same."""


def convert(model: TrainedModel) -> Any:
    """Return the graph: ids, mask, positions and ``beam_idx`` in, ``(batch, new, vocabulary)`` logits out.

    Raises:
        ExportError: if OpenVINO cannot express an operator.
    """
    import openvino
    from openvino._offline_transformations import apply_make_stateful_transformation

    config: Any = model.module.config
    heads, width = key_heads(config)
    layers = int(config.num_hidden_layers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, and of what it touches; none is ours
            graph = openvino.convert_model(_explicit(model), example_input=_example(config))
    except Exception as error:  # its own exceptions share no base class
        raise ExportError(f"OpenVINO cannot convert this model ({error}). Choose the torch backend.") from error
    names = [f"past.{layer}.{kind}" for layer in range(layers) for kind in _KINDS]
    outputs = [f"present.{layer}.{kind}" for layer in range(layers) for kind in _KINDS]
    for port, name in zip(graph.inputs, (*INPUTS, *names), strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(graph.outputs, ("logits", *outputs), strict=True):
        port.get_tensor().set_names({name})
    for port in graph.inputs[len(INPUTS) :]:
        port.get_node().set_partial_shape(openvino.PartialShape([-1, heads, -1, width]))
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, dict(zip(names, outputs, strict=True)))
    _begin_empty(graph, heads, width)
    return graph


def key_heads(config: Any) -> tuple[int, int]:
    """Return how many heads have keys of their own, and the width of one."""
    heads = int(config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return int(getattr(config, "num_key_value_heads", None) or heads), width


def _begin_empty(graph: Any, heads: int, width: int) -> None:
    """Let every state begin with no token, for as many rows as the batch has."""
    from openvino import opset13 as ops

    zero = ops.constant(np.int64(0))
    batch = ops.gather(ops.shape_of(graph.input("input_ids"), output_type="i64"), ops.constant(np.zeros(1, int)), zero)
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            sizes = [ops.constant(np.array([size], dtype=np.int64)) for size in (heads, 0, width)]
            shape = ops.concat([batch, *sizes], axis=0)
            node.set_arguments([ops.broadcast(ops.constant(np.float32(0)), shape)])
    graph.validate_nodes_and_infer_types()


def _example(config: Any) -> tuple[torch.Tensor, ...]:
    """Return inputs to trace with, keys and values of every layer behind them."""
    import torch

    heads, width = key_heads(config)
    return (
        torch.ones((_BATCH, _NEW), dtype=torch.int64),
        torch.ones((_BATCH, _PAST + _NEW), dtype=torch.int64),
        torch.arange(_PAST, _PAST + _NEW)[None].repeat(_BATCH, 1),
        torch.arange(_BATCH, dtype=torch.int32),
        *(torch.zeros((_BATCH, heads, _PAST, width)) for _ in range(2 * int(config.num_hidden_layers))),
    )


def _explicit(model: TrainedModel) -> Any:
    """Return the module with its cache as arguments and results."""
    from torch import nn
    from transformers import DynamicCache

    class Explicit(nn.Module):
        """Hands keys and values in and out."""

        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            position_ids: torch.Tensor,
            beam_idx: torch.Tensor,
            *past: torch.Tensor,
        ) -> tuple[torch.Tensor, ...]:
            cache: Any = DynamicCache(config=self.module.config)
            _fill(cache, [value.index_select(0, beam_idx) for value in past])
            answer = self.module(
                input_ids=input_ids,
                attention_mask=_mask(attention_mask, input_ids.shape[1]),
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=True,
            )
            kept = [value for layer in cache.layers for value in (layer.keys, layer.values)]
            return (answer.logits, *kept)

    return Explicit(model.module.eval())


def _fill(cache: Any, past: Sequence[torch.Tensor]) -> None:
    """Put keys and values into an empty cache."""
    for number, layer in enumerate(cache.layers):
        layer.keys, layer.values = past[2 * number : 2 * number + 2]
        layer.dtype, layer.device = layer.keys.dtype, layer.keys.device
        layer.is_initialized = True


def _mask(attention_mask: torch.Tensor, new: int) -> torch.Tensor:
    """Return what is added to attention scores, ``(batch, 1, new, all)``; transformers' own cannot be traced."""
    import torch

    total = attention_mask.shape[1]
    seen = torch.arange(total)[None, :] <= torch.arange(total - new, total)[:, None]
    allowed = seen[None, None] & attention_mask[:, None, None, :].bool()
    return torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
