"""Movie review snippets with binary sentiment, which ship with the package."""

from pathlib import Path

import numpy as np

from engine.datasets.base import Dataset, DatasetEntry
from engine.datasets.files import file_sha256, packaged_file, read_table, split_by_column
from engine.spec import Task


class MovieReviews(DatasetEntry):
    """6,580 train, 1,410 validation and 1,411 test sentences, negative or positive."""

    name = "movie-reviews"
    title = "Movie reviews"
    summary = "Sentences from film reviews, negative or positive; 6,580 train, 1,410 validation, 1,411 test."
    task = Task.TEXT_CLASSIFICATION
    licence = "MIT, Hutto & Gilbert 2014 (VADER); snippets collected by Pang & Lee"

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or packaged_file("movie_reviews.parquet")

    def load(self) -> Dataset:
        """Read the sentences."""
        table = read_table(self._path)
        splits = split_by_column(table["text"].tolist(), table["label"].to_numpy(np.int64), table["split"].to_numpy())
        return Dataset(self.name, self.task, ("negative", "positive"), *splits, content_hash=file_sha256(self._path))
