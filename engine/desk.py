"""Where an engine answers questions to its models: one at a time, and only while no run is under way.

A question costs seconds of both cores, which a timing beside it would suffer from; so it waits for the end of a run,
and the next run waits for the end of the answer.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from engine.asking import Inquiry, Reply
from engine.errors import StoreError
from engine.executors.base import Bell
from engine.store.questions import Question, QuestionStatus, Said
from engine.store.store import Store

_log = logging.getLogger(__name__)

WRITE_EVERY_S = 0.25


class Conversation(Protocol):
    """A worker that answers. No method blocks."""

    def replies(self) -> list[Reply]:
        """Return what it said since the last call."""
        ...

    def is_over(self) -> bool:
        """Tell whether it has ended; what it said before is in :meth:`replies` by then."""
        ...

    @property
    def error(self) -> str | None:
        """What went wrong, in a sentence; ``None`` if nothing did."""
        ...

    def stop(self) -> None:
        """End it now."""
        ...


class Desk:
    """Takes questions from the store and brings the answers back.

    Args:
        store: where questions come from.
        service_id: of the service this desk belongs to.
        clock: seconds that only grow.
        start: starts a worker; ``bell`` rings at every reply and at the end.
        bell: the service's.
    """

    def __init__(
        self,
        store: Store,
        service_id: str,
        clock: Callable[[], float],
        start: Callable[[Inquiry, Bell], Conversation],
        bell: Bell,
    ) -> None:
        self._store, self._service_id, self._clock, self._start, self._bell = store, service_id, clock, start, bell
        self._question: Question | None = None
        self._conversation: Conversation | None = None
        self._said: dict[str, Said] = {}
        self._due = 0.0

    @property
    def is_busy(self) -> bool:
        """Tell whether a question is being answered."""
        return self._question is not None

    def take(self) -> bool:
        """Begin with the question that waits longest; tell whether there was one.

        Raises:
            StoreError: if the store cannot be read.
        """
        claimed = self._store.claim_question(self._service_id)
        if claimed is None:
            return False
        self._question, spec = claimed
        self._said, self._due = {}, 0.0
        inquiry = Inquiry(spec=spec, prompt=self._question.prompt, new_tokens=self._question.new_tokens)
        try:
            self._conversation = self._start(inquiry, self._bell)
        except OSError as error:
            told = f"The model's process could not be started ({error}). Free memory or disk space and ask again."
            question_id, self._question = self._question.id, None  # or no run would ever begin again
            self._store.answer(question_id, self._service_id, {}, QuestionStatus.FAILED, told)
        return True

    def follow(self) -> None:
        """Write down what was said since the last time; a store that is away for a moment is waited for."""
        question, conversation = self._question, self._conversation
        if question is None or conversation is None:
            return
        is_over = conversation.is_over()  # asked before the replies are fetched, so that the last ones are among them
        for reply in conversation.replies():
            self._hear(reply)
        now = self._clock()
        if not is_over and now < self._due:
            return
        self._due = now + WRITE_EVERY_S
        status = QuestionStatus.ANSWERING
        if is_over:
            status = QuestionStatus.FAILED if conversation.error else QuestionStatus.ANSWERED
        try:
            wanted = self._store.answer(question.id, self._service_id, self._said, status, conversation.error)
        except StoreError as error:
            _log.warning("an answer could not be written, trying again: %s", error)
            return
        if is_over or not wanted:
            conversation.stop()
            self._question = self._conversation = None

    def close(self) -> None:
        """Stop answering; the question goes back to the queue once this service counts as gone."""
        if self._conversation is not None:
            self._conversation.stop()
        self._question = self._conversation = None

    def _hear(self, reply: Reply) -> None:
        before = self._said.get(reply.side, Said())
        self._said[reply.side] = replace(
            before,
            text=before.text + reply.text,
            tokens=reply.tokens,
            seconds=reply.seconds,
            ended=reply.ended,
        )
