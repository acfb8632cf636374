"""Asking a finished run's model something: a worker process answers, token by token, as one JSON line each."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from engine.errors import MeasurementError
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


def ask(inquiry: Inquiry) -> Iterator[Reply]:
    """Start a worker and yield its lines as they come; leaving the loop ends it.

    Raises:
        MeasurementError: if it ends before both sides have answered.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "inquiry.json"
        file.write_text(inquiry.model_dump_json(), "utf-8")
        worker = subprocess.Popen(
            [sys.executable, "-m", "engine.reply", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            ended = 0
            for line in worker.stdout or ():
                reply = Reply.model_validate_json(line)
                ended += reply.ended
                yield reply
            if worker.wait() or ended < len(SIDES):
                raise MeasurementError(
                    f"The model's process ended early (exit code {worker.returncode}). The messages above say why."
                )
        finally:
            worker.kill()
            worker.wait()
            if worker.stdout:
                worker.stdout.close()
