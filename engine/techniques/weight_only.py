"""Weight-only quantization: weights are stored in few bits and unpacked while a model runs; activations are floats."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from engine.errors import ExportError, InvalidValueError
from engine.models import FAMILIES, gguf_writing
from engine.models.base import Artifact, ModelFacts, TrainingContext
from engine.quiet import quiet_libraries
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights
from engine.techniques.blockwise import pack, products, save_beside

GROUP_SIZES = (16, 32, 64, 128)


class GroupedConfig(TechniqueConfig):
    """What all that packs weights in groups asks for."""

    group_size: Literal[16, 32, 64, 128] = Field(
        default=32,
        title="Group size",
        description="Weights that share a scale; small groups are exact, large ones compact",
    )


class WeightOnlyConfig(GroupedConfig):
    """Parameters of weight-only quantization."""

    symmetric: bool = Field(
        default=True, title="Symmetric", description="Zero stays zero, so that no offset has to be stored or added"
    )


class _WeightOnly(ArtifactTechnique[WeightOnlyConfig]):
    """What both widths have in common."""

    group = Group.QUANTIZATION
    config_type = WeightOnlyConfig
    exclusive = True
    bits: ClassVar[int]

    def check(self, config: WeightOnlyConfig, facts: ModelFacts) -> None:
        """Refuse a group size that does not divide the inputs of every product."""
        check_groups(self.name, config.group_size, facts)

    def apply(self, artifact: Artifact, config: WeightOnlyConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Quantize the weights of matrix products, block by block.

        Raises:
            ExportError: if there is no product whose weights could be packed.
        """
        copy_beside_weights(artifact, folder)
        ways = {"onnx": self._onnx, "genai": self._genai, "gguf": self._gguf}
        ways.get(artifact.manifest.format, self._torch)(artifact, config, folder)
        return Artifact.write(folder, artifact.manifest)

    def _onnx(self, artifact: Artifact, config: WeightOnlyConfig, folder: Path) -> None:
        import onnx
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        packed = 0
        for name in artifact.manifest.weights:
            quantizer = MatMulNBitsQuantizer(
                onnx.load(str(artifact.folder / name)),
                bits=self.bits,
                block_size=config.group_size,
                is_symmetric=config.symmetric,
                accuracy_level=4,
            )
            quantizer.model.replace_gemm_with_matmul()  # which it would leave alone
            quantizer.process()
            model = quantizer.model.model
            packed += sum(node.op_type == "MatMulNBits" for node in model.graph.node)
            onnx.save(model, str(folder / name))
        if not packed:
            raise ExportError(f"{self.name}: this graph has no matrix product with constant weights; leave it out.")

    def _genai(self, artifact: Artifact, config: WeightOnlyConfig, folder: Path) -> None:
        import onnx

        graph, data = artifact.manifest.weights
        model = onnx.load(str(artifact.folder / graph))
        names = dict.fromkeys(products(model), self.bits)
        model, packed = pack(model, names, config.group_size, symmetric=config.symmetric)
        if not packed:
            raise ExportError(f"{self.name}: this graph has no matrix product with constant weights; leave it out.")
        save_beside(model, folder / graph, data)

    def _gguf(self, artifact: Artifact, config: WeightOnlyConfig, folder: Path) -> None:
        form = gguf_form(self.name, self.bits, config.group_size, symmetric=config.symmetric)
        for name in artifact.manifest.weights:
            gguf_writing.repack(artifact.folder / name, folder / name, lambda tensor: form)

    def _torch(self, artifact: Artifact, config: WeightOnlyConfig, folder: Path) -> None:
        quiet_libraries()
        from torchao.quantization import Int8WeightOnlyConfig, PerGroup, quantize_

        family = FAMILIES.get(artifact.manifest.family)
        model = family.load(artifact.folder)
        try:
            quantize_(model.module, Int8WeightOnlyConfig(granularity=PerGroup(config.group_size)))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ExportError(
                f"{self.name}: groups of {config.group_size} do not divide a layer of this model ({error}). Choose a "
                "smaller group size."
            ) from error
        family.save(model, folder)


def gguf_form(name: str, bits: int, group_size: int, *, symmetric: bool) -> str:
    """Return ggml's name for weights of so many bits.

    Raises:
        ExportError: if ggml has no such form.
    """
    if group_size != gguf_writing.BLOCK:
        raise ExportError(f"{name}: llama.cpp packs groups of {gguf_writing.BLOCK}; choose that group size.")
    if bits == 8:
        return "Q8_0"  # always symmetric
    return "Q4_0" if symmetric else "Q4_1"


def check_groups(name: str, group_size: int, facts: ModelFacts) -> None:
    """Refuse a group size that does not divide the inputs of every product.

    Raises:
        InvalidValueError: with the sizes that do.
    """
    for width in facts.widths:
        if width % group_size:
            fitting = [size for size in GROUP_SIZES if not any(width % size for width in facts.widths)]
            raise InvalidValueError(
                f"{name}: groups of {group_size} do not divide the {width} inputs of a layer; choose "
                f"{' or '.join(map(str, fitting)) or 'another model'}."
            )


class Int8WeightOnly(_WeightOnly):
    """Eight bits a weight."""

    name = "int8-weight-only"
    title = "Int8 weights"
    summary = "Int8 weights unpacked in every product: a quarter of the size, no speed where arithmetic is the limit."
    formats = frozenset({"onnx", "torch", "genai", "gguf"})
    tasks = frozenset(Task)
    packages = ("torchao",)
    bits = 8


class Int4WeightOnly(_WeightOnly):
    """Four bits a weight."""

    name = "int4-weight-only"
    title = "Int4 weights"
    summary = "Int4 weights in groups: the smallest file; pays where memory is the limit, as in text generation."
    formats = frozenset({"onnx", "genai", "gguf"})
    tasks = frozenset(Task)
    bits = 4
