"""The contract of the store: the queue and the record, and nothing else between dashboard and engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.results import (
    Context,
    Failure,
    MachineRecord,
    Metric,
    RawData,
    RunRecord,
    RunResult,
    ServiceRecord,
    Status,
    WorkerEvent,
)
from engine.spec import ExperimentSpec


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One row of a table or plot: cheap to read by the thousand, no result document is parsed."""

    id: int
    fingerprint: str
    study: str | None
    status: Status
    task: str
    model: str
    dataset: str
    techniques: str
    """Labels joined by ``" + "``, empty for none."""
    backend: str
    effort: str
    context_key: str | None
    machine: str | None
    created_at: datetime
    finished_at: datetime | None
    warnings: tuple[str, ...]
    """Warning codes."""
    metrics: dict[str, Metric]


class Store:
    """Everything that is remembered, behind plain methods; frozen records cross the boundary, never rows.

    Who owns a run: a queued run belongs to nobody and anyone may cancel it. A running one belongs to the service that
    claimed it; only that service records events and the end, and others may only ask for its cancellation. A finished
    run is immutable for everybody. A run whose service gave no sign of life is taken back by :meth:`recover`.

    Every method opens and closes its own session, so one store may be shared by threads.
    """

    def __init__(self, path_or_url: str | Path, *, migrate: bool = True) -> None:
        """Open the database, creating and migrating it where needed.

        Args:
            path_or_url: a file, or any SQLAlchemy URL (``postgresql+psycopg://...``).
            migrate: bring an older schema up to date; ``False`` only reads and refuses an older schema.

        Raises:
            SchemaError: if a newer release wrote it, or it is not a Subsecond database.
            ReadOnlyError: if it would have to be written and cannot be.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release all connections."""
        raise NotImplementedError

    # The queue

    def enqueue(self, specs: Sequence[ExperimentSpec], study: str | None = None, *, priority: int = 0) -> list[int]:
        """Append runs in the given order and return their ids; higher priority is claimed first."""
        raise NotImplementedError

    def claim(self, service_id: str, only: Sequence[int] | None = None) -> RunRecord | None:
        """Take the next queued run, atomically (one ``UPDATE ... RETURNING``); ``None`` when there is none.

        Increments ``attempt``. ``only`` restricts the choice to these ids.
        """
        raise NotImplementedError

    def record_event(self, run_id: int, service_id: str, event: WorkerEvent) -> None:
        """Note where a running run stands; ignored when the run is not this service's any more."""
        raise NotImplementedError

    def finish(self, run_id: int, service_id: str, result: RunResult, raw: RawData | None) -> bool:
        """Store result, metrics, context and raw arrays in one transaction and set ``done``.

        Returns ``False``, and changes nothing, when the run is not running under this service any more.
        """
        raise NotImplementedError

    def fail(self, run_id: int, service_id: str, failure: Failure) -> bool:
        """Set ``failed`` with its evidence; returns as :meth:`finish`."""
        raise NotImplementedError

    def mark_cancelled(self, run_id: int, service_id: str) -> bool:
        """Set ``cancelled`` after the worker of a running run was stopped; returns as :meth:`finish`."""
        raise NotImplementedError

    def release(self, run_id: int, service_id: str) -> bool:
        """Put a running run back into the queue (its service stops in an orderly way); the attempt is not counted."""
        raise NotImplementedError

    def request_cancel(self, run_id: int) -> Status:
        """Cancel a queued run at once, ask for the end of a running one; return the status after the call.

        Raises:
            UnknownNameError: if there is no such run.
            ContradictionError: if the run has ended already.
        """
        raise NotImplementedError

    def cancel_requested(self, run_id: int) -> bool:
        """Tell whether someone asked for the end of this run."""
        raise NotImplementedError

    def retry(self, run_id: int) -> int:
        """Queue the same spec again as a new run (same study) and return its id.

        Raises:
            UnknownNameError: if there is no such run.
            ContradictionError: if the run has not ended yet.
        """
        raise NotImplementedError

    def recover(self, stale_after_s: float, max_attempts: int = 2) -> list[int]:
        """Take back running runs whose service's heartbeat is older than that; return their ids.

        A run goes back to the queue once; after ``max_attempts`` it fails with what is known.
        """
        raise NotImplementedError

    # Signs of life

    def beat(self, service_id: str, machine: str, pid: int) -> None:
        """Note that a service is alive now."""
        raise NotImplementedError

    def retire(self, service_id: str) -> None:
        """Forget a service that ends in an orderly way."""
        raise NotImplementedError

    def services(self, alive_within_s: float | None = None) -> list[ServiceRecord]:
        """Return known services, only those that beat within that time if given."""
        raise NotImplementedError

    def describe_machine(self, machine: MachineRecord) -> None:
        """Store what a machine is and can do, replacing its earlier description."""
        raise NotImplementedError

    def machines(self) -> list[MachineRecord]:
        """Return all machines, the last seen first."""
        raise NotImplementedError

    # The record

    def run(self, run_id: int) -> RunRecord:
        """Return one run, whole.

        Raises:
            UnknownNameError: if there is no such run.
        """
        raise NotImplementedError

    def runs(
        self,
        *,
        status: Sequence[Status] | None = None,
        study: str | None = None,
        ids: Sequence[int] | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return runs, the newest first, without parsing more than asked for."""
        raise NotImplementedError

    def summaries(self, *, status: Sequence[Status] | None = None, context_key: str | None = None) -> list[RunSummary]:
        """Return light rows for tables and plots, the oldest first, in a fixed small number of queries."""
        raise NotImplementedError

    def contexts(self) -> list[tuple[Context, int]]:
        """Return every context with its number of finished runs, the one with the newest run first."""
        raise NotImplementedError

    def find(self, fingerprint: str, machine: str | None = None) -> RunRecord | None:
        """Return the newest finished, running or queued run of that spec, on that machine if given.

        A run that is not finished has no machine yet and matches any.
        """
        raise NotImplementedError

    def raw(self, run_id: int) -> RawData:
        """Return the raw arrays of a finished run; empty where none were kept."""
        raise NotImplementedError

    def revision(self) -> str:
        """Return a text that changes whenever anything a page shows has changed; cheap enough to poll."""
        raise NotImplementedError

    def health(self) -> dict[str, str]:
        """Return schema revision, journal mode, integrity check and counts, for ``doctor``."""
        raise NotImplementedError
