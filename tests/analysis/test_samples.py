import numpy as np

from engine.analysis.samples import MOST_SHOWN, NO_ANSWER, shown_samples
from engine.datasets.base import Dataset, Split
from engine.spec import Task

LABELS = np.array([0, 1, 1])


def dataset(samples: list[str] | np.ndarray) -> Dataset:
    split = Split(samples, LABELS)
    return Dataset("mine", Task.TEXT_CLASSIFICATION, ("bad", "good"), split, split, split, "hash")


def test_a_text_comes_with_its_class_and_every_answer() -> None:
    (shown,) = shown_samples(dataset(["a", "b", "c"]), "test", LABELS, {"run 1": LABELS, "run 2": 1 - LABELS}, [2])
    assert (shown.position, shown.text, shown.image, shown.label) == (2, "c", None, "good")
    assert shown.answers == {"run 1": "good", "run 2": "bad"}


def test_an_image_comes_as_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    (shown,) = shown_samples(dataset(pixels), "test", LABELS, {}, [1])
    assert shown.text is None
    np.testing.assert_array_equal(shown.image, pixels[1])


def test_no_answer_is_said() -> None:
    (shown,) = shown_samples(dataset(["a", "b", "c"]), "test", LABELS, {"x": np.array([-1, 0, 0])}, [0])
    assert shown.answers == {"x": NO_ANSWER}


def test_another_version_of_the_data_shows_nothing() -> None:
    assert shown_samples(dataset(["a", "b", "c"]), "test", 1 - LABELS, {}, [0]) == []
    assert shown_samples(dataset(["a", "b", "c"]), "test", LABELS[:2], {}, [0]) == []


def test_no_more_are_shown_than_can_be_read() -> None:
    labels = np.zeros(100, dtype=np.int64)
    split = Split(["x"] * 100, labels)
    many = Dataset("mine", Task.TEXT_CLASSIFICATION, ("bad",), split, split, split, "hash")
    assert len(shown_samples(many, "test", labels, {}, range(100))) == MOST_SHOWN
