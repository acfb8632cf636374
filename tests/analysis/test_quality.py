"""From scores to metrics of language models, against numbers worked out by hand."""

import numpy as np
import pytest

from engine.analysis.quality import judge, perplexity, perplexity_ratio
from engine.datasets.base import Question, Split
from engine.models.likelihood import IMPOSSIBLE, continuation_score, encode_pair, positions, predictions, score

LABELS = np.asarray([0, 1, 2], dtype=np.int64)
QUESTIONS = [
    Question(context="q", choices=(" aa", " bbbb", " c")),
    Question(context="q", choices=(" aa", " bbbbbbbb")),
    Question(context="q", choices=(" aa", " bb", " cc")),
]


def scores(likelihoods: list[list[float]], greedy: float = 0.0) -> np.ndarray:
    values = np.asarray(likelihoods, dtype=np.float32)
    return np.stack([values, np.full_like(values, greedy)], axis=-1)


def test_choices_are_judged_plainly_and_by_their_length() -> None:
    likelihoods = [[-4, -6, -2.5], [-3, -4, IMPOSSIBLE], [-9, -9, -1]]
    judgement = judge(scores(likelihoods), Split(QUESTIONS, LABELS))
    assert judgement.predictions.tolist() == [2, 0, 2]
    assert judgement.metrics["accuracy"].value == pytest.approx(1 / 3)
    # by characters: -2, -1.5, -2.5 -> 1; -1.5, -0.5 -> 1; the last is right
    assert judgement.metrics["accuracy_norm"].value == pytest.approx(2 / 3)
    assert set(judgement.metrics) == {"accuracy", "accuracy_norm"}


def test_a_last_word_is_right_where_greedy_decoding_says_it() -> None:
    passages = [Question(context="p", choices=(" word",))] * 3
    table = scores([[-1.0], [-2.0], [-6.0]])
    table[0, 0, 1] = 1
    judgement = judge(table, Split(passages, np.ones(3, dtype=np.int64)))
    assert judgement.predictions.tolist() == [1, 0, 0]
    assert judgement.metrics["accuracy"].value == pytest.approx(1 / 3)
    assert judgement.metrics["perplexity"].value == pytest.approx(np.exp(3))


def test_what_is_not_a_number_is_no_answer() -> None:
    table = scores([[-4, np.nan, -2], [-3, -4, -5], [-9, -9, -1]])
    assert predictions(table).tolist() == [-1, 0, 2]
    assert judge(table, Split(QUESTIONS, LABELS)).metrics["accuracy_norm"].value == pytest.approx(2 / 3)
    assert perplexity(np.asarray([-1, np.nan], dtype=np.float32)).value is None


def test_perplexities_are_compared_in_pairs() -> None:
    noise = np.random.default_rng(0).normal(size=(400, 1))
    base = scores((-5 + 2 * noise).tolist())
    worse = scores((-5.1 + 2 * noise + 0.01 * np.random.default_rng(1).normal(size=(400, 1))).tolist())
    ratio = perplexity_ratio(worse, base)
    assert ratio is not None
    assert ratio.value == pytest.approx(np.exp(0.1), rel=0.01)
    assert ratio.ci95 is not None
    assert 1.1 < ratio.ci95[0] < ratio.ci95[1] < 1.11, "far narrower than either perplexity's own interval"
    assert perplexity_ratio(scores([[-1, -2]]), scores([[-1, -2]])) is None


class Letters:
    """One token a character."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) % 32 for letter in text]


def alphabet(sequences: list[np.ndarray]) -> list[np.ndarray]:
    """A model that is sure the next letter of the alphabet follows."""
    return [np.eye(33, dtype=np.float32)[sequence + 1] * 50 for sequence in sequences]


def test_a_continuation_is_scored_token_by_token_behind_its_context() -> None:
    (first, second), one = (
        score(alphabet, Letters(), [Question(context="abc", choices=("de", "dx"))], 100)[0],
        score(alphabet, Letters(), [Question(context="abcdefgh", choices=("ij",))], 3)[0],
    )
    assert first[0] == pytest.approx(0, abs=1e-6)
    assert first[1] == 1
    assert second[0] == pytest.approx(-50)
    assert second[1] == 0
    assert one[0, 1] == 1, "a context that is too long loses its beginning"


def test_ids_are_cut_where_those_of_the_whole_text_are() -> None:
    assert encode_pair(Letters(), "ab", "c") == ([1, 2], [3])
    logits = np.zeros((3, 4), dtype=np.float32)
    logits[1, 2] = np.log(3)
    likelihood, greedy = continuation_score(logits, np.asarray([0, 1, 2]), 2)
    assert (likelihood, greedy) == (pytest.approx(np.log(0.5)), 1.0)


def test_checked_positions_are_so_many_together() -> None:
    made = positions(Letters(), [Question(context="abcdef", choices=("x",))] * 3, 10)
    assert [len(ids) for ids in made] == [6, 4]
