"""From a raw sample (a text, an image) to the arrays a model takes, without loading an ML framework."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import WeightsError
from engine.spec import Frozen

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"


class PreprocessSpec(Frozen):
    """How samples become inputs; stored with every artifact."""

    kind: Literal["text", "image"]
    max_length: int = 128
    mean: float = 0.0
    std: float = 1.0
    pad_id: int = 0
    token_type_ids: bool = True
    pad_multiple: int = 1
    """Texts are padded to a multiple of so many tokens, within ``max_length``."""


class Preprocessor(Protocol):
    """Turns a batch of raw samples into named arrays."""

    def __call__(self, samples: Sequence[str] | NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
        """Return arrays whose first axis is the batch."""


class TextPreprocessor:
    """Tokenizes, truncates to ``max_length`` and pads to the longest text of the batch."""

    def __init__(self, tokenizer: Tokenizer, spec: PreprocessSpec) -> None:
        self._tokenizer, self._spec = tokenizer, spec

    def __call__(self, samples: Sequence[str] | NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
        """Return ``input_ids``, ``attention_mask`` and ``token_type_ids``, each ``(batch, seq)`` int64."""
        encodings = self._tokenizer.encode_batch_fast([str(text) for text in samples])
        longest = max(len(encoding.ids) for encoding in encodings)
        multiple = self._spec.pad_multiple
        shape = (len(encodings), max(longest, min(-(-longest // multiple) * multiple, self._spec.max_length)))
        input_ids = np.full(shape, self._spec.pad_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, encoding in enumerate(encodings):
            input_ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        arrays: dict[str, NDArray[np.generic]] = {"input_ids": input_ids, "attention_mask": mask}
        if self._spec.token_type_ids:
            arrays["token_type_ids"] = np.zeros(shape, dtype=np.int64)
        return arrays


class ImagePreprocessor:
    """Scales bytes to [0, 1] and normalises with the training set's mean and standard deviation."""

    def __init__(self, spec: PreprocessSpec) -> None:
        self._spec = spec

    def __call__(self, samples: Sequence[str] | NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
        """Return ``image``, ``(batch, 1, height, width)`` float32."""
        pixels = np.asarray(samples, dtype=np.float32) / np.float32(255)
        return {"image": ((pixels - np.float32(self._spec.mean)) / np.float32(self._spec.std))[:, None]}


def load_preprocessor(spec: PreprocessSpec, folder: Path) -> Preprocessor:
    """Return the preprocessor of an artifact.

    Raises:
        WeightsError: if the tokenizer is missing or damaged.
    """
    if spec.kind == "image":
        return ImagePreprocessor(spec)
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_FILE
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception for every fault
        raise WeightsError(f"The tokenizer of this model cannot be read ({error}). Fetch the model again.") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(spec.max_length)
    return TextPreprocessor(tokenizer, spec)
