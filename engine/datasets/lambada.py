"""LAMBADA: passages whose last word can be guessed from the whole of them only, which ship with the package."""

from pathlib import Path

import numpy as np

from engine.datasets.base import Dataset, DatasetEntry, Question
from engine.datasets.files import file_sha256, packaged_file, read_table, split_by_column
from engine.spec import Task

TRAIN_ROWS = 300
"""The file has no training rows; so many of its validation rows take their place, for calibration."""


class Lambada(DatasetEntry):
    """300 train, 199 validation and 1,000 test passages; the last word is the one continuation of each."""

    name = "lambada"
    title = "LAMBADA"
    summary = "Passages and their last word: perplexity and exact guesses; 300 train, 199 validation, 1,000 test."
    task = Task.TEXT_GENERATION
    licence = "CC BY 4.0, Paperno et al. 2016"
    samples = 300

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or packaged_file("lambada.parquet")

    def load(self) -> Dataset:
        """Read the passages; a label of 1 says that the word is the right one, as it always is."""
        table = read_table(self._path)
        is_test = table["split"] == "test"
        table = table[is_test | ~table["context"].isin(table["context"][is_test])]  # one passage is in both
        passages = [
            Question(context=context.rstrip(), choices=(f" {target}",))
            for context, target in zip(table["context"].tolist(), table["target"].tolist(), strict=True)
        ]
        split = table["split"].to_numpy(dtype=object)
        split[np.flatnonzero(split == "validation")[:TRAIN_ROWS]] = "train"
        splits = split_by_column(passages, np.ones(len(table), dtype=np.int64), split)
        return Dataset(self.name, self.task, ("wrong", "right"), *splits, content_hash=file_sha256(self._path))
