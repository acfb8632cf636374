"""Questions to language models that a page puts and an engine answers between two runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from engine.errors import ContradictionError, InvalidValueError
from engine.results import Status
from engine.spec import ExperimentSpec, Task
from engine.store.audit import audited
from engine.store.database import touch
from engine.store.part import Part
from engine.store.queue import unknown_run
from engine.store.tables import questions, runs, services

LONGEST_PROMPT = 20_000
MOST_TOKENS = 512
MOST_WAITING = 20
_KEPT = timedelta(hours=1)
"""What was asked is nobody's business for longer than the asker looks at it."""


class QuestionStatus(StrEnum):
    """Where a question stands."""

    WAITING = "waiting"
    ANSWERING = "answering"
    ANSWERED = "answered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (QuestionStatus.WAITING, QuestionStatus.ANSWERING)


@dataclass(frozen=True)
class Said:
    """What one side has said so far."""

    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    """Since it was asked, loading left out."""
    ended: bool = False

    @property
    def tokens_per_s(self) -> float | None:
        """Return tokens a second so far."""
        return self.tokens / self.seconds if self.seconds > 0 else None


@dataclass(frozen=True)
class Question:
    """A prompt and what baseline and variant of a run have said to it."""

    id: int
    run_id: int
    prompt: str
    new_tokens: int
    status: QuestionStatus
    said: Mapping[str, Said] = field(default_factory=dict)
    """By side, ``"baseline"`` and ``"variant"``; a side that was not asked yet is missing."""
    error: str | None = None


class Questions(Part):
    """Prompts of the pages, and the answers an engine writes beside them."""

    @audited("run_id")
    def ask(self, run_id: int, prompt: str, new_tokens: int = 64) -> int:
        """Queue a question and return its id.

        Raises:
            UnknownNameError: if there is no such run.
            ContradictionError: if the run is not finished, or too many questions wait already.
            InvalidValueError: if the prompt is empty or too long, or the run's model does not speak.
        """
        if not prompt.strip() or len(prompt) > LONGEST_PROMPT:
            raise InvalidValueError(f"A prompt has 1 to {LONGEST_PROMPT:,} characters; this one has {len(prompt):,}.")
        if not 1 <= new_tokens <= MOST_TOKENS:
            raise InvalidValueError(f"An answer has 1 to {MOST_TOKENS} tokens, not {new_tokens}.")
        now = self._now()
        waiting = select(func.count()).where(questions.c.status == QuestionStatus.WAITING)
        with self._database.write() as connection:
            row = connection.execute(select(runs.c.status, runs.c.spec).where(runs.c.id == run_id)).one_or_none()
            if row is None:
                raise unknown_run(connection, run_id)
            if row.status is not Status.DONE:
                raise ContradictionError(f"Run {run_id} is {row.status}; only a finished model can be asked.")
            task = ExperimentSpec.model_validate_json(row.spec).task
            if task is not Task.TEXT_GENERATION:
                raise InvalidValueError(f"Run {run_id} is of {task}; only a language model answers in words.")
            connection.execute(delete(questions).where(questions.c.asked_at < now - _KEPT))
            if connection.execute(waiting).scalar_one() >= MOST_WAITING:
                raise ContradictionError(f"{MOST_WAITING} questions wait already. Ask again when some were answered.")
            values = {
                "run_id": run_id,
                "prompt": prompt,
                "new_tokens": new_tokens,
                "status": QuestionStatus.WAITING,
                "asked_at": now,
                "said": "{}",
            }
            touch(connection)
            return int(connection.execute(insert(questions).returning(questions.c.id), values).scalar_one())

    def question(self, question_id: int) -> Question | None:
        """Return a question; ``None`` once it was forgotten."""
        with self._database.read() as connection:
            row = connection.execute(select(questions).where(questions.c.id == question_id)).mappings().one_or_none()
        return None if row is None else _question(row)

    @audited("question_id")
    def withdraw(self, question_id: int) -> None:
        """Take a question back; one that is being answered ends with what was said."""
        open_ones = [status for status in QuestionStatus if not status.is_final]
        statement = (
            update(questions)
            .where(questions.c.id == question_id, questions.c.status.in_(open_ones))
            .values(status=QuestionStatus.WITHDRAWN)
        )
        with self._database.write() as connection:
            connection.execute(statement)

    def claim_question(self, service_id: str) -> tuple[Question, ExperimentSpec] | None:
        """Take the question that waits longest, with the spec of its run; ``None`` when there is none."""
        following = (
            select(questions.c.id)
            .where(questions.c.status == QuestionStatus.WAITING)
            .order_by(questions.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(questions)
            .where(questions.c.id == following.scalar_subquery(), questions.c.status == QuestionStatus.WAITING)
            .values(status=QuestionStatus.ANSWERING, service_id=service_id)
            .returning(questions)
        )
        with self._database.write() as connection:
            row = connection.execute(statement).mappings().one_or_none()
            if row is None:
                return None
            spec = connection.execute(select(runs.c.spec).where(runs.c.id == row["run_id"])).scalar_one()
        return _question(row), ExperimentSpec.model_validate_json(spec)

    def answer(
        self,
        question_id: int,
        service_id: str,
        said: Mapping[str, Said],
        status: QuestionStatus = QuestionStatus.ANSWERING,
        error: str | None = None,
    ) -> bool:
        """Note what was said so far.

        Returns ``False``, and changes nothing, when nobody waits for this service's answer any more.
        """
        document = json.dumps({side: asdict(one) for side, one in said.items()})
        statement = (
            update(questions)
            .where(
                questions.c.id == question_id,
                questions.c.service_id == service_id,
                questions.c.status == QuestionStatus.ANSWERING,
            )
            .values(said=document, status=status, error=error)
        )
        with self._database.write() as connection:
            return connection.execute(statement).rowcount == 1

    def recover_questions(self, stale_after_s: float) -> None:
        """Put questions back whose service gave no sign of life for so long."""
        alive = select(services.c.id).where(services.c.heartbeat_at >= self._now() - timedelta(seconds=stale_after_s))
        orphaned = (questions.c.status == QuestionStatus.ANSWERING) & questions.c.service_id.not_in(alive)
        with self._database.read() as connection:  # asked while runs are timed, and nearly always for nothing
            if connection.execute(select(questions.c.id).where(orphaned).limit(1)).first() is None:
                return
        values = {"status": QuestionStatus.WAITING, "service_id": None, "said": "{}"}
        with self._database.write() as connection:
            connection.execute(update(questions).where(orphaned).values(values))
            touch(connection)


def _question(row: Any) -> Question:
    said = {side: Said(**values) for side, values in json.loads(row["said"]).items()}
    return Question(
        row["id"], row["run_id"], row["prompt"], row["new_tokens"], QuestionStatus(row["status"]), said, row["error"]
    )
