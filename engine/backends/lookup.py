"""Speculative decoding: tokens are guessed cheaply, and the model checks several of them in one step.

Two ways to guess: what followed the same words before (Saxena 2023, prompt lookup decoding), or what a smaller model
says (Leviathan et al. 2023, with greedy decoding, where a guess is right or wrong).
"""

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


class Guesser(Protocol):
    """Says cheaply what may come next."""

    def begin(self, ids: NDArray[np.int64], room: int) -> None:
        """Get ready for a prompt and so many tokens more."""

    def guess(self, text: Sequence[int], most: int) -> list[int]:
        """Return at most so many tokens that may follow ``text``, which goes on from what was guessed for before."""


class LookUp:
    """Guesses what followed the same words before.

    Args:
        words: longest run of tokens that is looked up; shorter ones follow where it is not found.
    """

    def __init__(self, words: int) -> None:
        self._words = words

    def begin(self, ids: NDArray[np.int64], room: int) -> None:
        """Do nothing: the text itself is all there is."""

    def guess(self, text: Sequence[int], most: int) -> list[int]:
        """Look the end of ``text`` up in it."""
        return look_up(text, self._words, most)


class Draft:
    """Guesses what a smaller model would say; its cache follows the text, wrong guesses are taken back."""

    def __init__(self, model: Steps) -> None:
        self._model = model
        self._read: list[int] = []

    def begin(self, ids: NDArray[np.int64], room: int) -> None:
        """Read the prompt."""
        self._model.begin(ids, room)
        self._read = ids.tolist()

    def guess(self, text: Sequence[int], most: int) -> list[int]:
        """Say so many tokens, after reading what was really said since the last time."""
        if most < 1:
            return []
        given = list(text)
        # The last token is read again, if need be, to be told what follows it.
        most_shared = min(len(self._read), len(given) - 1)
        same = next((place for place in range(most_shared) if self._read[place] != given[place]), most_shared)
        if len(self._read) > same:
            self._model.forget(len(self._read) - same)
        guess = [self._model.extend(given[same:])[-1]]
        self._read = given
        while len(guess) < most:
            (token,) = self._model.extend(guess[-1:])
            self._read = [*self._read, guess[-1]]
            guess.append(token)
        return guess


class SpeculativeGenerator:
    """Greedy decoding that says the same tokens in fewer steps.

    Args:
        inner: the model.
        guesser: what guesses.
        guesses: tokens that are guessed at once.
    """

    def __init__(self, inner: SteppingGenerator, guesser: Guesser, guesses: int) -> None:
        self._inner, self._guesser, self._guesses = inner, guesser, guesses
        self._guessed = self._accepted = 0

    def logits(self, sequences: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """Yield what the model itself says of whole sequences; nothing is guessed there."""
        return self._inner.logits(sequences)

    def stream(self, ids: NDArray[np.int64], count: int) -> Iterator[int]:
        """Yield the most likely next token, ``count`` times; those of one step come together."""
        self._guessed = self._accepted = 0
        text: list[int] = ids.tolist()
        room = count + self._guesses
        token = self._inner.begin(ids, room)
        self._guesser.begin(ids, room)
        left = count
        while True:
            text.append(token)
            left -= 1
            yield token
            if not left:
                return
            guess = self._guesser.guess(text, min(self._guesses, left - 1))
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

    def stream_together(self, ids: NDArray[np.int64], count: int) -> Iterator[list[int]]:
        """Answer without guessing: answers of one batch would be right to different lengths."""
        self._guessed = self._accepted = 0
        return self._inner.stream_together(ids, count)

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
    return SpeculativeGenerator(generator, LookUp(manifest.lookup_words), manifest.lookup_guesses)
