"""Order and tidiness: which waiting run comes next, and what is removed for good."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, func, select, update

from engine.errors import ContradictionError
from engine.paths import folder_bytes
from engine.results import RunRecord, Status
from engine.store.audit import audited
from engine.store.database import touch
from engine.store.folders import RunFolder, runs_folder
from engine.store.part import Part
from engine.store.record import read_records
from engine.store.selection import RUN, STUDY
from engine.store.tables import notes, runs, tags

AT_ONCE = 500
"""Ids in one statement; SQLite takes 32,766 parameters, older ones 999."""


class Upkeep(Part):
    """What changes the order of the queue, and what removes finished runs."""

    def waiting(self, limit: int | None = None) -> list[RunRecord]:
        """Return queued runs in the order in which they will be claimed."""
        queued = select(runs).where(runs.c.status == Status.QUEUED)
        with self._database.read() as connection:
            return read_records(connection, queued.order_by(runs.c.priority.desc(), runs.c.id).limit(limit))

    def busy_since(self) -> datetime | None:
        """Return when the longest of the runs under way began, whichever service has it; ``None`` if there is none."""
        began = select(func.min(runs.c.started_at)).where(runs.c.status == Status.RUNNING)
        with self._database.read() as connection:
            return connection.execute(began).scalar()

    @audited("run_ids")
    def reorder(self, run_ids: Sequence[int]) -> None:
        """Let these queued runs come first, in this order; what is not queued any more is left alone."""
        ids = list(dict.fromkeys(run_ids))
        with self._database.write() as connection:
            others = select(func.max(runs.c.priority)).where(runs.c.status == Status.QUEUED, runs.c.id.not_in(ids))
            top = connection.execute(others).scalar() or 0
            for place, run_id in enumerate(ids):
                chosen = update(runs).where(runs.c.id == run_id, runs.c.status == Status.QUEUED)
                connection.execute(chosen.values(priority=top + len(ids) - place))
            touch(connection)

    @audited("run_ids")
    def delete_runs(self, run_ids: Sequence[int]) -> int:
        """Remove runs that have ended with all that belongs to them, their files too; return how many there were.

        Raises:
            ContradictionError: if one of them has not ended; nothing is removed then.
        """
        ids = list(dict.fromkeys(run_ids))
        with self._database.write() as connection:
            self._require_ended(connection, ids)
            removed = 0
            for start in range(0, len(ids), AT_ONCE):
                part = ids[start : start + AT_ONCE]
                names = [str(run_id) for run_id in part]
                for table in (notes, tags):
                    connection.execute(delete(table).where(table.c.kind == RUN, table.c.name.in_(names)))
                removed += connection.execute(delete(runs).where(runs.c.id.in_(part))).rowcount
            touch(connection)
        # After the transaction: files without a row are litter, a row without its files would be a loss.
        for run_id in ids:
            shutil.rmtree(runs_folder(self._database.path) / str(run_id), ignore_errors=True)
        return removed

    @audited("name")
    def delete_study(self, name: str) -> int:
        """Remove every run of a study and what was written about it; return how many runs there were.

        Raises:
            ContradictionError: if one of its runs has not ended; nothing is removed then.
        """
        with self._database.read() as connection:
            ids = list(connection.scalars(select(runs.c.id).where(runs.c.study == name)))
        removed = self.delete_runs(ids)
        with self._database.write() as connection:
            for table in (notes, tags):
                connection.execute(delete(table).where(table.c.kind == STUDY, table.c.name == name))
            touch(connection)
        return removed

    def shed_files(self, limit_bytes: int, size: Callable[[Path], int] = folder_bytes) -> list[int]:
        """Remove the files of the runs that ended longest ago until at most that much is left; return their ids.

        Logs, specs and copies of results go, the record stays as it is. A run that has not ended keeps its files. So
        does whatever is not of a run of this database: another one in the same folder has its files here too.

        Args:
            limit_bytes: how much may stay.
            size: tells the bytes below a folder.
        """
        folder = runs_folder(self._database.path)
        if not folder.is_dir():
            return []
        sizes = {int(path.name): size(path) for path in folder.iterdir() if path.name.isdigit() and path.is_dir()}
        total, gone = sum(sizes.values()), []
        if total <= limit_bytes:
            return []
        for run_id, fingerprint in self._ended(list(sizes)):
            if total <= limit_bytes:
                break
            if not _is_of(RunFolder(folder / str(run_id)), fingerprint):
                continue
            shutil.rmtree(folder / str(run_id), ignore_errors=True)
            total -= sizes[run_id]
            gone.append(run_id)
        return gone

    def _ended(self, ids: Sequence[int]) -> list[tuple[int, str]]:
        """Return those of the runs that have ended with their fingerprints, the one that ended longest ago first."""
        over = [status for status in Status if status.is_final]
        found: list[tuple[datetime, int, str]] = []
        with self._database.read() as connection:
            for start in range(0, len(ids), AT_ONCE):
                asked = select(runs.c.finished_at, runs.c.id, runs.c.fingerprint).where(
                    runs.c.id.in_(ids[start : start + AT_ONCE]), runs.c.status.in_(over)
                )
                found += [(row.finished_at, row.id, row.fingerprint) for row in connection.execute(asked)]
        return [(run_id, fingerprint) for _, run_id, fingerprint in sorted(found)]

    def _require_ended(self, connection: Connection, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), AT_ONCE):
            under_way = runs.c.status.in_([Status.QUEUED, Status.RUNNING])
            asked = select(runs.c.id).where(runs.c.id.in_(ids[start : start + AT_ONCE]), under_way).limit(1)
            run_id = connection.execute(asked).scalar()
            if run_id is not None:
                raise ContradictionError(f"Run {run_id} has not ended; cancel it before it is deleted.")


def _is_of(folder: RunFolder, fingerprint: str) -> bool:
    """Tell whether files are of a run with this fingerprint: that of the spec its worker read, if it came so far."""
    try:
        return hashlib.sha256(folder.spec.read_bytes()).hexdigest() == fingerprint
    except FileNotFoundError:
        return True
    except OSError:
        return False
