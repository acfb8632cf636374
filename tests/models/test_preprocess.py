"""From raw samples to arrays."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import WeightsError
from engine.models.preprocess import PreprocessSpec, load_preprocessor
from tests import tiny


def text_arrays(folder: Path, *texts: str, **spec: object) -> dict[str, np.ndarray]:
    tiny.encoder_folder(folder)
    return load_preprocessor(PreprocessSpec(kind="text", **spec), folder)(texts)


def test_texts_are_padded_to_the_longest_of_the_batch(tmp_path: Path) -> None:
    arrays = text_arrays(tmp_path, "good film", "a", pad_id=9)
    assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), ((2, 4), np.dtype(np.int64))
    )
    np.testing.assert_array_equal(arrays["attention_mask"], [[1, 1, 1, 1], [1, 1, 1, 0]])
    assert arrays["input_ids"][1, 3] == 9
    assert not arrays["token_type_ids"].any()


def test_long_texts_are_cut_and_keep_their_last_mark(tmp_path: Path) -> None:
    ids = text_arrays(tmp_path, "good " * 50, max_length=6)["input_ids"]
    assert ids.shape == (1, 6)
    assert (ids[0, 0], ids[0, -1]) == (2, 3)


def test_models_without_segments_get_none(tmp_path: Path) -> None:
    assert text_arrays(tmp_path, "good", token_type_ids=False).keys() == {"input_ids", "attention_mask"}


def test_an_empty_text_is_a_text(tmp_path: Path) -> None:
    np.testing.assert_array_equal(text_arrays(tmp_path, "")["input_ids"], [[2, 3]])


def test_a_missing_or_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    spec = PreprocessSpec(kind="text")
    with pytest.raises(WeightsError, match="tokenizer of this model cannot be read"):
        load_preprocessor(spec, tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match="tokenizer of this model cannot be read"):
        load_preprocessor(spec, tmp_path)


def test_images_are_scaled_and_normalised(tmp_path: Path) -> None:
    images = np.array([[[0, 255], [51, 102]]], dtype=np.uint8)
    image = load_preprocessor(PreprocessSpec(kind="image", mean=0.2, std=0.4), tmp_path)(images)["image"]
    assert (image.shape, image.dtype) == ((1, 1, 2, 2), np.float32)
    np.testing.assert_allclose(image[0, 0], [[-0.5, 2.0], [0.0, 0.5]], atol=1e-6)
