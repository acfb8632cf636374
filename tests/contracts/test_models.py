"""What every entry of the model catalog must say."""

import re

import pytest

from engine.datasets import DATASETS
from engine.models import CATALOG, FAMILIES, MODELS
from engine.models.catalog import HubSource, ModelEntry, WheelSource

pytestmark = pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
SHA256 = re.compile(r"[0-9a-f]{64}")
REVISION = re.compile(r"[0-9a-f]{40}")


def test_it_is_explained(entry: ModelEntry) -> None:
    assert entry in CATALOG
    assert entry.title
    assert entry.summary.endswith(".")


def test_family_and_data_fit_its_task(entry: ModelEntry) -> None:
    assert FAMILIES.get(entry.family).task == entry.task
    assert entry.default_dataset is not None
    assert DATASETS.get(entry.default_dataset).task == entry.task


def test_what_is_fetched_is_pinned_and_licensed(entry: ModelEntry) -> None:
    if not entry.sources:
        assert entry.files == {}
        return
    assert [name for name in entry.files if name.endswith((".safetensors", ".gguf"))]
    assert all(SHA256.fullmatch(digest) for digest in entry.files.values())
    assert not [name for name in entry.files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert entry.licence
    for source in entry.sources:
        if isinstance(source, HubSource):
            assert REVISION.fullmatch(source.revision)
        if isinstance(source, WheelSource):
            assert "==" in source.requirement
            assert SHA256.fullmatch(source.sha256)


def test_its_shape_is_known_before_it_is_fetched(entry: ModelEntry) -> None:
    if entry.sources:
        assert entry.layers
        assert entry.heads
    assert FAMILIES.get(entry.family).facts(entry.variant, None).family == entry.family


def test_it_survives_a_round_trip_through_json(entry: ModelEntry) -> None:
    assert ModelEntry.model_validate_json(entry.model_dump_json()) == entry
