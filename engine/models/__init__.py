"""What models can be chosen, and how each family is made, fed, shrunk and exported."""

from pathlib import Path

from engine.errors import UnknownNameError
from engine.models.base import ModelFamily
from engine.models.catalog import CATALOG, FolderSource, HubSource, ModelEntry
from engine.models.encoder import EncoderFamily
from engine.models.vision import VisionFamily
from engine.registry import Registry
from engine.spec import Task

FAMILIES: Registry[ModelFamily] = Registry("model family")
FAMILIES.add(VisionFamily())
FAMILIES.add(EncoderFamily())

MODELS: Registry[ModelEntry] = Registry("model")
for _entry in CATALOG:
    MODELS.add(_entry)


def find_model(reference: str) -> ModelEntry:
    """Return the catalog entry of that name, or one made up for a local folder or a hub id.

    Raises:
        UnknownNameError: if it is none of the three.
    """
    if reference in MODELS:
        return MODELS.get(reference)
    folder = Path(reference)
    if reference and folder.is_dir():
        return _own_model(reference, FolderSource(path=str(folder)))
    if reference.count("/") == 1 and not reference.startswith((".", "/", "~")):
        repository, _, revision = reference.partition("@")
        return _own_model(reference, HubSource(repository=repository, revision=revision or "main"))
    raise UnknownNameError("model", reference, MODELS.names())


def _own_model(reference: str, source: FolderSource | HubSource) -> ModelEntry:
    """Describe a person's own model; its task's family is the one that reads Hugging Face folders."""
    return ModelEntry(
        name=reference,
        title=Path(reference).name,
        summary="Your own model.",
        task=Task.TEXT_CLASSIFICATION,
        family="encoder",
        sources=(source,),
    )
