"""The queue: who takes a run, who may end it, and what becomes of it when its service dies."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Update,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from engine.errors import ContradictionError, SchemaError, UnknownNameError
from engine.results import Failure, RawData, RunRecord, RunResult, Status, WorkerEvent, flat_metrics
from engine.spec import ExperimentSpec
from engine.store import rows
from engine.store.audit import audited
from engine.store.database import touch
from engine.store.part import Part
from engine.store.tables import arrays, contexts, metrics, runs, services, stages

MOST_QUEUED = 10_000
"""A queue that could not end within weeks is a mistake, and would make every page slow."""
_NOT_UNDER_WAY = {"service_id": None, "started_at": None, "stage": None, "progress": None, "stage_message": ""}


class Queue(Part):
    """What changes a run, from its request to its end.

    Who owns a run: a queued run belongs to nobody and anyone may cancel it. A running one belongs to the service that
    claimed it; only that service records events and the end, and others may only ask for its cancellation. A finished
    run is immutable for everybody. A run whose service gave no sign of life is taken back by :meth:`recover`.
    """

    @audited("study")
    def enqueue(self, specs: Sequence[ExperimentSpec], study: str | None = None, *, priority: int = 0) -> list[int]:
        """Append runs in the given order and return their ids; higher priority is claimed first.

        Raises:
            ContradictionError: if more than :data:`MOST_QUEUED` runs would wait.
        """
        if not specs:
            return []
        now = self._now()
        waiting = select(func.count()).where(runs.c.status == Status.QUEUED)
        statement = insert(runs).returning(runs.c.id, sort_by_parameter_order=True)
        with self._database.write() as connection:
            queued = connection.execute(waiting).scalar_one()
            if queued + len(specs) > MOST_QUEUED:
                raise ContradictionError(
                    f"{queued:,} runs wait already and {len(specs):,} more would be over {MOST_QUEUED:,}; queue them "
                    "when some have ended, or cancel some."
                )
            values = [rows.new_run(spec, study, priority, now) for spec in specs]
            touch(connection)
            return list(connection.execute(statement, values).scalars())

    def claim(self, service_id: str, only: Sequence[int] | None = None) -> RunRecord | None:
        """Take the next queued run, atomically (one ``UPDATE ... RETURNING``); ``None`` when there is none.

        Increments ``attempt``. ``only`` restricts the choice to these ids.
        """
        queued = select(runs.c.id).where(runs.c.status == Status.QUEUED)
        if only is not None:
            queued = queued.where(runs.c.id.in_(only))
        # SKIP LOCKED matters where writers are not serialised (PostgreSQL); SQLite leaves it out.
        following = queued.order_by(runs.c.priority.desc(), runs.c.id).limit(1).with_for_update(skip_locked=True)
        statement = (
            update(runs)
            .where(runs.c.id == following.scalar_subquery(), runs.c.status == Status.QUEUED)
            .values(
                status=Status.RUNNING,
                service_id=service_id,
                attempt=runs.c.attempt + 1,
                started_at=self._now(),
            )
            .returning(runs)
        )
        with self._database.write() as connection:
            row = connection.execute(statement).mappings().one_or_none()
            if row is not None:
                touch(connection)
        if row is None:
            return None
        try:
            return rows.run_record(row, ())
        except SchemaError as error:
            # It would head the queue for ever; as a failed row it says what is wrong with it.
            self.fail(row["id"], service_id, Failure(stage="queue", kind="SchemaError", message=str(error)))
            return self.claim(service_id, only)

    def record_event(self, run_id: int, service_id: str, event: WorkerEvent) -> bool:
        """Note where a running run stands.

        Returns ``False``, and changes nothing, when the run is not running under this service any more.
        """
        values = {"stage": event.stage, "progress": event.progress, "stage_message": event.message}
        with self._database.write() as connection:
            if not _execute(connection, _running(run_id, service_id).values(values)):
                return False
            if event.finished is not None:
                counted = select(func.count()).where(stages.c.run_id == run_id)
                position = connection.execute(counted).scalar_one()
                connection.execute(insert(stages), rows.stage_row(run_id, position, event.finished))
            touch(connection)
            return True

    def finish(self, run_id: int, service_id: str, result: RunResult, raw: RawData | None) -> bool:
        """Store result, metrics, context and raw arrays in one transaction and set ``done``.

        Returns ``False``, and changes nothing, when the run is not running under this service any more.
        """
        # Written out and compressed before the transaction, so that the write lock is held only for the writing.
        done = _running(run_id, service_id).values(
            status=Status.DONE,
            finished_at=self._now(),
            context_key=result.context.key,
            machine=result.environment.machine,
            warnings=json.dumps([warning.code for warning in result.warnings]),
            result=rows.document(result),
            progress=None,
            stage=None,
            stage_message="",
        )
        metric_rows = rows.metric_rows(run_id, flat_metrics(result))
        stage_rows = [rows.stage_row(run_id, position, stage) for position, stage in enumerate(result.stages)]
        array_rows = [rows.array_row(run_id, name, array) for name, array in raw.arrays.items()] if raw else []
        with self._database.write() as connection:
            if (
                connection.execute(select(runs.c.id).where(_owned(run_id, service_id)).with_for_update()).first()
                is None
            ):
                return False
            if connection.execute(select(contexts.c.key).filter_by(key=result.context.key)).first() is None:
                context = {"key": result.context.key, "document": rows.document(result.context)}
                connection.execute(insert(contexts), context)
            connection.execute(delete(stages).where(stages.c.run_id == run_id))
            connection.execute(done)
            for table, values in ((metrics, metric_rows), (stages, stage_rows), (arrays, array_rows)):
                if values:
                    connection.execute(insert(table), values)
            touch(connection)
            return True

    def fail(self, run_id: int, service_id: str, failure: Failure) -> bool:
        """Set ``failed`` with its evidence; returns as :meth:`finish`."""
        values = {"status": Status.FAILED, "finished_at": self._now(), "error": rows.document(failure)}
        return self._end(run_id, service_id, values)

    def mark_cancelled(self, run_id: int, service_id: str) -> bool:
        """Set ``cancelled`` after the worker of a running run was stopped; returns as :meth:`finish`."""
        return self._end(run_id, service_id, {"status": Status.CANCELLED, "finished_at": self._now()})

    def release(self, run_id: int, service_id: str, *, count_attempt: bool = False) -> bool:
        """Put a running run back into the queue, or cancel it if someone asked for that; returns as :meth:`finish`.

        Args:
            run_id: the run.
            service_id: its service.
            count_attempt: ``False`` when the service stops in an orderly way, ``True`` when the worker died.
        """
        cancelled = runs.c.cancel_requested
        values = {
            **_NOT_UNDER_WAY,
            "status": case((cancelled, _status(Status.CANCELLED)), else_=_status(Status.QUEUED)),
            "finished_at": case((cancelled, self._now()), else_=None),
            "attempt": runs.c.attempt - (0 if count_attempt else 1),
        }
        return self._end(run_id, service_id, values, forget_stages=True)

    @audited("run_id")
    def request_cancel(self, run_id: int) -> Status:
        """Cancel a queued run at once, ask for the end of a running one; return the status after the call.

        Raises:
            UnknownNameError: if there is no such run.
            ContradictionError: if the run has ended already.
        """
        queued = runs.c.status == Status.QUEUED
        statement = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.status.in_([Status.QUEUED, Status.RUNNING]))
            .values(
                cancel_requested=True,
                status=case((queued, _status(Status.CANCELLED)), else_=runs.c.status),
                finished_at=case((queued, self._now()), else_=None),
            )
            .returning(runs.c.status)
        )
        with self._database.write() as connection:
            status: Status | None = connection.execute(statement).scalar_one_or_none()
            if status is None:
                ended = self._status(connection, run_id)
                raise ContradictionError(
                    f"Run {run_id} has ended already ({ended}); only a queued or running one can be cancelled."
                )
            touch(connection)
            return status

    def cancel_requested(self, run_id: int) -> bool:
        """Tell whether someone asked for the end of this run."""
        with self._database.read() as connection:
            return bool(connection.execute(select(runs.c.cancel_requested).where(runs.c.id == run_id)).scalar())

    @audited("run_id")
    def retry(self, run_id: int) -> int:
        """Queue the same spec again as a new run (same study) and return its id.

        Raises:
            UnknownNameError: if there is no such run.
            ContradictionError: if the run has not ended yet.
        """
        with self._database.write() as connection:
            status = self._status(connection, run_id)
            if not status.is_final:
                raise ContradictionError(f"Run {run_id} is still {status}; wait for its end or cancel it first.")
            row = connection.execute(
                select(runs.c.spec, runs.c.study, runs.c.priority).where(runs.c.id == run_id)
            ).one()
            spec = ExperimentSpec.model_validate_json(row.spec)
            touch(connection)
            values = rows.new_run(spec, row.study, row.priority, self._now())
            return int(connection.execute(insert(runs).returning(runs.c.id), values).scalar_one())

    def recover(self, stale_after_s: float, max_attempts: int = 2) -> list[int]:
        """Take back running runs whose service's heartbeat is older than that; return their ids.

        A run goes back to the queue once; after ``max_attempts`` it fails with what is known.
        """
        now = self._now()
        alive = select(services.c.id).where(services.c.heartbeat_at >= now - timedelta(seconds=stale_after_s))
        orphaned = select(runs.c.id, runs.c.service_id, runs.c.attempt, runs.c.stage, runs.c.cancel_requested).where(
            runs.c.status == Status.RUNNING, runs.c.service_id.not_in(alive)
        )
        with self._database.read() as connection:
            found = connection.execute(orphaned).all()
        taken = []
        for run_id, service_id, attempt, stage, cancelled in found:
            # Each change asks again for the owner, so that two services recovering at once take a run back once.
            if attempt < max_attempts or cancelled:
                ours = self.release(run_id, service_id, count_attempt=True)
            else:
                ours = self.fail(run_id, service_id, _given_up(stage, attempt))
            if ours:
                taken.append(run_id)
        return taken

    def _end(self, run_id: int, service_id: str, values: dict[str, Any], *, forget_stages: bool = False) -> bool:
        with self._database.write() as connection:
            if not _execute(connection, _running(run_id, service_id).values(values)):
                return False
            if forget_stages:
                connection.execute(delete(stages).where(stages.c.run_id == run_id))
            touch(connection)
            return True

    def _status(self, connection: Connection, run_id: int) -> Status:
        asked = select(runs.c.status).where(runs.c.id == run_id)
        status: Status | None = connection.execute(asked).scalar_one_or_none()
        if status is None:
            raise unknown_run(connection, run_id)
        return status


def unknown_run(connection: Connection, run_id: int) -> UnknownNameError:
    """Return the error for an id that names no run; it lists only the newest, or the sentence could be endless."""
    newest = connection.execute(select(runs.c.id).order_by(runs.c.id.desc()).limit(5)).scalars()
    return UnknownNameError("run", str(run_id), [str(known) for known in newest])


def _owned(run_id: int, service_id: str) -> ColumnElement[bool]:
    return (runs.c.id == run_id) & (runs.c.service_id == service_id) & (runs.c.status == Status.RUNNING)


def _running(run_id: int, service_id: str) -> Update:
    """Return a change of a run that does nothing unless it still runs under this service."""
    return update(runs).where(_owned(run_id, service_id))


def _status(status: Status) -> BindParameter[Status]:
    """Return a status where no column tells its type."""
    return literal(status, type_=runs.c.status.type)


def _execute(connection: Connection, statement: Update) -> bool:
    """Tell whether the change found its row."""
    return connection.execute(statement).rowcount == 1


def _given_up(stage: str | None, attempt: int) -> Failure:
    message = (
        f"The engine that executed this run ended without a word, in attempt {attempt}; it is not tried again by "
        "itself. See whether memory or disk ran out, then retry the run."
    )
    return Failure(stage=stage or "start", kind="WorkerDiedError", message=message)
