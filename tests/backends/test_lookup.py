"""Guessing by look-up: what is found, and that guesses never change what is said."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from engine.backends.lookup import Draft, LookUp, SpeculativeGenerator, look_up


@pytest.mark.parametrize(
    ("text", "words", "guesses", "expected"),
    [
        ([1, 2, 3, 4, 1, 2], 3, 2, [3, 4]),
        ([1, 2, 3, 9, 2, 7, 1, 2], 2, 3, [3, 9, 2]),
        ([1, 2, 3, 9, 2, 7, 5, 2], 2, 1, [7]),
        ([1, 2, 3], 2, 4, []),
        ([1], 3, 4, []),
        ([5, 5], 3, 4, [5]),
    ],
)
def test_what_followed_the_longest_end_is_found(text: list[int], words: int, guesses: int, expected: list[int]) -> None:
    assert look_up(text, words, guesses) == expected


class Counting:
    """A model that counts to nine over and over, and now and then starts anew; keeps what it was given."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.steps = 0

    def following(self, place: int) -> int:
        return 0 if place % 17 == 5 else (self.read[place] + 1) % 10

    def begin(self, ids: np.ndarray, room: int) -> int:
        self.read = ids.tolist()
        return self.following(len(self.read) - 1)

    def extend(self, tokens: Sequence[int]) -> list[int]:
        self.steps += 1
        self.read += tokens
        return [self.following(place) for place in range(len(self.read) - len(tokens), len(self.read))]

    def forget(self, tokens: int) -> None:
        del self.read[-tokens:]

    def logits(self, sequences: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        return iter(sequences)

    def stream(self, ids: np.ndarray, count: int) -> Iterator[int]:
        token = self.begin(ids, count)
        for _ in range(count):
            yield token
            (token,) = self.extend([token])

    def stream_together(self, ids: np.ndarray, count: int) -> Iterator[list[int]]:
        return zip(*(Counting().stream(prompt, count) for prompt in ids), strict=True)

    def numbers(self) -> dict[str, float]:
        return {"kv_cache_bytes": 3.0}


@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_the_same_is_said_in_fewer_steps(count: int) -> None:
    prompt = np.asarray([1, 2, 3])
    plain, guessing = Counting(), Counting()
    generator = SpeculativeGenerator(guessing, LookUp(3), 6)
    assert list(generator.stream(prompt, count)) == list(plain.stream(prompt, count))
    assert guessing.read[: len(prompt)] == prompt.tolist()
    if count == 60:
        assert guessing.steps < 0.6 * plain.steps
        assert 0.5 < generator.numbers()["acceptance_rate"] < 1
    assert generator.numbers()["kv_cache_bytes"] == 3


class Sloppy(Counting):
    """Counts nearly as the other one does."""

    def following(self, place: int) -> int:
        return 7 if place % 5 == 1 else super().following(place)


@pytest.mark.parametrize("guesses", [1, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_a_draft_that_errs_changes_nothing_of_what_is_said(count: int, guesses: int) -> None:
    prompt = np.asarray([1, 2, 3])
    plain, checked, draft = Counting(), Counting(), Sloppy()
    generator = SpeculativeGenerator(checked, Draft(draft), guesses)
    expected = list(plain.stream(prompt, count))
    assert list(generator.stream(prompt, count)) == expected
    assert list(generator.stream(prompt, count)) == expected, "an answer does not remember the one before"
    if count == 60:
        assert checked.steps < 2 * plain.steps
        assert 0 < generator.numbers()["acceptance_rate"] < 1


def test_a_draft_reads_what_was_really_said() -> None:
    draft = Counting()
    guesser = Draft(draft)
    guesser.begin(np.asarray([1, 2]), 20)
    assert guesser.guess([1, 2, 3], 3) == [4, 5, 6]
    assert draft.read == [1, 2, 3, 4, 5]
    assert guesser.guess([1, 2, 3, 8], 2) == [9, 0]
    assert draft.read == [1, 2, 3, 8, 9]
    assert guesser.guess([1, 2, 3, 8, 9], 1) == [0]
    assert guesser.guess([1, 2, 3, 8, 9, 0], 0) == []


def test_several_prompts_are_answered_without_guessing() -> None:
    generator = SpeculativeGenerator(Counting(), LookUp(3), 6)
    prompts = np.asarray([[1, 2, 3], [4, 5, 6]])
    assert list(generator.stream_together(prompts, 2)) == [(4, 7), (5, 8)]
    assert generator.numbers()["acceptance_rate"] == 0
