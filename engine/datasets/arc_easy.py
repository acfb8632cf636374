"""ARC-Easy: science questions of primary school with a few answers to choose from, which ship with the package."""

from pathlib import Path

import numpy as np

from engine.datasets.base import Dataset, DatasetEntry, Question
from engine.datasets.files import file_sha256, packaged_file, read_table, split_by_column
from engine.spec import Task

LETTERS = ("A", "B", "C", "D", "E")


class ArcEasy(DatasetEntry):
    """2,242 train, 570 validation and 2,376 test questions, put as lm-evaluation-harness puts them."""

    name = "arc-easy"
    title = "ARC-Easy"
    summary = "Science questions with three to five answers; 2,242 train, 570 validation, 2,376 test."
    task = Task.TEXT_GENERATION
    licence = "CC BY-SA 4.0, Clark et al. 2018"
    samples = 300

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or packaged_file("arc_easy.parquet")

    def load(self) -> Dataset:
        """Read the questions."""
        table = read_table(self._path)
        rows = zip(table["question"].tolist(), table["choices"].tolist(), strict=True)
        questions = [
            Question(context=f"Question: {question}\nAnswer:", choices=tuple(f" {choice}" for choice in choices))
            for question, choices in rows
        ]
        splits = split_by_column(questions, table["answer"].to_numpy(np.int64), table["split"].to_numpy())
        return Dataset(self.name, self.task, LETTERS, *splits, content_hash=file_sha256(self._path))
