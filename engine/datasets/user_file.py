"""A person's own CSV or Parquet file: ``FILE.csv:text=COLUMN,label=COLUMN[,split=COLUMN]``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.datasets.base import Dataset
from engine.datasets.files import file_sha256, read_table, split_by_column, split_by_seed
from engine.errors import DataError, InvalidValueError
from engine.spec import Task

_SUFFIXES = (".csv", ".parquet")
_SPLIT_SEED = 0
MAX_CLASSES = 1000


@dataclass(frozen=True)
class UserFile:
    """A file and the columns to take from it."""

    path: Path
    text: str
    label: str
    split: str | None

    @classmethod
    def parse(cls, reference: str) -> "UserFile":
        """Read ``FILE:text=COLUMN,label=COLUMN``.

        Raises:
            InvalidValueError: if a column is missing or unknown, or the file is of another format.
        """
        file, _, columns = reference.rpartition(":")
        given = dict(part.partition("=")[::2] for part in columns.split(",") if part)
        if (
            not file
            or not file.endswith(_SUFFIXES)
            or not {"text", "label"} <= given.keys() <= {"text", "label", "split"}
        ):
            raise InvalidValueError(
                f"'{reference}' does not name a data set. Write FILE.csv:text=COLUMN,label=COLUMN "
                "(or .parquet; split=COLUMN where there is one)."
            )
        return cls(Path(file), given["text"], given["label"], given.get("split"))

    def load(self) -> Dataset:
        """Read the file; string labels become classes in alphabetical order.

        Raises:
            DataError: if a column is missing, or there are fewer than two or too many classes.
        """
        table = read_table(self.path)
        for column in filter(None, (self.text, self.label, self.split)):
            if column not in table.columns:
                raise DataError(f"'{self.path.name}' has no column '{column}'. It has: {', '.join(table.columns)}.")
        table = table.dropna(subset=[self.text, self.label])
        names, labels = np.unique(table[self.label].astype(str).to_numpy(dtype=str), return_inverse=True)
        if not 2 <= len(names) <= MAX_CLASSES:
            raise DataError(
                f"Column '{self.label}' of '{self.path.name}' has {len(names)} classes; 2 to {MAX_CLASSES} can be used."
            )
        texts = table[self.text].astype(str).tolist()
        labels = labels.astype(np.int64)
        if self.split:
            splits = split_by_column(texts, labels, table[self.split].to_numpy())
        else:
            splits = split_by_seed(texts, labels, _SPLIT_SEED)
        return Dataset(
            self.path.name,
            Task.TEXT_CLASSIFICATION,
            tuple(names.tolist()),
            *splits,
            content_hash=file_sha256(self.path),
        )


def is_user_file(reference: str) -> bool:
    """Tell whether a data set reference means a file rather than a catalog name."""
    return any(suffix in reference for suffix in _SUFFIXES)
