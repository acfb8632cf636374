"""The store: the queue and the record, and nothing else between dashboard and engine."""

import copy
import getpass
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from engine.errors import StoreError
from engine.store.audit import Audit
from engine.store.database import Database
from engine.store.exports import Exports
from engine.store.folders import RunFolder, runs_folder
from engine.store.notes import Notes
from engine.store.pausing import Pausing
from engine.store.presence import Presence
from engine.store.questions import Questions
from engine.store.queue import Queue
from engine.store.record import Record
from engine.store.schema import open_schema
from engine.store.selfchecks import SelfChecks
from engine.store.summary import RunSummary
from engine.store.upkeep import Upkeep

__all__ = ["RunSummary", "Store"]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "somebody"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Store(Queue, Upkeep, Presence, Pausing, SelfChecks, Notes, Questions, Exports, Audit, Record):
    """Everything that is remembered, behind plain methods; frozen records cross the boundary, never rows.

    The methods stand in their groups: :class:`~engine.store.queue.Queue` (what changes a run, and who may),
    :class:`~engine.store.upkeep.Upkeep` (order and deletion), :class:`~engine.store.notes.Notes` (what people write),
    :class:`~engine.store.questions.Questions` (what they ask models),
    :class:`~engine.store.exports.Exports` (everything at once), :class:`~engine.store.audit.Audit` (who did what),
    :class:`~engine.store.presence.Presence` (services and machines), :class:`~engine.store.pausing.Pausing` (the
    services' switch), :class:`~engine.store.selfchecks.SelfChecks` (proofs of the instrument) and
    :class:`~engine.store.record.Record` (all that is read).

    Every method opens and closes its own session, so one store may be shared by threads. Each may raise a
    :class:`~engine.errors.StoreError`, and then has changed nothing.
    """

    def __init__(
        self, path_or_url: str | Path, *, migrate: bool = True, now: Callable[[], datetime] = _utc_now
    ) -> None:
        """Open the database, creating and migrating it where needed.

        Args:
            path_or_url: a file, or any SQLAlchemy URL (``postgresql+psycopg://...``).
            migrate: bring an older schema up to date; ``False`` only reads and refuses an older schema.
            now: the clock of every time that is stored.

        Raises:
            SchemaError: if a newer release wrote it, or it is not a Subsecond database.
            ReadOnlyError: if it would have to be written and cannot be.
        """
        self._now = now
        self._actor = _user()
        self._database = Database(path_or_url)
        try:
            open_schema(self._database, migrate=migrate)
        except StoreError:
            self._database.close()
            raise

    @property
    def is_replaced(self) -> bool:
        """Tell whether another file stands now where this one was opened; it has to be opened anew to be seen."""
        return self._database.is_replaced

    def acting(self, person: str) -> "Store":
        """Return the same store, whose audit log names ``person``; closing one closes both."""
        other = copy.copy(self)
        other._actor = person
        return other

    def looking_on(self, refusal: str) -> "Store":
        """Return the same store for somebody who may read only; every change is refused with this sentence."""
        other = copy.copy(self)
        other._database = copy.copy(self._database)
        other._database.refusal = refusal
        return other

    def close(self) -> None:
        """Release all connections."""
        self._database.close()

    def compact(self) -> None:
        """Make an SQLite database one small file that can be shipped: no log beside it, no free pages in it.

        Raises:
            StoreError: if someone else has it open.
        """
        self._database.compact()

    @property
    def runs_folder(self) -> Path:
        """The folder of all runs' files."""
        return runs_folder(self._database.path)

    def run_folder(self, run_id: int) -> RunFolder:
        """Return the files of one run; they may not be there (yet, or any more)."""
        return RunFolder(self.runs_folder / str(run_id))
