"""Dynamic int8 quantization: weights are stored as int8, activations are scaled while the model runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from engine.errors import ExportError
from engine.models import FAMILIES
from engine.models.base import Artifact, TrainingContext
from engine.quiet import quiet_libraries
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights
from engine.techniques.sensitivity import ANY_LOSS, quantize_within

_PRODUCTS = ("MatMul", "Gemm", "Attention")
_TABLES = ("Gather", "EmbedLayerNormalization")


class Int8DynamicConfig(TechniqueConfig):
    """Parameters of dynamic quantization."""

    per_channel: bool = Field(
        default=True,
        title="Per channel",
        description="One scale for every output channel instead of one for the tensor",
    )
    embeddings: bool = Field(
        default=True,
        title="Embeddings",
        description="Quantize the embedding table too: a much smaller file, a little slower to read (ONNX only)",
    )
    max_loss: float = Field(
        default=ANY_LOSS,
        ge=0,
        le=ANY_LOSS,
        title="Largest loss",
        description="Operators that cost more accuracy than this on the validation split stay in floating point; 100 "
        "quantizes everything (ONNX only)",
        json_schema_extra={"unit": "points"},
    )


class Int8Dynamic(ArtifactTechnique[Int8DynamicConfig]):
    """Int8 weights, activations quantized on the fly; needs no calibration data."""

    name = "int8-dynamic"
    title = "Dynamic int8"
    summary = (
        "Int8 weights, activations scaled on the fly; no data needed, a quarter of the size, fast on ONNX Runtime."
    )
    group = Group.QUANTIZATION
    config_type = Int8DynamicConfig
    exclusive = True
    tasks = frozenset(Task)
    formats = frozenset({"onnx", "torch"})
    packages = ("torchao",)

    def apply(self, artifact: Artifact, config: Int8DynamicConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Quantize with the format's own tool."""
        copy_beside_weights(artifact, folder)
        if artifact.manifest.format == "onnx":
            _quantize_onnx(artifact, config, folder, context)
        else:
            _quantize_torch(artifact, config, folder)
        return Artifact.write(folder, artifact.manifest)


def _quantize_onnx(artifact: Artifact, config: Int8DynamicConfig, folder: Path, context: TrainingContext) -> None:
    """Quantize matrix products and embeddings; convolutions stay, their integer kernel is slower than fp32."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    kinds = [*_PRODUCTS, *(_TABLES if config.embeddings else ())]

    def quantize(target: Path, only: Sequence[str] | None) -> None:
        quantize_dynamic(
            str(prepared[target.name]),
            str(target),
            op_types_to_quantize=kinds,
            nodes_to_quantize=list(only) if only else None,
            per_channel=config.per_channel,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": 1},
        )

    with tempfile.TemporaryDirectory() as scratch:
        prepared = {name: Path(scratch) / name for name in artifact.manifest.weights}
        try:
            for name, path in prepared.items():
                # Symbolic inference stops at "Incomplete symbolic shape inference" on transformers.
                quant_pre_process(str(artifact.folder / name), str(path), skip_symbolic_shape=True)
            nodes = {
                node.name: name
                for name, path in prepared.items()
                for node in onnx.load(str(path)).graph.node
                if node.op_type in kinds
            }
            quantize_within(artifact, folder, quantize, nodes, max_loss=config.max_loss, context=context)
        except (RuntimeError, ValueError, AttributeError) as error:
            raise ExportError(
                f"ONNX Runtime could not quantize the graph ({error}). Leave int8-dynamic out."
            ) from error


def _quantize_torch(artifact: Artifact, config: Int8DynamicConfig, folder: Path) -> None:
    """Quantize linear layers with torchao."""
    quiet_libraries()
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, PerRow, PerTensor, quantize_

    family = FAMILIES.get(artifact.manifest.family)
    model = family.load(artifact.folder)
    granularity = PerRow() if config.per_channel else PerTensor()
    quantize_(model.module, Int8DynamicActivationInt8WeightConfig(granularity=granularity))
    family.save(model, folder)
