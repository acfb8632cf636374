"""Half precision: sixteen bits a number, as fp16 (more digits) or bf16 (more range)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from engine.models import FAMILIES
from engine.models.base import Artifact, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights


class HalfConfig(TechniqueConfig):
    """There is nothing to choose."""


class _Half(ArtifactTechnique[HalfConfig]):
    """What both have in common."""

    group = Group.QUANTIZATION
    tasks = frozenset(Task)
    config_type = HalfConfig
    exclusive = True
    dtype: ClassVar[str]

    def apply(self, artifact: Artifact, config: HalfConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Convert weights and arithmetic; inputs and logits stay in 32 bits."""
        copy_beside_weights(artifact, folder)
        if artifact.manifest.format == "onnx":
            _convert_onnx(artifact, folder)
        else:
            import torch

            family = FAMILIES.get(artifact.manifest.family)
            model = family.load(artifact.folder)
            model.module.to(getattr(torch, self.dtype))
            family.save(model, folder)
        return Artifact.write(folder, artifact.manifest)


class Fp16(_Half):
    """IEEE half precision."""

    name = "fp16"
    title = "Half precision (fp16)"
    summary = "Sixteen-bit floats: half the size, hardly a changed answer; processors without fp16 units gain no speed."
    formats = frozenset({"onnx", "torch"})
    dtype = "float16"


class Bf16(_Half):
    """Brain floats: the range of 32 bits with the digits of 8."""

    name = "bf16"
    title = "Half precision (bf16)"
    summary = "Sixteen-bit floats with the range of 32: half the size, faster where the processor has bf16 units."
    formats = frozenset({"torch"})
    dtype = "bfloat16"


def _convert_onnx(artifact: Artifact, folder: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    for name in artifact.manifest.weights:
        model: Any = onnx.load(str(artifact.folder / name))
        onnx.save(convert_float_to_float16(model, keep_io_types=True), str(folder / name))
