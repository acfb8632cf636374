"""Finding a model: a catalog name, a folder, a hub id, or a sentence."""

from pathlib import Path

import pytest

from engine.errors import UnknownNameError
from engine.models import MODELS, find_model
from engine.models.catalog import FolderSource, HubSource
from engine.spec import Task


@pytest.mark.parametrize("name", MODELS.names())
def test_a_catalog_name(name: str) -> None:
    assert find_model(name) is MODELS.get(name)


def test_a_folder(tmp_path: Path) -> None:
    entry = find_model(str(tmp_path))
    assert entry.sources == (FolderSource(path=str(tmp_path)),)
    assert (entry.task, entry.title) == (Task.TEXT_CLASSIFICATION, tmp_path.name)


@pytest.mark.parametrize(
    ("reference", "source"),
    [
        ("who/what", HubSource(repository="who/what", revision="main")),
        ("who/what@abc", HubSource(repository="who/what", revision="abc")),
    ],
)
def test_a_hub_id(reference: str, source: HubSource) -> None:
    assert find_model(reference).sources == (source,)


@pytest.mark.parametrize("reference", ["fashion-mpl", "./gone/away", "/gone", "a/b/c", "~/gone", ""])
def test_anything_else_is_unknown(reference: str) -> None:
    with pytest.raises(UnknownNameError, match="There is no model"):
        find_model(reference)


def test_a_close_name_is_offered() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'fashion-mlp'"):
        find_model("fashion-mpl")
