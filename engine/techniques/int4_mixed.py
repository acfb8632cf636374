"""Int4 weights with the products that matter most in int8: the output layer, and a few layers of attention and MLP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from engine.errors import ExportError
from engine.models import gguf_writing
from engine.models.base import Artifact, ModelFacts, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, copy_beside_weights
from engine.techniques.blockwise import pack, products, save_beside
from engine.techniques.weight_only import WeightOnlyConfig, check_groups, gguf_form

HEAD = "lm_head"
SENSITIVE = ("qkv_proj", "v_proj", "down_proj", "attn_v", "ffn_down")
"""Products whose rounding costs most, by the names they have in a graph and in a GGUF."""


class Int4MixedConfig(WeightOnlyConfig):
    """Parameters of mixed weight-only quantization."""

    output_layer: bool = Field(
        default=True, title="Output layer in int8", description="Keeps the last product, which decides between words"
    )
    layers: bool = Field(
        default=False,
        title="Some layers in int8",
        description="Keeps attention inputs and MLP outputs of the first and last eighth of the layers, and of every "
        "third between them",
    )


class Int4Mixed(ArtifactTechnique[Int4MixedConfig]):
    """Four bits a weight where they do, eight where they do not."""

    name = "int4-mixed"
    title = "Int4 weights, int8 where it matters"
    summary = "Int4 weights with the output layer in int8: nearly int4's speed and much less of its loss."
    group = Group.QUANTIZATION
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = Int4MixedConfig
    exclusive = True
    formats = frozenset({"genai", "gguf"})

    def check(self, config: Int4MixedConfig, facts: ModelFacts) -> None:
        """Refuse a group size that does not divide the inputs of every product."""
        check_groups(self.name, config.group_size, facts)

    def apply(self, artifact: Artifact, config: Int4MixedConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Pack every product, in the bits its name asks for.

        Raises:
            ExportError: if there is no product whose weights could be packed.
        """
        copy_beside_weights(artifact, folder)
        if artifact.manifest.format == "gguf":
            self._gguf(artifact, config, folder, context)
        else:
            self._genai(artifact, config, folder, context)
        return Artifact.write(folder, artifact.manifest)

    def _gguf(self, artifact: Artifact, config: Int4MixedConfig, folder: Path, context: TrainingContext) -> None:
        for name in artifact.manifest.weights:
            names = gguf_writing.matrices(artifact.folder / name)
            bits = bits_by_name(names, output_layer=config.output_layer, layers=config.layers)
            forms = {
                tensor: gguf_form(self.name, width, config.group_size, symmetric=config.symmetric)
                for tensor, width in bits.items()
            }
            packed = gguf_writing.repack(artifact.folder / name, folder / name, forms.__getitem__)
            context.note(f"{sum(width == 8 for width in bits.values())} of {packed} products in int8")

    def _genai(self, artifact: Artifact, config: Int4MixedConfig, folder: Path, context: TrainingContext) -> None:
        import onnx

        graph, data = artifact.manifest.weights
        model = onnx.load(str(artifact.folder / graph))
        bits = bits_by_name(products(model), output_layer=config.output_layer, layers=config.layers)
        model, packed = pack(model, bits, config.group_size, symmetric=config.symmetric)
        if not packed:
            raise ExportError(f"{self.name}: this graph has no matrix product with constant weights; leave it out.")
        context.note(f"{sum(width == 8 for width in bits.values())} of {packed} products in int8")
        save_beside(model, folder / graph, data)


def bits_by_name(names: Sequence[str], *, output_layer: bool, layers: bool) -> dict[str, int]:
    """Return 4 or 8 for each product.

    The choice of layers is llama.cpp's ``use_more_bits`` for its mixed k-quants.

    Args:
        names: such as ``"/model/layers.7/mlp/down_proj/MatMul"``, and one that holds ``lm_head``.
        output_layer: whether that one keeps 8 bits.
        layers: whether some layers keep 8 bits in what is most sensitive.
    """
    numbers = {name: number for name in names if (number := _layer(name)) is not None}
    count = 1 + max(numbers.values(), default=0)
    eighth = count // 8
    found = {}
    for name in names:
        number = numbers.get(name)
        if number is None:
            keeps = output_layer and (HEAD in name or name in (gguf_writing.EMBEDDING, gguf_writing.OUTPUT))
        else:
            more = number < eighth or number >= count - eighth or (number - eighth) % 3 == 2
            keeps = layers and more and any(part in name for part in SENSITIVE)
        found[name] = 8 if keeps else 4
    return found


def _layer(name: str) -> int | None:
    """Return the number of the layer a product belongs to."""
    _, found, rest = name.replace("blk.", "layers.").partition("layers.")
    number = rest.replace(".", "/").partition("/")[0]
    return int(number) if found and number.isdecimal() else None
