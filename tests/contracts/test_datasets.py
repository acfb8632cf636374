"""What every data set must hold: three labelled splits that share nothing, and a licence."""

from functools import cache

import numpy as np
import pytest

from engine.datasets import DATASETS, load_dataset
from engine.datasets.base import Dataset, DatasetEntry, Question
from engine.datasets.files import packaged_file
from engine.spec import Task

pytestmark = pytest.mark.parametrize("entry", DATASETS, ids=lambda entry: entry.name)
SPLITS = ("train", "validation", "test")


@cache
def loaded(name: str) -> Dataset:
    return DATASETS.get(name).load()


def keys(dataset: Dataset, split: str) -> list[object]:
    """Return the samples in a form that can stand in a set."""
    samples = dataset.split(split).samples
    return [sample.tobytes() if isinstance(sample, np.ndarray) else sample for sample in samples]


def choices_of(dataset: Dataset, split: str) -> set[int]:
    """Return how many continuations the questions of a split have."""
    samples = dataset.split(split).samples
    return {len(sample.choices) for sample in samples if isinstance(sample, Question)}


def test_it_is_declared(entry: DatasetEntry) -> None:
    assert entry.title
    assert entry.summary.endswith(".")
    assert entry.licence
    assert isinstance(entry.task, Task)
    assert entry.title.partition(" ")[0].lower()[:5] in packaged_file("LICENCES.md").read_text("utf-8").lower()


def test_what_is_loaded_carries_the_entry_s_name_and_task(entry: DatasetEntry) -> None:
    dataset = loaded(entry.name)
    assert (dataset.name, dataset.task) == (entry.name, entry.task)
    assert len(dataset.content_hash) == 64
    assert len(set(dataset.classes)) == len(dataset.classes) >= 2


def test_the_summary_counts_rightly(entry: DatasetEntry) -> None:
    dataset = loaded(entry.name)
    for split in SPLITS:
        assert f"{len(dataset.split(split)):,} {split}" in entry.summary


def test_every_split_has_every_class_and_no_other(entry: DatasetEntry) -> None:
    dataset = loaded(entry.name)
    for split in SPLITS:
        part = dataset.split(split)
        assert part.labels.dtype == np.int64
        assert len(part.samples) == len(part.labels) == len(part)
        if choices_of(dataset, split) == {1}:
            assert (part.labels == 1).all(), "the only continuation is the right one"
            continue
        if entry.task is Task.TEXT_GENERATION:
            assert all(0 <= label < len(q.choices) for q, label in zip(part.samples, part.labels, strict=True))
            continue
        np.testing.assert_array_equal(np.unique(part.labels), np.arange(len(dataset.classes)))
        shares = np.bincount(part.labels) / len(part)
        assert shares.min() > 0.3 / len(dataset.classes)


def test_no_sample_is_in_two_splits(entry: DatasetEntry) -> None:
    dataset = loaded(entry.name)
    parts = {split: set(keys(dataset, split)) for split in SPLITS}
    assert not parts["train"] & parts["test"]
    assert not parts["train"] & parts["validation"]
    assert not parts["validation"] & parts["test"]


def test_samples_are_of_the_task_s_kind(entry: DatasetEntry) -> None:
    samples = loaded(entry.name).train.samples
    if entry.task is Task.IMAGE_CLASSIFICATION:
        assert isinstance(samples, np.ndarray)
        assert (samples.dtype, samples.shape[1:]) == (np.uint8, (28, 28))
    elif entry.task is Task.TEXT_GENERATION:
        assert all(isinstance(sample, Question) for sample in samples)
        assert all(choice.startswith(" ") and choice.strip() for sample in samples for choice in sample.choices)
        assert not [sample for sample in samples if sample.context != sample.context.rstrip()]
    else:
        assert all(isinstance(text, str) and text.strip() for text in samples)


def test_fewer_samples_are_drawn_alike_every_time(entry: DatasetEntry) -> None:
    one, two = (load_dataset(f"{entry.name}:samples=30") for _ in range(2))
    assert (len(one.test), len(one.validation), len(one.train)) == (30, 10, len(loaded(entry.name).train))
    assert keys(one, "test") == keys(two, "test")
    assert one.content_hash == two.content_hash != load_dataset(f"{entry.name}:samples=31").content_hash
    assert set(keys(one, "test")) <= set(keys(loaded(entry.name), "test"))
