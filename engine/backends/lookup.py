"""Speculative decoding by prompt look-up: what followed the same words before is guessed, and checked in one step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Generator
from engine.models.base import Artifact


class Steps(Protocol):
    """A language model whose cache can be filled by several tokens at once, and emptied from its end."""

    def begin(self, ids: NDArray[np.int64], room: int) -> int:
        """Read a prompt, with room for so many tokens more; return the most likely next one."""

    def extend(self, tokens: Sequence[int]) -> list[int]:
        """Read these tokens; return the most likely next one after each of them."""

    def forget(self, tokens: int) -> None:
        """Drop so many tokens from the end."""


class SteppingGenerator(Generator, Steps, Protocol):
    """A generator that can do both."""


class LookupGenerator:
    """Greedy decoding that says the same tokens in fewer steps (Saxena 2023, prompt lookup decoding).

    Args:
        inner: the model.
        words: longest run of tokens that is looked up; shorter ones follow where it is not found.
        guesses: tokens that are guessed at once.
    """

    def __init__(self, inner: SteppingGenerator, words: int, guesses: int) -> None:
        self._inner, self._words, self._guesses = inner, words, guesses
        self._guessed = self._accepted = 0

    def logits(self, sequences: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """Yield what the model itself says of whole sequences; nothing is guessed there."""
        return self._inner.logits(sequences)

    def stream(self, ids: NDArray[np.int64], count: int) -> Iterator[int]:
        """Yield the most likely next token, ``count`` times; those of one step come together."""
        self._guessed = self._accepted = 0
        text: list[int] = ids.tolist()
        token = self._inner.begin(ids, count + self._guesses)
        left = count
        while True:
            text.append(token)
            left -= 1
            yield token
            if not left:
                return
            guess = look_up(text, self._words, self._guesses)[: left - 1]
            answers = self._inner.extend([token, *guess])
            good = next((place for place, told in enumerate(guess) if answers[place] != told), len(guess))
            if len(guess) > good:
                self._inner.forget(len(guess) - good)
            self._guessed += len(guess)
            self._accepted += good
            text += guess[:good]
            left -= good
            yield from guess[:good]
            token = answers[good]

    def numbers(self) -> dict[str, float]:
        """Return the model's own numbers, and the share of guesses that were right; 0 where nothing was guessed."""
        share = self._accepted / self._guessed if self._guessed else 0.0
        return {**self._inner.numbers(), "acceptance_rate": share}


def look_up(text: Sequence[int], words: int, guesses: int) -> list[int]:
    """Return what followed the last occurrence of the end of ``text`` before it, at most ``guesses`` tokens.

    The longest end of at most ``words`` tokens that occurs earlier is taken; empty if not even one token does.
    """
    values = list(text)
    for length in range(min(words, len(values) - 1), 0, -1):
        end = values[-length:]
        for start in range(len(values) - length - 1, -1, -1):
            if values[start : start + length] == end:
                return values[start + length : start + length + guesses]
    return []


def with_lookup(generator: SteppingGenerator, artifact: Artifact) -> Generator:
    """Return the generator as an artifact's manifest wants it: with guesses, or as it is."""
    manifest = artifact.manifest
    if not manifest.lookup_guesses:
        return generator
    return LookupGenerator(generator, manifest.lookup_words, manifest.lookup_guesses)
