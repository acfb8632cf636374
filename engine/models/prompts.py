"""From a prompt to token ids and back, without loading an ML framework."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import DataError, WeightsError
from engine.models.preprocess import TOKENIZER_FILE

if TYPE_CHECKING:
    from tokenizers import Tokenizer


TEMPLATE_FILE = "chat_template.jinja"


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


def chat(folder: Path, message: str) -> str:
    """Return a person's message in the form the model was trained to answer, by its chat template.

    The template comes with the model, so it is rendered in Jinja's sandbox.

    Raises:
        DataError: if the model has none, or it is damaged.
    """
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    file = folder / TEMPLATE_FILE
    if not file.is_file():
        raise DataError("This model has no chat template. Ask with --raw to let it continue the prompt as it is.")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    messages = [{"role": "user", "content": message}]
    try:
        template = environment.from_string(file.read_text("utf-8"))
        return template.render(messages=messages, add_generation_prompt=True, bos_token="", eos_token="")  # nosec B106
    except Exception as error:  # a template computes, and so can fail in any way
        raise DataError(f"The chat template of this model cannot be used ({error}). Ask with --raw.") from error


def end_tokens(folder: Path) -> frozenset[int]:
    """Return the ids that end a text, as an artifact's configuration names them; empty where it names none."""
    for name in ("genai_config.json", "config.json"):
        if (folder / name).is_file():
            config = json.loads((folder / name).read_text("utf-8"))
            ends = config.get("model", config).get("eos_token_id")
            return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
    return frozenset()
