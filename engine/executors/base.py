"""The seam between the service and wherever workers run.

An executor starts a worker for a job and never blocks its caller. What happens to a worker is news; whoever has news
rings the job's :class:`Bell`, so that the service can sleep until there is some. A worker command is always the same,
``python -m engine.worker SPEC.json RESULT.json``; its duties:

* read ``SPEC.json`` (an ``ExperimentSpec``);
* write a ``WorkerEvent`` as one JSON line on stdout when a stage begins, moves on or ends, and none while it times;
* leave ``raw.npz`` beside the result first, then a ``WorkerOutcome`` in ``RESULT.json``, each renamed into place;
* exit with 0 when there is a result, with 1 when there is an error in it;
* stay in its process group with all its children, and end the group when it reads the end of stdin: that is how it
  learns that its engine was killed.
"""

import contextlib
import queue
from dataclasses import dataclass
from typing import Protocol

from engine.results import Failure, RawData, RunResult, WorkerEvent
from engine.spec import ExperimentSpec


class Bell:
    """Wakes one sleeper; may be rung from any thread and from a signal handler.

    Built on ``SimpleQueue`` because its ``put`` is reentrant; ``threading.Event.set`` can deadlock when a signal
    arrives while the same thread enters ``wait``.
    """

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """Wake the sleeper, or spare it its next sleep."""
        self._rings.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the bell rings, at most that long; tell whether it rang."""
        try:
            self._rings.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return False
        with contextlib.suppress(queue.Empty):
            while True:
                self._rings.get_nowait()
        return True


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at one run."""

    run_id: int
    attempt: int
    spec: ExperimentSpec


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended: with a result, or with a failure.

    ``died`` tells a worker that ended without a word, which is worth another attempt, from a run that failed.
    """

    result: RunResult | None = None
    raw: RawData | None = None
    failure: Failure | None = None
    died: bool = False


class Handle(Protocol):
    """A worker that was started. No method blocks."""

    def events(self) -> list[WorkerEvent]:
        """Return the events since the last call, the oldest first."""
        ...

    def poll(self) -> Ending | None:
        """Return how the worker ended, or ``None`` while it lives; all its processes are gone by then."""
        ...

    def cancel(self) -> None:
        """Begin to stop the worker and all its children; :meth:`poll` tells when they are gone."""
        ...


class Executor(Protocol):
    """A place where workers run."""

    @property
    def slots(self) -> int:
        """How many workers may run at once."""
        ...

    def submit(self, job: Job, bell: Bell) -> Handle:
        """Start a worker; ``bell`` rings at every event and at the end.

        Raises:
            WorkerDiedError: if it could not be started.
        """
        ...
