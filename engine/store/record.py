"""The record: everything that pages, tables, plots and the command line read."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, Select, func, or_, select, text
from sqlalchemy import true as always

from engine.results import Context, RawData, RunRecord, StageRecord, Status
from engine.store import rows, tables
from engine.store.part import Part
from engine.store.queue import unknown_run
from engine.store.selection import RunFilter
from engine.store.summary import Duration, Names, Numbers, RunSummary
from engine.store.tables import arrays, contexts, metrics, runs, stages

_SUMMARY_COLUMNS = (
    runs.c.id,
    runs.c.fingerprint,
    runs.c.study,
    runs.c.status,
    runs.c.task,
    runs.c.model,
    runs.c.dataset,
    runs.c.techniques,
    runs.c.backend,
    runs.c.effort,
    runs.c.context_key,
    runs.c.machine,
    runs.c.created_at,
    runs.c.finished_at,
    runs.c.warnings,
)


AT_ONCE = 500
"""Values in one condition; older SQLite takes 999."""
_NUMBERS = select(metrics.c.run_id, metrics.c.name, metrics.c.value, metrics.c.lo, metrics.c.hi, metrics.c.n)


_Rows = dict[str, tuple[float | None, float | None, float | None, int | None]]


class Record(Part):
    """What was measured, as frozen records."""

    def run(self, run_id: int) -> RunRecord:
        """Return one run, whole.

        Raises:
            UnknownNameError: if there is no such run.
        """
        with self._database.read() as connection:
            found = read_records(connection, select(runs).where(runs.c.id == run_id))
            if not found:
                raise unknown_run(connection, run_id)
            return found[0]

    def runs(
        self,
        *,
        status: Sequence[Status] | None = None,
        study: str | None = None,
        ids: Sequence[int] | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return runs, the newest first, without parsing more than asked for."""
        statement = select(runs).where(_has_status(status)).order_by(runs.c.id.desc()).limit(limit)
        if study is not None:
            statement = statement.where(runs.c.study == study)
        if ids is not None:
            statement = statement.where(runs.c.id.in_(ids))
        with self._database.read() as connection:
            return read_records(connection, statement)

    def statuses(self, ids: Sequence[int]) -> dict[int, Status]:
        """Return the status of each of these runs, reading nothing else; unknown ids are left out."""
        statement = select(runs.c.id, runs.c.status).where(runs.c.id.in_(ids))
        with self._database.read() as connection:
            return {row.id: row.status for row in connection.execute(statement)}

    def summaries(self, *, status: Sequence[Status] | None = None, context_key: str | None = None) -> list[RunSummary]:
        """Return light rows for tables and plots, the oldest first, in a fixed small number of queries."""
        chosen = _has_status(status)
        if context_key is not None:
            chosen = chosen & (runs.c.context_key == context_key)
        numbers = _NUMBERS
        if status is not None or context_key is not None:
            numbers = numbers.where(metrics.c.run_id.in_(select(runs.c.id).where(chosen)))
        with self._database.read() as connection:
            found = connection.execute(select(*_SUMMARY_COLUMNS).where(chosen).order_by(runs.c.id)).all()
            by_run = _metrics_by_run(connection.execute(numbers))
        return [_summary(row, by_run[row.id]) for row in found]

    def listed(self, chosen: RunFilter, limit: int, offset: int = 0) -> list[RunSummary]:
        """Return light rows of the runs that a filter lets through, the newest first."""
        statement = select(*_SUMMARY_COLUMNS).where(chosen.condition()).order_by(runs.c.id.desc())
        with self._database.read() as connection:
            found = connection.execute(statement.limit(limit).offset(offset)).all()
            ids = [row.id for row in found]
            by_run = _metrics_by_run(connection.execute(_NUMBERS.where(metrics.c.run_id.in_(ids))))
        return [_summary(row, by_run[row.id]) for row in found]

    def listed_ids(self, chosen: RunFilter) -> list[int]:
        """Return the ids of all runs that a filter lets through, the newest first."""
        statement = select(runs.c.id).where(chosen.condition()).order_by(runs.c.id.desc())
        with self._database.read() as connection:
            return list(connection.scalars(statement))

    def count(self, chosen: RunFilter) -> int:
        """Return how many runs a filter lets through."""
        with self._database.read() as connection:
            return int(
                connection.execute(select(func.count()).select_from(runs).where(chosen.condition())).scalar_one()
            )

    def names(self) -> Names:
        """Return every model, backend and study that a run has, each in alphabetical order."""
        with self._database.read() as connection:
            models, backends, studies = (
                list(connection.scalars(select(column).where(column.is_not(None)).distinct().order_by(column)))
                for column in (runs.c.model, runs.c.backend, runs.c.study)
            )
        plain = dict.fromkeys(backend.partition("(")[0] for backend in backends)
        return Names(tuple(models), tuple(plain), tuple(studies))

    def contexts(self) -> list[tuple[Context, int]]:
        """Return every context with its number of finished runs, the one with the newest run first."""
        statement = (
            select(contexts.c.document, func.count(runs.c.id))
            .join(runs, runs.c.context_key == contexts.c.key)
            .where(runs.c.status == Status.DONE)
            .group_by(contexts.c.key, contexts.c.document)
            .order_by(func.max(runs.c.id).desc())
        )
        with self._database.read() as connection:
            return [(Context.model_validate_json(row[0]), row[1]) for row in connection.execute(statement)]

    def last_ended(self) -> dict[str, datetime]:
        """Return when the last finished run of every context ended, by the context's key."""
        ended = select(runs.c.context_key, func.max(runs.c.finished_at)).where(runs.c.status == Status.DONE)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(ended.group_by(runs.c.context_key)) if all(row)}

    def find(self, fingerprint: str, machine: str | None = None) -> RunRecord | None:
        """Return the newest finished, running or queued run of that spec, on that machine if given.

        A run that is not finished has no machine yet and matches any.
        """
        useful = [Status.DONE, Status.RUNNING, Status.QUEUED]
        statement = select(runs).where(runs.c.fingerprint == fingerprint, runs.c.status.in_(useful))
        if machine is not None:
            statement = statement.where(or_(runs.c.status != Status.DONE, runs.c.machine == machine))
        with self._database.read() as connection:
            found = read_records(connection, statement.order_by(runs.c.id.desc()).limit(1))
        return found[0] if found else None

    def known(self, fingerprints: Sequence[str], machine: str | None = None) -> dict[str, int]:
        """Return the newest finished, running or queued run of each of these specs; see :meth:`find`."""
        useful = [Status.DONE, Status.RUNNING, Status.QUEUED]
        found: dict[str, int] = {}
        with self._database.read() as connection:
            for start in range(0, len(fingerprints), AT_ONCE):
                part = list(fingerprints[start : start + AT_ONCE])
                statement = select(runs.c.fingerprint, func.max(runs.c.id)).where(
                    runs.c.fingerprint.in_(part), runs.c.status.in_(useful)
                )
                if machine is not None:
                    statement = statement.where(or_(runs.c.status != Status.DONE, runs.c.machine == machine))
                found |= {row[0]: row[1] for row in connection.execute(statement.group_by(runs.c.fingerprint))}
        return found

    def durations(self, machine: str | None = None, limit: int = 500) -> list[Duration]:
        """Return how long finished runs took, the newest first, on one machine if given."""
        columns = (runs.c.task, runs.c.model, runs.c.techniques, runs.c.backend, runs.c.effort)
        ended = runs.c.started_at.is_not(None) & (runs.c.status == Status.DONE)
        statement = select(*columns, runs.c.started_at, runs.c.finished_at).where(ended)
        if machine is not None:
            statement = statement.where(runs.c.machine == machine)
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(runs.c.id.desc()).limit(limit)).all()
        return [Duration(*row[:5], seconds=(row[6] - row[5]).total_seconds()) for row in found]

    def raw(self, run_id: int) -> RawData:
        """Return the raw arrays of a finished run; empty where none were kept."""
        statement = select(arrays.c.name, arrays.c.data).where(arrays.c.run_id == run_id)
        with self._database.read() as connection:
            return RawData(arrays={name: rows.array_of(data) for name, data in connection.execute(statement)})

    def revision(self) -> str:
        """Return a text that changes whenever anything a page shows has changed; cheap enough to poll."""
        with self._database.read() as connection:
            return str(connection.execute(select(tables.revision.c.number)).scalar_one())

    def counts(self) -> dict[str, int]:
        """Return the number of runs by status; a status that no run has is missing."""
        with self._database.read() as connection:
            return _counts(connection)

    def health(self) -> dict[str, str]:
        """Return schema revision, journal mode, integrity check and counts, for ``doctor``."""
        with self._database.read() as connection:
            report = {
                "database": self._database.name,
                "access": "read only" if self._database.is_read_only else "read and write",
                "schema": str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()),
            }
            if self._database.is_sqlite:
                report["journal"] = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
                report["integrity"] = str(connection.execute(text("PRAGMA integrity_check(1)")).scalar_one())
                report["size_bytes"] = str(_size_bytes(connection))
            counted = _counts(connection)
            return report | {f"runs_{status.value}": str(counted.get(status, 0)) for status in Status}


