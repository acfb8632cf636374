"""From a prompt to token ids and back, without loading an ML framework."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import WeightsError
from engine.models.preprocess import TOKENIZER_FILE

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class PromptTokenizer:
    """Token ids of texts as they are: nothing cut, nothing padded, no special tokens added."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special tokens are left out."""
        text: str = self._tokenizer.decode(list(ids))
        return text


def load_tokenizer(folder: Path) -> PromptTokenizer:
    """Return the tokenizer of a model that generates text.

    Raises:
        WeightsError: if it is missing or damaged.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    except Exception as error:  # tokenizers raises bare Exception for every fault
        raise WeightsError(f"The tokenizer of this model cannot be read ({error}). Fetch the model again.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return PromptTokenizer(tokenizer)
