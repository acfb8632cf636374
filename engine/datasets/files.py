"""Reading tables from disk and cutting them into splits."""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.datasets.base import Split
from engine.errors import DataError

SPLITS = ("train", "validation", "test")
_CHUNK_BYTES = 1 << 20


def packaged_file(name: str) -> Path:
    """Return the path of a data file that ships with the package."""
    return Path(str(resources.files("engine.datasets"))) / "data" / name


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Raises:
        DataError: if it is missing, damaged or of another format.
    """
    if not path.is_file():
        raise DataError(f"There is no file '{path.name}' at '{path.parent}'. Check the path of the data set.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return pd.read_csv(path)
    except (ValueError, OSError) as error:  # parser and Arrow errors are both ValueErrors
        raise DataError(
            f"'{path.name}' cannot be read as a table ({error}). Save it again as CSV or Parquet."
        ) from error
    raise DataError(f"'{path.name}' is neither .csv nor .parquet. Save the data set in one of the two.")


def take(samples: Any, indices: NDArray[np.intp]) -> Any:
    """Return the samples at ``indices``, keeping their kind (list of texts, or array)."""
    return samples[indices] if isinstance(samples, np.ndarray) else [samples[index] for index in indices]


def split_by_column(samples: Any, labels: NDArray[np.int64], column: NDArray[Any]) -> tuple[Split, Split, Split]:
    """Return train, validation and test as a column names them.

    Raises:
        DataError: if a split is empty.
    """
    parts = []
    for name in SPLITS:
        indices = np.flatnonzero(column == name)
        if not len(indices):
            raise DataError(f"The data set has no '{name}' rows in its split column; it needs all of {SPLITS}.")
        parts.append(Split(take(samples, indices), labels[indices]))
    return parts[0], parts[1], parts[2]


def split_by_seed(samples: Any, labels: NDArray[np.int64], seed: int) -> tuple[Split, Split, Split]:
    """Return a stratified 70/15/15 split.

    Raises:
        DataError: if a class is too rare to be in all three.
    """
    from sklearn.model_selection import train_test_split

    indices = np.arange(len(labels))
    try:
        train, rest = train_test_split(indices, test_size=0.3, random_state=seed, stratify=labels)
        validation, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=labels[rest])
    except ValueError as error:
        raise DataError(f"The data set cannot be split ({error}). Give every class at least ten rows.") from error
    train, validation, test = (
        Split(take(samples, np.sort(part)), labels[np.sort(part)]) for part in (train, validation, test)
    )
    return train, validation, test
