"""What every store must do with questions to models: keep them in order, give each to one engine, forget them."""

import pytest

from engine.errors import ContradictionError, InvalidValueError, UnknownNameError
from engine.spec import Task
from engine.store.questions import MOST_WAITING, Question, QuestionStatus, Said
from engine.store.store import Store
from tests.contracts.test_store_notes import add
from tests.fakes import MACHINE, FakeClock

SAID = {"baseline": Said("The sky", 2, 0.5), "variant": Said("The sky is", 3, 0.1, ended=True)}


@pytest.fixture
def run_id(store: Store) -> int:
    return add(store, 0, task=Task.TEXT_GENERATION)


def found(store: Store, question_id: int) -> Question:
    question = store.question(question_id)
    assert question is not None
    return question


def test_a_question_is_given_to_one_engine_with_what_it_is_about(store: Store, run_id: int) -> None:
    first, second = store.ask(run_id, "Why?", 32), store.ask(run_id, "When?")
    claimed = store.claim_question("a")
    assert claimed is not None
    question, spec = claimed
    assert (question.id, question.prompt, question.new_tokens, question.status) == (first, "Why?", 32, "answering")
    assert spec == store.run(run_id).spec
    again = store.claim_question("b")
    assert again is not None
    assert again[0].id == second
    assert store.claim_question("a") is None


def test_answers_are_written_by_who_has_the_question_only(store: Store, run_id: int) -> None:
    question_id = store.ask(run_id, "Why?")
    store.claim_question("a")
    assert store.answer(question_id, "a", SAID)
    assert found(store, question_id).said == SAID
    assert found(store, question_id).said["baseline"].tokens_per_s == pytest.approx(4)
    assert not store.answer(question_id, "b", {})
    assert store.answer(question_id, "a", SAID, QuestionStatus.FAILED, "It fell over.")
    assert found(store, question_id).error == "It fell over."
    assert not store.answer(question_id, "a", {}), "an end is an end"


def test_a_question_can_be_withdrawn_until_it_was_answered(store: Store, run_id: int) -> None:
    waiting, under_way = store.ask(run_id, "One?"), store.ask(run_id, "Two?")
    store.withdraw(waiting)
    claimed = store.claim_question("a")
    assert claimed is not None
    assert claimed[0].id == under_way
    store.withdraw(under_way)
    assert not store.answer(under_way, "a", SAID)
    assert found(store, under_way).status is QuestionStatus.WITHDRAWN


def test_what_a_dead_engine_left_waits_again(store: Store, run_id: int, clock: FakeClock) -> None:
    question_id = store.ask(run_id, "Why?")
    store.beat("a", MACHINE, 1)
    store.claim_question("a")
    store.answer(question_id, "a", SAID)
    store.recover_questions(30)
    assert found(store, question_id).status is QuestionStatus.ANSWERING
    clock.advance(31)
    store.recover_questions(30)
    assert found(store, question_id).status is QuestionStatus.WAITING
    assert found(store, question_id).said == {}


def test_questions_are_forgotten_after_an_hour_and_with_their_run(store: Store, run_id: int, clock: FakeClock) -> None:
    old = store.ask(run_id, "Why?")
    clock.advance(3601)
    new = store.ask(run_id, "Why?")
    assert store.question(old) is None
    assert store.question(new) is not None
    store.delete_runs([run_id])
    assert store.question(new) is None


def test_what_cannot_be_asked_is_refused_with_a_sentence(store: Store, run_id: int) -> None:
    with pytest.raises(UnknownNameError, match="999"):
        store.ask(999, "Why?")
    with pytest.raises(ContradictionError, match="queued; only a finished model"):
        store.ask(add(store, 1, done=False, task=Task.TEXT_GENERATION), "Why?")
    with pytest.raises(InvalidValueError, match="only a language model"):
        store.ask(add(store, 2), "Why?")
    with pytest.raises(InvalidValueError, match="1 to 20,000 characters"):
        store.ask(run_id, "  ")
    with pytest.raises(InvalidValueError, match="1 to 512 tokens"):
        store.ask(run_id, "Why?", 513)
    for _ in range(MOST_WAITING):
        store.ask(run_id, "Why?")
    with pytest.raises(ContradictionError, match="20 questions wait already"):
        store.ask(run_id, "Why?")