def _counts(connection: Connection) -> dict[str, int]:
    counts = select(runs.c.status, func.count().label("number")).group_by(runs.c.status)
    return {row.status: row.number for row in connection.execute(counts)}


def _has_status(status: Sequence[Status] | None) -> ColumnElement[bool]:
    return always() if status is None else runs.c.status.in_(status)


def read_records(connection: Connection, statement: Select[Any]) -> list[RunRecord]:
    """Return the records of these runs, with two queries for any number of them."""
    found = connection.execute(statement).mappings().all()
    if not found:
        return []
    chosen = statement.with_only_columns(runs.c.id).subquery()
    by_run: dict[int, list[StageRecord]] = defaultdict(list)
    ordered = (
        select(stages).where(stages.c.run_id.in_(select(chosen.c.id))).order_by(stages.c.run_id, stages.c.position)
    )
    for row in connection.execute(ordered):
        stage = StageRecord(name=row.name, seconds=row.seconds, cached=row.cached, detail=row.detail)
        by_run[row.run_id].append(stage)
    return [rows.run_record(row, by_run[row["id"]]) for row in found]


def _summary(row: Any, numbers: _Rows) -> RunSummary:
    return RunSummary(
        id=row.id,
        fingerprint=row.fingerprint,
        study=row.study,
        status=row.status,
        task=row.task,
        model=row.model,
        dataset=row.dataset,
        techniques=row.techniques,
        backend=row.backend,
        effort=row.effort,
        context_key=row.context_key,
        machine=row.machine,
        created_at=row.created_at,
        finished_at=row.finished_at,
        warnings=tuple(json.loads(row.warnings)),
        metrics=Numbers(numbers),
    )


def _metrics_by_run(result: CursorResult[Any]) -> dict[int, _Rows]:
    """Return the numbers of each run by their names, as the driver gives them: no column needs a conversion."""
    by_run: dict[int, _Rows] = defaultdict(dict)
    for run_id, name, value, low, high, count in result.cursor.fetchall() if result.cursor is not None else ():
        by_run[run_id][name] = (value, low, high, count)
    return by_run


def _size_bytes(connection: Connection) -> int:
    pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    return int(pages) * int(connection.execute(text("PRAGMA page_size")).scalar_one())
