"""Prompt look-up: speculative decoding whose draft is the text so far."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from engine.models.base import Artifact, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_whole


class PromptLookupConfig(TechniqueConfig):
    """Parameters of prompt look-up."""

    words: int = Field(
        default=3,
        ge=1,
        le=16,
        title="Looked up",
        description="Longest run of tokens that is searched in the text so far",
        json_schema_extra={"unit": "tokens"},
    )
    guesses: int = Field(
        default=6,
        ge=1,
        le=64,
        title="Guessed",
        description="Tokens that are guessed and checked in one step",
        json_schema_extra={"unit": "tokens"},
    )


class PromptLookup(ArtifactTechnique[PromptLookupConfig]):
    """Says the same tokens in fewer steps; weights and scores stay as they are."""

    name = "prompt-lookup"
    title = "Prompt look-up"
    summary = "Guesses that a text repeats itself and checks several tokens at once; same answer, faster where it does."
    group = Group.ADAPTIVE
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = PromptLookupConfig
    exclusive = True
    formats = frozenset({"torch", "genai", "gguf"})

    def apply(self, artifact: Artifact, config: PromptLookupConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Note in the manifest how far to guess; the files are those of ``artifact``."""
        copy_whole(artifact, folder)
        changes = {"lookup_words": config.words, "lookup_guesses": config.guesses}
        return Artifact.write(folder, artifact.manifest.model_copy(update=changes))
