"""Asking a finished run's model something: a worker process answers, token by token, as one JSON line each."""

import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from engine.errors import MeasurementError, SubsecondError
from engine.executors.base import Bell
from engine.spec import ExperimentSpec, Frozen

SIDES: tuple[Literal["baseline", "variant"], ...] = ("baseline", "variant")


class Inquiry(Frozen):
    """What is put to a run's variant and to its baseline, one after the other."""

    spec: ExperimentSpec
    prompt: str = Field(min_length=1, max_length=100_000)
    new_tokens: int = Field(default=64, ge=1, le=4096)
    raw: bool = False
    """Continue the prompt as it is, without the model's chat template."""


class Reply(Frozen):
    """One line of a worker: what a side has said since the last one, and how long that took since it was asked."""

    side: Literal["baseline", "variant"]
    text: str = ""
    tokens: int = Field(default=0, description="said so far")
    seconds: float = Field(default=0.0, description="since the side was asked, loading left out")
    ended: bool = False
    error: str | None = None

    @property
    def tokens_per_s(self) -> float | None:
        """Return tokens a second so far."""
        return self.tokens / self.seconds if self.seconds > 0 else None


class _Worker:
    """The process that answers one inquiry."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        file = Path(self._scratch.name) / "inquiry.json"
        file.write_text(inquiry.model_dump_json(), "utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.reply", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> Iterator[Reply]:
        """Yield its lines as they come.

        Raises:
            MeasurementError: if it ends before both sides have answered.
        """
        ended = 0
        for line in self._process.stdout or ():
            reply = Reply.model_validate_json(line)
            ended += reply.ended
            yield reply
        if self._process.wait() or ended < len(SIDES):
            raise MeasurementError(
                f"The model's process ended early (exit code {self._process.returncode}). The messages above say why."
            )

    def kill(self) -> None:
        """End the process; whoever reads its lines comes to their end."""
        self._process.kill()
        self._process.wait()

    def clean(self) -> None:
        """Give back what it held."""
        if self._process.stdout:
            self._process.stdout.close()
        self._scratch.cleanup()


def ask(inquiry: Inquiry) -> Iterator[Reply]:
    """Start a worker and yield its lines as they come; leaving the loop ends it.

    Raises:
        MeasurementError: if it ends before both sides have answered.
    """
    worker = _Worker(inquiry)
    try:
        yield from worker.lines()
    finally:
        worker.kill()
        worker.clean()


class WorkerConversation:
    """The same for somebody who must not wait: a thread reads the lines; see :class:`engine.desk.Conversation`."""

    def __init__(self, inquiry: Inquiry, bell: Bell) -> None:
        self._bell = bell
        self._lines: deque[Reply] = deque()
        self._error: str | None = None
        self._worker = _Worker(inquiry)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def replies(self) -> list[Reply]:
        """Return what was said since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def is_over(self) -> bool:
        """Tell whether the worker has ended."""
        return not self._reader.is_alive()

    @property
    def error(self) -> str | None:
        """What went wrong."""
        return self._error

    def stop(self) -> None:
        """Kill the worker."""
        self._worker.kill()
        self._reader.join()
        self._worker.clean()

    def _read(self) -> None:
        try:
            for reply in self._worker.lines():
                self._lines.append(reply)
                self._error = reply.error or self._error
                self._bell.ring()
        except (SubsecondError, ValueError) as error:
            self._error = self._error or str(error)
        finally:
            self._bell.ring()
