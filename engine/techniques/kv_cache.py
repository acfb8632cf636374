"""KV-cache quantization: keys and values of the text so far are kept in few bits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from engine.errors import ExportError
from engine.models.base import Artifact, TrainingContext
from engine.models.gguf_writing import BLOCK
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_whole


class KVCacheConfig(TechniqueConfig):
    """Parameters of KV-cache quantization."""

    bits: Literal[4, 8] = Field(
        default=8, title="Bits", description="Of a key or a value, with a scale for every 32 of them"
    )


class KVCache(ArtifactTechnique[KVCacheConfig]):
    """Packs the cache, not the weights."""

    name = "kv-cache"
    title = "KV cache in few bits"
    summary = "Keeps keys and values in 8 or 4 bits: half or a quarter of the cache; faster only when texts are long."
    group = Group.QUANTIZATION
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = KVCacheConfig
    formats = frozenset({"gguf"})

    def apply(self, artifact: Artifact, config: KVCacheConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Note the bits in the manifest, for whoever loads it; the files are those of ``artifact``.

        Raises:
            ExportError: if a head is no whole number of blocks.
        """
        if artifact.manifest.head_width % BLOCK:
            raise ExportError(
                f"{self.name}: heads of {artifact.manifest.head_width} values are no whole number of blocks of "
                f"{BLOCK}; leave it out."
            )
        copy_whole(artifact, folder)
        return Artifact.write(folder, artifact.manifest.model_copy(update={"cache_bits": config.bits}))
