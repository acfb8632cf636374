"""Copies of a database, taken and brought back while others work with it, and what can be saved of a damaged one."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Table, select, text

from engine.errors import ContradictionError, InvalidValueError, SchemaError, StoreError
from engine.store import tables
from engine.store.database import parse_url
from engine.store.schema import HEAD
from engine.store.store import Store

_ALIVE_WITHIN_S = 15.0
_BUSY_S = 30.0
_OF_ONE_RUN = (tables.stages, tables.metrics, tables.arrays)
_SMALL = (tables.contexts, tables.machines, tables.selfchecks, tables.notes, tables.tags)


def backup(database: str, target: Path) -> int:
    """Write a consistent copy of a database that may be in use; return its bytes.

    The copy is one file in the same form, complete as soon as it can be seen. Logs and specs in ``runs/`` and the
    stages' cache are not in it; both can be made again.

    Raises:
        StoreError: if the database is not a file, or one of the two cannot be read or written.
        InvalidValueError: if the target is the database itself.
    """
    source = _file_of(database)
    if not source.is_file():
        raise StoreError(f"There is no database at {source}. Name one: --db FILE.")
    if target.exists() and target.samefile(source):
        raise InvalidValueError(f"{target} is the database itself; name another file for the copy.")
    Store(source, migrate=False).close()  # refuses what is not ours
    part = target.with_name(f".{target.name}.part")
    with _said(target):
        part.unlink(missing_ok=True)
        try:
            with _opened(source) as live, _opened(part) as copy:
                live.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
                _require_whole(copy, source)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return target.stat().st_size


def restore(source: Path, database: str) -> Path | None:
    """Put a copy in the place of a database; return where what was there before is kept.

    Pages that have the database open see the restored one from then on.

    Raises:
        StoreError: if the copy is damaged or not ours, or cannot be written back.
        ContradictionError: if an engine works on the database now.
    """
    target = _file_of(database)
    if not source.is_file():
        raise StoreError(f"There is no file {source}.")
    with _said(source), _opened(source) as copy:
        _require_ours(copy, source)
        _require_whole(copy, source)
        kept = _keep(target) if target.exists() else None
        with _opened(target) as live:
            before = _revision(live)
            copy.backup(live)
            with live:
                live.execute("UPDATE revision SET number = max(number, ?) + 1", [before])
    Store(target).close()  # brings an older copy to this release's schema
    return kept


def repair(database: str) -> list[str]:
    """Rebuild what can be rebuilt of a damaged database; return what was done, in sentences.

    Raises:
        StoreError: if the file is not ours or cannot be written.
        ContradictionError: if an engine works on it now.
    """
    path = _file_of(database)
    if not path.is_file():
        raise StoreError(f"There is no database at {path}. Name one: --db FILE.")
    with _said(path), _opened(path) as connection:
        if _is_whole(connection):
            return [f"{path} is whole; nothing was changed."]
        with contextlib.suppress(sqlite3.DatabaseError):
            connection.execute("REINDEX")
            if _is_whole(connection):
                return [f"The indexes of {path} were built anew; no row was lost."]
    _require_nobody(path)
    damaged = _beside(path, "damaged")
    with _said(path):
        for name in _parts(path):
            if name.exists():
                name.replace(damaged.with_name(damaged.name + name.name.removeprefix(path.name)))
        Store(path).close()
        with _opened(damaged) as old, _opened(path) as new:
            done = _salvage(old, new)
    return [*done, f"The damaged file is kept as {damaged}."]


def _salvage(old: sqlite3.Connection, new: sqlite3.Connection) -> list[str]:
    """Copy every row that can be read, run by run, so that one bad page costs one run."""
    new.execute("PRAGMA foreign_keys=OFF")
    saved = lost = parts = 0
    with new:
        for table in _SMALL:
            parts += _copy(old, new, table, "", ())
        for run_id in _ids(old):
            if _copy(old, new, tables.runs, "id = ?", (run_id,)):
                lost += 1
                continue
            saved += 1
            for table in _OF_ONE_RUN:
                parts += _copy(old, new, table, "run_id = ?", (run_id,))
    said = [f"{saved:,} runs were saved, {lost:,} could not be read."]
    if parts:
        said.append(f"{parts:,} pieces beside them, arrays or metrics of single runs for example, were lost.")
    return said


def _ids(old: sqlite3.Connection) -> Iterator[int]:
    """Yield every run's id, whether its row can be read or not: the highest is in SQLite's own table of sequences."""
    highest = 0
    for question in ("SELECT seq FROM sqlite_sequence WHERE name = 'runs'", "SELECT max(id) FROM runs"):
        with contextlib.suppress(sqlite3.DatabaseError, TypeError):
            highest = max(highest, int(old.execute(question).fetchone()[0]))
    yield from range(1, highest + 1)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: Table, where: str, values: tuple[int, ...]) -> int:
    """Copy rows of a table; return 1 if they could not all be read, of a run that never was none is missing."""
    columns = [column.name for column in table.columns]
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    question = str(select(table).where(text(where)) if where else select(table))
    try:
        rows = old.execute(question, values)
        while (row := rows.fetchone()) is not None:
            new.execute(f"INSERT OR REPLACE INTO {table.name} ({names}) VALUES ({marks})", row)  # noqa: S608 - names of our own tables
    except sqlite3.DatabaseError:
        return 1
    return 0


def _keep(target: Path) -> Path:
    """Copy what is there now beside it, unless an engine works on it."""
    _require_nobody(target)
    kept = _beside(target, "before-restore")
    with _opened(target) as live, _opened(kept) as copy:
        live.backup(copy)
    return kept


def _require_nobody(path: Path) -> None:
    try:
        store = Store(path, migrate=False)
    except StoreError:
        return  # nobody works on what cannot be opened
    try:
        alive = store.services(alive_within_s=_ALIVE_WITHIN_S)
    except StoreError:
        alive = []
    finally:
        store.close()
    if alive:
        raise ContradictionError(f"An engine (process {alive[0].pid}) works on {path}. Stop it first.")


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    try:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.DatabaseError, TypeError):
        raise SchemaError(f"{path} is no copy of a Subsecond database; name another file.") from None
    if not str(revision).isdigit() or int(revision) > int(HEAD):
        raise SchemaError(f"{path} was written by a newer release (schema {revision}); update Subsecond first.")


def _require_whole(connection: sqlite3.Connection, path: Path) -> None:
    if not _is_whole(connection):
        raise SchemaError(f"{path} is damaged. Try: subsecond doctor --repair --db {path}")


def _is_whole(connection: sqlite3.Connection) -> bool:
    try:
        return bool(connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False


def _revision(connection: sqlite3.Connection) -> int:
    try:
        return int(connection.execute("SELECT number FROM revision").fetchone()[0])
    except (sqlite3.DatabaseError, TypeError):
        return 0


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.name}.{word}-{datetime.now(UTC):%Y%m%d-%H%M%S}")


def _parts(path: Path) -> list[Path]:
    """Return the database's file and those that SQLite keeps beside it."""
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]


def _file_of(database: str) -> Path:
    url = parse_url(database)
    if url.get_backend_name() != "sqlite":
        raise StoreError("Only a database in a file is copied here; a server has its own way, pg_dump for example.")
    return Path(str(url.database))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_S)) as connection:
        yield connection


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turn what the system says into a sentence."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: {error}. Check space and permissions, or name another file.") from error
