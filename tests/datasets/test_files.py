"""Reading tables and cutting them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from engine.datasets.base import Split
from engine.datasets.files import file_sha256, packaged_file, read_table, split_by_seed, take
from engine.datasets.movie_reviews import MovieReviews
from engine.errors import DataError


def test_the_hash_is_the_file_s(tmp_path: Path) -> None:
    content = b"x" * (3 << 20)
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_samples_keep_their_kind() -> None:
    assert take(["a", "b", "c"], np.array([2, 0])) == ["c", "a"]
    np.testing.assert_array_equal(take(np.arange(6).reshape(3, 2), np.array([2, 0])), [[4, 5], [0, 1]])


def test_every_sample_needs_a_label() -> None:
    with pytest.raises(DataError, match="2 samples have 1 labels"):
        Split(["a", "b"], np.zeros(1, np.int64))


def test_another_seed_cuts_otherwise() -> None:
    samples, labels = [str(row) for row in range(100)], np.arange(100, dtype=np.int64) % 2
    assert split_by_seed(samples, labels, 0)[0].samples != split_by_seed(samples, labels, 1)[0].samples


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.xlsx").touch()
    with pytest.raises(DataError, match=r"neither \.csv nor \.parquet"):
        read_table(tmp_path / "own.xlsx")


def test_a_packaged_file_that_is_damaged_is_told(tmp_path: Path) -> None:
    whole = packaged_file("movie_reviews.parquet").read_bytes()
    (tmp_path / "movie_reviews.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"'movie_reviews\.parquet' cannot be read"):
        MovieReviews(tmp_path / "movie_reviews.parquet").load()
