"""Length bucketing: texts are padded to a few lengths, so that a runtime meets the same shapes again and again."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import Field

from engine.models.base import Artifact, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig


class BucketLengthConfig(TechniqueConfig):
    """Parameters of length bucketing."""

    multiple: int = Field(
        default=16,
        ge=2,
        le=512,
        title="Multiple",
        description="Texts are padded to the next multiple of this many tokens",
        json_schema_extra={"unit": "tokens"},
    )


class BucketLength(ArtifactTechnique[BucketLengthConfig]):
    """Pads token sequences to multiples of a length."""

    name = "bucket-length"
    title = "Length bucketing"
    summary = "Pads texts to a few lengths: pays where a runtime compiles or plans for each shape, costs elsewhere."
    group = Group.ADAPTIVE
    config_type = BucketLengthConfig
    tasks = frozenset({Task.TEXT_CLASSIFICATION})
    formats = frozenset({"onnx", "torch"})

    def apply(self, artifact: Artifact, config: BucketLengthConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Copy the artifact and change how texts become its inputs."""
        for path in artifact.folder.iterdir():
            shutil.copyfile(path, folder / path.name)
        preprocess = artifact.manifest.preprocess.model_copy(update={"pad_multiple": config.multiple})
        return Artifact.write(folder, artifact.manifest.model_copy(update={"preprocess": preprocess}))
