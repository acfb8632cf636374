"""What models can be chosen, and how each family is made, fed, shrunk and exported."""

from pathlib import Path

from engine.errors import UnknownNameError
from engine.models.base import ModelFamily
from engine.models.catalog import CATALOG, FolderSource, HubSource, ModelEntry
from engine.models.causal_lm import CausalLMFamily
from engine.models.encoder import EncoderFamily
from engine.models.vision import VisionFamily
from engine.registry import Registry
from engine.spec import Task

FAMILIES: Registry[ModelFamily] = Registry("model family")
FAMILIES.add(VisionFamily())
FAMILIES.add(EncoderFamily())
FAMILIES.add(CausalLMFamily())

MODELS: Registry[ModelEntry] = Registry("model")
for _entry in CATALOG:
    MODELS.add(_entry)


_OWN = {Task.TEXT_CLASSIFICATION: "encoder", Task.TEXT_GENERATION: "causal-lm"}
"""Families that read Hugging Face folders, by task."""


def find_model(reference: str, task: Task | None = None) -> ModelEntry:
    """Return the catalog entry of that name, or one made up for a local folder or a hub id.

    Args:
        reference: what a person calls the model.
        task: what it is for, where it is known; a folder tells by its configuration, a hub id cannot.

    Raises:
        UnknownNameError: if it is none of the three.
    """
    if reference in MODELS:
        return MODELS.get(reference)
    folder = Path(reference)
    if reference and folder.is_dir():
        return _own_model(reference, FolderSource(path=str(folder)), task or _task_of(folder))
    if reference.count("/") == 1 and not reference.startswith((".", "/", "~")):
        repository, _, revision = reference.partition("@")
        hub = HubSource(repository=repository, revision=revision or "main")
        return _own_model(reference, hub, task or Task.TEXT_CLASSIFICATION)
    raise UnknownNameError("model", reference, MODELS.names())


def _task_of(folder: Path) -> Task:
    """Tell a language model by its configuration, or by being a GGUF."""
    config = folder / "config.json"
    text = config.read_text("utf-8", errors="replace") if config.is_file() else ""
    generates = "ForCausalLM" in text or "LMHeadModel" in text or any(folder.glob("*.gguf"))
    return Task.TEXT_GENERATION if generates else Task.TEXT_CLASSIFICATION


def _own_model(reference: str, source: FolderSource | HubSource, task: Task) -> ModelEntry:
    """Describe a person's own model; its task's family is the one that reads Hugging Face folders."""
    return ModelEntry(
        name=reference,
        title=Path(reference).name,
        summary="Your own model.",
        task=task,
        family=_OWN.get(task, "encoder"),
        sources=(source,),
    )
