"""A person's own file: any labels, with or without a split column, and a sentence for everything that is wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.datasets import load_dataset
from engine.datasets.user_file import UserFile, is_user_file
from engine.errors import DataError, InvalidValueError, UnknownNameError
from engine.spec import Task
from tests import tiny


def save(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return f"{path}:text=review,label=mood"


def table(count: int = 40) -> pd.DataFrame:
    return pd.DataFrame({"review": [f"text {row}" for row in range(count)], "mood": ["b", "a"] * (count // 2)})


def test_string_labels_become_classes_in_order(tmp_path: Path) -> None:
    dataset = load_dataset(tiny.reviews_reference(tiny.reviews_csv(tmp_path / "own.csv", labels=("sad", "merry"))))
    assert dataset.classes == ("merry", "sad")
    assert (dataset.name, dataset.task) == ("own.csv", Task.TEXT_CLASSIFICATION)
    sad = [text for text, label in zip(dataset.train.samples, dataset.train.labels, strict=True) if label == 1]
    assert all(set(text.split()) & set(tiny.BAD) for text in sad)


def test_without_a_split_column_it_is_cut_70_15_15_the_same_way_each_time(tmp_path: Path) -> None:
    reference = tiny.reviews_reference(tiny.reviews_csv(tmp_path / "own.csv", count=200))
    one, other = load_dataset(reference), load_dataset(reference)
    assert [len(part) for part in (one.train, one.validation, one.test)] == [140, 30, 30]
    assert one.test.samples == other.test.samples
    assert np.bincount(one.test.labels).tolist() == [15, 15]
    parts = [one.train.samples, one.validation.samples, one.test.samples]
    assert sorted(text for part in parts for text in part) == sorted(tiny.texts(200)[0])


def test_its_own_split_column_is_used(tmp_path: Path) -> None:
    path = tiny.reviews_csv(tmp_path / "own.csv", split=True)
    dataset = load_dataset(tiny.reviews_reference(path, split=True))
    given = pd.read_csv(path)
    for name in ("train", "validation", "test"):
        assert dataset.split(name).samples == given[given["part"] == name]["review"].tolist()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("labels", [["b", "a"], [1, 0], [2.5, 1.5], [True, False]])
def test_labels_of_any_kind_in_either_format(tmp_path: Path, suffix: str, labels: list[object]) -> None:
    frame, path = table().assign(mood=labels * 20), tmp_path / f"own{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    dataset = load_dataset(f"{path}:text=review,label=mood")
    assert dataset.classes == tuple(sorted(map(str, labels)))
    assert np.bincount(
        np.concatenate([dataset.train.labels, dataset.validation.labels, dataset.test.labels])
    ).tolist() == [20, 20]


def test_rows_without_text_or_label_are_left_out(tmp_path: Path) -> None:
    frame = table()
    frame.loc[0, "review"] = None
    frame.loc[3, "mood"] = None
    frame.to_csv(tmp_path / "own.csv", index=False)
    dataset = load_dataset(f"{tmp_path / 'own.csv'}:text=review,label=mood")
    assert sum(len(part) for part in (dataset.train, dataset.validation, dataset.test)) == 38
    assert dataset.classes == ("a", "b")


def test_edited_content_has_another_hash(tmp_path: Path) -> None:
    path = tiny.reviews_csv(tmp_path / "own.csv")
    before = load_dataset(tiny.reviews_reference(path)).content_hash
    path.write_text(path.read_text() + "a good film,positive\n")
    assert load_dataset(tiny.reviews_reference(path)).content_hash != before


@pytest.mark.parametrize(
    "reference",
    [
        "own.csv",
        "own.csv:",
        "own.csv:text=review",
        "own.csv:label=mood",
        "own.csv:text=review,label=mood,colour=red",
        "own.txt:text=review,label=mood",
        ".csv:",
    ],
)
def test_a_reference_that_names_no_columns_is_refused_with_the_form(reference: str) -> None:
    with pytest.raises(InvalidValueError, match=r"Write FILE\.csv:text=COLUMN,label=COLUMN"):
        UserFile.parse(reference)


def test_a_path_may_hold_a_colon(tmp_path: Path) -> None:
    file = UserFile.parse("C:/data/own.csv:text=a,label=b,split=c")
    assert (file.text, file.label, file.split) == ("a", "b", "c")
    assert file.path.as_posix().endswith("C:/data/own.csv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("review,feeling\na,b\n", r"'own\.csv' has no column 'mood'\. It has: review, feeling"),
        ("review,mood\n" + "a,same\n" * 30, r"Column 'mood' of 'own\.csv' has 1 classes; 2 to 1000"),
        ("review,mood\n", r"has 0 classes"),
        ("review,mood\na,x\nb,y\n", r"Give every class at least ten rows"),
        ("review,mood\n" + "".join(f"a,{row}\n" for row in range(1001)), r"has 1001 classes; 2 to 1000"),
        ("", r"cannot be read as a table"),
        ('review,mood\n"a,x\n', r"cannot be read as a table|has \d classes"),
    ],
)
def test_a_file_that_cannot_be_used_gets_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        load_dataset(save(tmp_path / "own.csv", text))


def test_a_split_without_rows_is_refused(tmp_path: Path) -> None:
    table().assign(part="train").to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(DataError, match="no 'validation' rows"):
        load_dataset(f"{tmp_path / 'own.csv'}:text=review,label=mood,split=part")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file 'gone\.csv'"):
        load_dataset(f"{tmp_path / 'gone.csv'}:text=review,label=mood")


@pytest.mark.parametrize("name", ["own.csv", "own.parquet"])
def test_bytes_that_are_no_table_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00PAR1 nothing of the kind \x9d" * 10)
    with pytest.raises(DataError):
        load_dataset(f"{tmp_path / name}:text=review,label=mood")


def test_files_and_names_are_told_apart() -> None:
    assert is_user_file("a/b.csv:text=x,label=y")
    assert is_user_file("b.parquet")
    assert not is_user_file("movie-reviews")


def test_an_unknown_name_is_refused_with_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'movie-reviews'"):
        load_dataset("movie-review")
