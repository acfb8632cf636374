"""Writing GGUF files: a causal model in 32 bits, and the same file with its products packed into blocks.

A GGUF names its tensors in its own way and, for models of the Llama family, keeps the rows of queries and keys in the
order of its own rotary embedding; both follow llama.cpp's converter. The vocabulary is left out: this program encodes
texts by the tokenizer beside the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
BLOCK = 32
"""Weights that share a scale in the simple forms."""
_ARCHITECTURES = {"llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
_ROTATED_ROWS = frozenset({"llama", "mistral"})


def write(module: nn.Module, path: Path) -> None:
    """Write a causal model as 32-bit floats.

    Raises:
        ExportError: if llama.cpp has no such architecture, or this program does not know how it is written.
    """
    import gguf

    model: Any = module
    config = model.config
    kind = _ARCHITECTURES.get(config.model_type)
    rope = getattr(config, "rope_parameters", None) or {}
    if kind is None or rope.get("rope_type", "default") != "default":
        raise ExportError(
            f"A '{config.model_type}' with {rope.get('rope_type', 'no')} rotary positions cannot be written as GGUF; "
            f"known are {', '.join(_ARCHITECTURES)} with plain ones. Choose another backend."
        )
    architecture = gguf.MODEL_ARCH[kind]
    writer = gguf.GGUFWriter(str(path), gguf.MODEL_ARCH_NAMES[architecture])
    _describe(writer, config)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for name, tensor in model.state_dict().items():
        if tied and name.startswith("lm_head"):
            continue
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if theirs is None:
            raise ExportError(f"'{name}' has no name in a GGUF of this architecture. Choose another backend.")
        values = np.ascontiguousarray(tensor.float().numpy())
        if config.model_type in _ROTATED_ROWS and ".self_attn." in name and name.split(".")[-2] in ("q_proj", "k_proj"):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            values = rotated_rows(values, heads)
        writer.add_tensor(theirs, values)
    _finish(writer)


def repack(source: Path, target: Path, form_of: Callable[[str], str]) -> int:
    """Write a GGUF of 32-bit floats anew with its matrices in other forms; return how many were packed.

    Args:
        source: written by :func:`write`.
        target: where the new one goes.
        form_of: returns the form of a matrix by its name: ``"F32"``, ``"F16"``, ``"Q8_0"``, ``"Q4_0"`` or ``"Q4_1"``.

    Raises:
        ExportError: if the inputs of a product are no whole number of blocks.
    """
    import gguf

    reader = gguf.GGUFReader(str(source))
    writer = gguf.GGUFWriter(str(target), reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0], field.types[1] if field.types[1:] else None)
    packed = 0
    for tensor in reader.tensors:
        form = gguf.GGMLQuantizationType[form_of(tensor.name) if len(tensor.shape) > 1 else "F32"]
        values = np.asarray(tensor.data)
        if form.name.startswith("Q") and values.shape[-1] % BLOCK:
            raise ExportError(
                f"The {values.shape[-1]} inputs of '{tensor.name}' are no whole number of blocks of {BLOCK}; leave "
                "the quantization out or choose another backend."
            )
        packed += form.name.startswith("Q")
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, form), raw_dtype=form)
    _finish(writer)
    return packed


def matrices(path: Path) -> list[str]:
    """Return the names of a file's matrices, which may be packed."""
    import gguf

    return [tensor.name for tensor in gguf.GGUFReader(str(path)).tensors if len(tensor.shape) > 1]


def keep_layers(source: Path, target: Path, chosen: Sequence[int]) -> None:
    """Write a GGUF anew with some of its layers, in whatever form its tensors have.

    Args:
        source: a GGUF of any architecture whose layers are called ``blk.N``.
        target: where the smaller one goes.
        chosen: the layers to keep, by number and in order.
    """
    import gguf

    reader = gguf.GGUFReader(str(source))
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(str(target), architecture)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            value = len(chosen) if name == f"{architecture}.block_count" else field.contents()
            writer.add_key_value(name, value, field.types[0], field.types[1] if field.types[1:] else None)
    numbers = {old: new for new, old in enumerate(chosen)}
    for tensor in reader.tensors:
        name = tensor.name
        if name.startswith("blk."):
            _, number, rest = name.split(".", 2)
            if int(number) not in numbers:
                continue
            name = f"blk.{numbers[int(number)]}.{rest}"
        writer.add_tensor(name, np.asarray(tensor.data), raw_dtype=tensor.tensor_type)
    _finish(writer)


def rotated_rows(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return the rows of a query or key projection in the order in which ggml rotates them: pairs side by side.

    Args:
        values: ``(heads * width, inputs)``, the two halves of each head one behind the other, as in transformers.
        heads: of this projection.
    """
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))


def _describe(writer: Any, config: Any) -> None:
    """Write the hyperparameters under GGUF's names."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float((config.rope_parameters or {}).get("rope_theta", 10_000.0)))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
