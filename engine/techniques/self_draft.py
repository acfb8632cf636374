"""Self-speculation: the model with some of its layers drafts tokens that the whole model checks several at once."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from engine.models import depth, gguf_writing
from engine.models.base import Artifact, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_whole

DRAFT_FILE = "draft.gguf"
_CONFIG_FILE = "config.json"


class SelfDraftConfig(TechniqueConfig):
    """Parameters of self-speculation."""

    keep: float = Field(
        default=0.5, gt=0, lt=1, title="Layers kept", description="Share of the layers that draft, evenly spaced"
    )
    guesses: int = Field(
        default=4,
        ge=1,
        le=32,
        title="Guessed",
        description="Tokens that are drafted and then checked in one step",
        json_schema_extra={"unit": "tokens"},
    )


class SelfDraft(ArtifactTechnique[SelfDraftConfig]):
    """Says the same tokens in fewer steps of the whole model; its own weights and scores stay as they are."""

    name = "self-draft"
    title = "Self-speculation"
    summary = "Drafts with a part of its own layers and checks with all; same answer, faster if drafts are often right."
    group = Group.ADAPTIVE
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = SelfDraftConfig
    exclusive = True
    formats = frozenset({"gguf"})

    def apply(self, artifact: Artifact, config: SelfDraftConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Write the drafting layers into a file of their own, in the form they have in the whole model."""
        copy_whole(artifact, folder)
        count = json.loads((artifact.folder / _CONFIG_FILE).read_text("utf-8"))["num_hidden_layers"]
        kept = min(max(1, round(config.keep * count)), count - 1)
        (name,) = artifact.manifest.weights
        gguf_writing.keep_layers(artifact.folder / name, folder / DRAFT_FILE, depth.evenly_spaced(count, kept))
        context.note(f"{kept} of {count} layers draft")
        changes = {"weights": (name, DRAFT_FILE), "draft_guesses": config.guesses, "draft_layers": kept}
        return Artifact.write(folder, artifact.manifest.model_copy(update=changes))
