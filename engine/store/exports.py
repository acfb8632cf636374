"""Everything that is taken away at once: runs as plain documents, without parsing what is long in them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, CursorResult, String, func, literal, select, type_coerce

from engine.errors import SchemaError
from engine.results import Status
from engine.store.part import Part
from engine.store.selection import RunFilter
from engine.store.tables import contexts, metrics, runs

BATCH = 1000
_PARTS = {
    "timing": "$.timing",
    "disturbance": "$.disturbance",
    "why": "$.explanation.sentence",
    "flops": "$.steps[#-1].flops",
    "stages": "$.stages",
}
"""What is taken out of a result, and where it is in the document."""
_COLUMNS = (
    runs.c.id,
    runs.c.fingerprint,
    runs.c.study,
    runs.c.status,
    runs.c.attempt,
    runs.c.spec,
    runs.c.error,
    runs.c.warnings,
    runs.c.context_key,
)
_TIMES = (runs.c.created_at, runs.c.started_at, runs.c.finished_at)
_SINGLE_STREAM = {"name": "single-stream", "params": {}}
_NOTHING: Mapping[str, Any] = {}


class ExportRow(NamedTuple):
    """A run of any status as plain documents."""

    id: int
    fingerprint: str
    study: str | None
    status: str
    attempt: int
    created_at: datetime | str
    """Times are text, as they are written, where the database can do that: to read and write them takes longer."""
    started_at: datetime | str | None
    finished_at: datetime | str | None
    spec: Mapping[str, Any]
    error: Mapping[str, Any] | None
    warnings: Sequence[str]
    context_key: str | None
    context: Mapping[str, Any] | None
    environment: Mapping[str, Any] | None
    extras: Mapping[str, Any]
    metrics: Mapping[str, tuple[float | None, float | None, float | None, int | None]]


class Snapshot:
    """What an export reads, all of it as of one moment.

    Args:
        connection: one with a transaction that sees the same until its end.
        extract: the database can take parts out of a JSON document.
    """

    def __init__(self, connection: Connection, *, extract: bool) -> None:
        self._connection = connection
        self._extract = extract

    def exported(self, chosen: RunFilter) -> Iterator[ExportRow]:
        """Yield the runs that a filter lets through, the newest first.

        Raises:
            SchemaError: if a document cannot be read.
        """
        known = self.contexts_by_key()
        ids = list(self._connection.scalars(select(runs.c.id).where(chosen.condition()).order_by(runs.c.id.desc())))
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            # A range is walked along the tables' own order, which a list of ids is not.
            within = (part[-1], part[0])
            numbers = _numbers(self._connection, within)
            wanted = set(part)
            for row in _rows(self._connection, within, extract=self._extract):
                if row[0] in wanted:
                    yield _export_row(row, known, numbers.get(row[0], {}))

    def contexts_by_key(self) -> dict[str, Mapping[str, Any]]:
        """Return every context as a plain document by its key."""
        return {row.key: json.loads(row.document) for row in self._connection.execute(select(contexts))}

    def values(self, names: Sequence[str]) -> Iterator[tuple[int, str, str, float | None]]:
        """Yield id, context, metric and value of all finished runs for these metrics."""
        statement = (
            select(metrics.c.run_id, runs.c.context_key, metrics.c.name, metrics.c.value)
            .join(runs, runs.c.id == metrics.c.run_id)
            .where(metrics.c.name.in_(names), runs.c.status == Status.DONE)
        )
        yield from _plain(self._connection.execute(statement))


class Exports(Part):
    """What exports read."""

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Show the runs as they are now, whatever is written meanwhile."""
        with self._database.read() as connection:
            yield Snapshot(connection, extract=self._database.is_sqlite)


def _numbers(connection: Connection, within: tuple[int, int]) -> dict[int, dict[str, Any]]:
    statement = select(metrics.c.run_id, metrics.c.name, metrics.c.value, metrics.c.lo, metrics.c.hi, metrics.c.n)
    found: dict[int, dict[str, Any]] = {}
    numbers: dict[str, Any] = {}
    last = None
    for run_id, name, value, low, high, count in _plain(
        connection.execute(statement.where(metrics.c.run_id.between(*within)))
    ):
        if run_id != last:
            last, numbers = run_id, found.setdefault(run_id, {})
        numbers[name] = (value, low, high, count)
    return found


def _plain(result: CursorResult[Any]) -> Sequence[Any]:
    """Return the driver's own tuples: for columns that need no conversion, a million rows take half of the time."""
    return result.cursor.fetchall() if result.cursor is not None else []


def _rows(connection: Connection, within: tuple[int, int], *, extract: bool) -> Iterator[Any]:
    """Return the rows of a range of ids, the newest first; the last column holds the parts of the result."""
    document: ColumnElement[Any] = runs.c.result
    place: ColumnElement[Any] = literal(None)
    times: Sequence[ColumnElement[Any]] = _TIMES
    if extract:
        times = [_written(column) for column in _TIMES]
        # A number that is not finite makes a document that SQLite does not read; such a one is read here, whole.
        is_valid = func.json_valid(runs.c.result)
        document = func.iif(is_valid, func.json_extract(runs.c.result, *_PARTS.values()), runs.c.result)
        place = func.iif(is_valid, func.json_extract(runs.c.result, "$.environment"), None)
    statement = select(*_COLUMNS, *times, document, place).where(runs.c.id.between(*within)).order_by(runs.c.id.desc())
    return iter(connection.execute(statement).all())


def _written(column: ColumnElement[datetime | None]) -> ColumnElement[str]:
    """Return a time that SQLite keeps as ``2026-03-01 12:30:15.250999``, always of UTC, as ISO 8601 in milliseconds."""
    text = type_coerce(column, String)
    return func.substr(text, 1, 10).concat("T").concat(func.substr(text, 12, 12)).concat("Z")


def _export_row(row: Any, known: Mapping[str, Mapping[str, Any]], numbers: Mapping[str, Any]) -> ExportRow:
    try:
        parts = _parts(row[12])
        spec = _read(row[5])
        return ExportRow(
            id=row[0],
            fingerprint=row[1],
            study=row[2],
            status=row[3].value,
            attempt=row[4],
            created_at=row[9],
            started_at=row[10],
            finished_at=row[11],
            spec=spec if "scenario" in spec else spec | {"scenario": _SINGLE_STREAM},
            error=None if row[6] is None else _read(row[6]),
            warnings=_read(row[7]),
            context_key=row[8],
            context=None if row[8] is None else known[row[8]],
            environment=parts.get("environment") if row[13] is None else _read(row[13]),
            extras=parts,
            metrics=numbers,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(f"run {row[0]} cannot be read by this release ({error}); update Subsecond.") from error


@lru_cache(maxsize=512)
def _read(document: str) -> Any:
    """Return a document that many runs have in common; nobody changes it."""
    return json.loads(document)


def _parts(document: str | None) -> Mapping[str, Any]:
    if document is None:
        return _NOTHING
    try:
        found = orjson.loads(document)
    except orjson.JSONDecodeError:  # a number in it is not finite
        found = json.loads(document)
    if isinstance(found, list):
        return dict(zip(_PARTS, found, strict=True))
    why, steps = found.get("explanation"), found.get("steps")
    return {
        **{name: found.get(name) for name in ("environment", "timing", "disturbance", "stages")},
        "why": why["sentence"] if why else None,
        "flops": steps[-1]["flops"] if steps else None,
    }
