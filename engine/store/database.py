"""Connections, transactions and the sentences for what can go wrong with a database."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, update
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from engine.errors import ForbiddenError, InvalidValueError, ReadOnlyError, SchemaError, StoreError
from engine.store import tables

_BUSY_S = 30.0
_SWITCH_S = 5.0
_WRITE = "subsecond_write"
FileId = tuple[int, int]
"""Device and inode."""


def parse_url(path_or_url: str | Path) -> URL:
    """Return the SQLAlchemy URL of a file or of a URL, files as absolute paths.

    Raises:
        InvalidValueError: if it looks like a URL but is none.
    """
    text = str(path_or_url)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser().absolute()))
    try:
        url = make_url(text)
    except ArgumentError:
        raise InvalidValueError(
            f"'{text}' is not a database URL; give a file or a URL such as sqlite:///file.db"
        ) from None
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise InvalidValueError("a database in memory cannot be shared by engine and dashboard; name a file")
        return url.set(database=str(Path(str(url.database)).expanduser().absolute()))
    return url


class Database:
    """An engine with two kinds of transactions: readers that never wait, and writers that queue up at their start."""

    def __init__(self, path_or_url: str | Path) -> None:
        self.url = parse_url(path_or_url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.path = Path(str(self.url.database)) if self.is_sqlite else None
        self.engine = self._create_engine("")
        self.is_read_only = False
        self._file: FileId | None = None
        """The file that was opened."""
        self.refusal: str | None = None
        """What somebody hears who may read only; ``None`` for who may write."""

    def close(self) -> None:
        self.engine.dispose()

    def reopen_read_only(self) -> None:
        """Read a file that cannot be written, even where SQLite cannot put its side files beside it."""
        self.engine.dispose()
        self.is_read_only = True
        self.engine = self._create_engine("mode=ro")
        try:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master")
        except DBAPIError:
            # A WAL database without its side files can be read from a read-only folder only as one that nobody writes.
            self.engine.dispose()
            self.engine = self._create_engine("mode=ro&immutable=1")

    def use_wal(self) -> None:
        """Let readers and a writer go on side by side; the file remembers it.

        The switch needs a moment without readers and is not covered by SQLite's busy timeout. Where that moment does
        not come, everything works as before, only that readers and writers wait for each other.
        """
        if not self.is_sqlite or self.is_read_only:
            return
        deadline = time.monotonic() + _SWITCH_S
        with self._errors(), contextlib.closing(_connect_sqlite(self._sqlite_uri())) as connection:
            while not _switched_to_wal(connection) and time.monotonic() < deadline:
                time.sleep(0.01)

    def compact(self) -> None:
        """Write an SQLite database anew as one file without a log, which it has again from the next opening on."""
        if not self.is_sqlite:
            return
        self.close()
        with self._errors(), contextlib.closing(_connect_sqlite(self._sqlite_uri())) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("VACUUM")

    @property
    def is_replaced(self) -> bool:
        """Tell whether another file stands now where this one was opened."""
        return self._file is not None and _file_id(self.path) not in (self._file, None)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent snapshot; in WAL mode it neither waits for a writer nor holds one up."""
        self._require_file()
        with self._errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One atomic change; it waits for its turn at its start."""
        if self.refusal is not None:
            raise ForbiddenError(self.refusal)
        self._require_file()
        if self.is_read_only:
            raise ReadOnlyError(
                f"{self.name} can only be read here; make it and its folder writable, or copy it first."
            )
        with (
            self._errors(),
            self.engine.connect().execution_options(**{_WRITE: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def _require_file(self) -> None:
        """Refuse to go on with a file that has no name any more: what is written there is lost with the process."""
        if self._file is not None and _file_id(self.path) is None:
            raise StoreError(f"{self.name} is gone: it was moved or deleted while it was open; put it back.")

    @property
    def name(self) -> str:
        """What messages call it: the path, or the URL without its password."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    def _create_engine(self, query: str) -> Engine:
        if not self.is_sqlite:
            try:
                return create_engine(self.url, pool_pre_ping=True)
            except (ModuleNotFoundError, NoSuchModuleError) as error:
                message = f"The driver of {self.name} is not installed ({error}); install it, e.g. pip install psycopg."
                raise StoreError(message) from None

        def connect() -> sqlite3.Connection:
            connection = _connect_sqlite(self._sqlite_uri(query))
            self._file = self._file or _file_id(self.path)
            return connection

        # Without an upper bound on the pool no reader ever waits for another one's connection.
        engine = create_engine(self.url, creator=connect, pool_size=4, max_overflow=-1)
        event.listen(engine, "begin", _begin)
        return engine

    def _sqlite_uri(self, query: str = "") -> str:
        location = Path(str(self.url.database)).as_uri()
        return f"{location}?{query}" if query else location

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _translated(error.orig or error, self.name) from error
        except sqlite3.Error as error:
            raise _translated(error, self.name) from error
        except OverflowError:  # SQLite's numbers have 64 bits, those that people type may have more
            raise InvalidValueError("This number is larger than any that is kept here; check it.") from None


def _file_id(path: Path | None) -> FileId | None:
    """Return what tells a file from every other one, ``None`` where there is none."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def _switched_to_wal(connection: sqlite3.Connection) -> bool:
    try:
        return bool(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False


def _connect_sqlite(uri: str) -> sqlite3.Connection:
    # isolation_level=None: transactions begin where this module says so, not where the driver guesses.
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys=ON")
    # FULL syncs the log at each commit: a power cut loses nothing that was reported as stored. NORMAL could lose the
    # last runs; the difference is some milliseconds for each write, and there are about two of those a second.
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def touch(connection: Connection) -> None:
    """Move the revision, because this transaction changes something that a page shows."""
    connection.execute(update(tables.revision).values(number=tables.revision.c.number + 1))


def _begin(connection: Connection) -> None:
    # IMMEDIATE takes the write lock first and waits for it; a reader that turns into a writer cannot wait and would
    # fail with "database is locked". https://www.sqlite.org/lang_transaction.html
    immediate = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _translated(error: Any, name: str) -> StoreError:
    """Return the one sentence for a driver's error."""
    text = str(error).strip()
    if "readonly" in text or "read-only" in text:
        return ReadOnlyError(
            f"{name} cannot be written ({text}); make it and its folder writable, or name another database."
        )
    if "not a database" in text or "malformed" in text:
        return SchemaError(f"{name} is damaged or not a Subsecond database ({text}); restore it from a copy.")
    if "unable to open" in text:
        return StoreError(f"{name} cannot be opened ({text}); check the path and its permissions.")
    if "is full" in text or "disk I/O" in text:
        return StoreError(f"{name} could not be written ({text}); free some space on its disk.")
    if "is locked" in text:
        return StoreError(f"{name} is in use ({text}); try again, or stop whatever else has it open.")
    return StoreError(f"{name} refused: {text}")
