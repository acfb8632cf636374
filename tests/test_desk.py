"""The desk: questions are answered between runs, never beside one, and what is said reaches the store."""

from pathlib import Path

import pytest

from engine import asking
from engine.asking import Inquiry, Reply, WorkerConversation
from engine.executors.base import Bell
from engine.service import Service
from engine.spec import Task
from engine.store.questions import QuestionStatus, Said
from engine.store.store import Store
from tests.contracts.test_store_notes import add
from tests.fakes import MACHINE, FakeClock, FakeExecutor, make_spec


class FakeConversation:
    """Says what the test puts into it."""

    def __init__(self, inquiry: Inquiry, bell: Bell) -> None:
        self.inquiry, self.bell = inquiry, bell
        self.lines: list[Reply] = []
        self.over = self.stopped = False
        self.error: str | None = None

    def replies(self) -> list[Reply]:
        lines, self.lines = self.lines, []
        return lines

    def is_over(self) -> bool:
        return self.over

    def stop(self) -> None:
        self.stopped = True


class Talk:
    """Starts conversations and remembers them."""

    def __init__(self) -> None:
        self.begun: list[FakeConversation] = []

    def __call__(self, inquiry: Inquiry, bell: Bell) -> FakeConversation:
        self.begun.append(FakeConversation(inquiry, bell))
        return self.begun[-1]


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def service(store: Store, executor: FakeExecutor, clock: FakeClock, talk: Talk) -> Service:
    return Service(store, executor, clock, machine_id=MACHINE, converse=talk)


@pytest.fixture
def question_id(store: Store) -> int:
    return store.ask(add(store, 0, task=Task.TEXT_GENERATION), "Why?", 8)


def status(store: Store, question_id: int) -> QuestionStatus:
    question = store.question(question_id)
    assert question is not None
    return question.status


def test_a_question_is_answered_and_written_down(
    store: Store, service: Service, talk: Talk, question_id: int, clock: FakeClock
) -> None:
    service.step()
    (conversation,) = talk.begun
    assert (conversation.inquiry.prompt, conversation.inquiry.new_tokens) == ("Why?", 8)
    assert not service.is_idle
    conversation.lines += [Reply(side="baseline", text="Be", tokens=1, seconds=0.5)]
    clock.advance(1)
    service.step()
    conversation.lines += [
        Reply(side="baseline", text="cause", tokens=2, seconds=1.0),
        Reply(side="baseline", tokens=2, seconds=1.0, ended=True),
        Reply(side="variant", text="So", tokens=1, seconds=0.1, ended=True),
    ]
    conversation.over = True
    service.step()
    question = store.question(question_id)
    assert question is not None
    assert question.status is QuestionStatus.ANSWERED
    assert question.said == {"baseline": Said("Because", 2, 1.0, True), "variant": Said("So", 1, 0.1, True)}
    clock.advance(1)
    service.step()
    assert service.is_idle


def test_no_question_is_answered_beside_a_run_and_no_run_beside_an_answer(
    store: Store, service: Service, executor: FakeExecutor, talk: Talk, clock: FakeClock
) -> None:
    spoken = add(store, 0, task=Task.TEXT_GENERATION)
    store.enqueue([make_spec(1)])
    service.step()
    asked = store.ask(spoken, "Why?")
    clock.advance(2)
    service.step()
    assert not talk.begun
    store.enqueue([make_spec(2)])
    executor.last.end()
    for _ in range(3):
        clock.advance(2)
        service.step()
    assert len(talk.begun) == 1
    assert len(executor.handles) == 1, "the next run waits"
    talk.begun[0].over = True
    for _ in range(3):
        clock.advance(2)
        service.step()
    assert status(store, asked) is QuestionStatus.ANSWERED
    assert len(executor.handles) == 2


def test_a_withdrawn_question_is_not_answered_to_its_end(
    store: Store, service: Service, talk: Talk, question_id: int, clock: FakeClock
) -> None:
    service.step()
    store.withdraw(question_id)
    clock.advance(1)
    service.step()
    assert talk.begun[0].stopped
    clock.advance(1)
    service.step()
    assert service.is_idle


def test_what_goes_wrong_is_kept(
    store: Store, service: Service, talk: Talk, question_id: int, clock: FakeClock
) -> None:
    service.step()
    talk.begun[0].error, talk.begun[0].over = "It fell over.", True
    service.step()
    question = store.question(question_id)
    assert question is not None
    assert (question.status, question.error) == (QuestionStatus.FAILED, "It fell over.")


def test_a_worker_that_cannot_start_fails_the_question_and_stops_nothing(
    store: Store, executor: FakeExecutor, clock: FakeClock, question_id: int
) -> None:
    def refuse(inquiry: Inquiry, bell: Bell) -> FakeConversation:
        raise OSError("no memory for a process")

    service = Service(store, executor, clock, machine_id=MACHINE, converse=refuse)
    service.step()
    question = store.question(question_id)
    assert question is not None
    assert question.status is QuestionStatus.FAILED
    assert "no memory for a process" in (question.error or "")
    store.enqueue([make_spec(3)])
    clock.advance(2)
    service.step()
    assert len(executor.handles) == 1, "the next run begins"


def test_a_service_that_ends_stops_talking_and_the_question_waits_for_the_next(
    store: Store, service: Service, talk: Talk, question_id: int, clock: FakeClock
) -> None:
    service.step()
    service.close()
    assert talk.begun[0].stopped
    store.recover_questions(30)
    assert status(store, question_id) is QuestionStatus.WAITING


def test_a_service_without_a_desk_leaves_questions_alone(
    store: Store, executor: FakeExecutor, clock: FakeClock, question_id: int
) -> None:
    service = Service(store, executor, clock, machine_id=MACHINE)
    service.step()
    assert service.is_idle
    assert status(store, question_id) is QuestionStatus.WAITING


def test_a_worker_that_ends_early_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(asking.sys, "executable", str(broken))
    bell = Bell()
    conversation = WorkerConversation(Inquiry(spec=make_spec(0), prompt="Why?"), bell)
    while not conversation.is_over():
        assert bell.wait(30)
    assert "exit code 3" in (conversation.error or "")
    conversation.stop()
