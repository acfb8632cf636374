"""Dynamic int8 quantization: weights are stored as int8, activations are scaled while the model runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import Field

from engine.errors import ExportError
from engine.models import FAMILIES
from engine.models.base import Artifact, Manifest
from engine.quiet import quiet_libraries
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig


class Int8DynamicConfig(TechniqueConfig):
    """Parameters of dynamic quantization."""

    per_channel: bool = Field(
        default=True,
        title="Per channel",
        description="One scale for every output channel instead of one for the tensor",
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
    formats = frozenset({"onnx", "torch"})
    packages = ("torchao",)

    def apply(self, artifact: Artifact, config: Int8DynamicConfig, folder: Path) -> Artifact:
        """Quantize with the format's own tool."""
        copied = [path for path in artifact.folder.iterdir() if path.name not in artifact.manifest.weights]
        for path in copied:
            shutil.copyfile(path, folder / path.name)
        quantize = _quantize_onnx if artifact.manifest.format == "onnx" else _quantize_torch
        quantize(artifact, config, folder)
        manifest: Manifest = artifact.manifest
        return Artifact.write(folder, manifest)


def _quantize_onnx(artifact: Artifact, config: Int8DynamicConfig, folder: Path) -> None:
    """Quantize matrix products and embeddings; convolutions stay, their integer kernel is slower than fp32."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    (name,) = artifact.manifest.weights
    prepared = folder / f"prepared-{name}"
    try:
        # Symbolic inference stops at "Incomplete symbolic shape inference" on transformers.
        quant_pre_process(str(artifact.folder / name), str(prepared), skip_symbolic_shape=True)
        quantize_dynamic(
            str(prepared),
            str(folder / name),
            op_types_to_quantize=["MatMul", "Gemm", "Gather", "Attention"],
            per_channel=config.per_channel,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": 1},
        )
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ExportError(f"ONNX Runtime could not quantize the graph ({error}). Leave int8-dynamic out.") from error
    prepared.unlink()


def _quantize_torch(artifact: Artifact, config: Int8DynamicConfig, folder: Path) -> None:
    """Quantize linear layers with torchao."""
    quiet_libraries()
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, PerRow, PerTensor, quantize_

    family = FAMILIES.get(artifact.manifest.family)
    model = family.load(artifact.folder)
    granularity = PerRow() if config.per_channel else PerTensor()
    quantize_(model.module, Int8DynamicActivationInt8WeightConfig(granularity=granularity))
    family.save(model, folder)
