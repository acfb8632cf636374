"""The proofs that the instrument is right: every self-check is kept, the last of each machine counts."""

from pydantic import ValidationError
from sqlalchemy import func, insert, select

from engine.errors import SchemaError
from engine.results import SelfCheck
from engine.store import rows
from engine.store.database import touch
from engine.store.part import Part
from engine.store.tables import selfchecks


class SelfChecks(Part):
    """What ``subsecond selfcheck`` found on each machine."""

    def save_selfcheck(self, record: SelfCheck) -> None:
        """Add a self-check to the record; earlier ones of that machine are kept."""
        values = {
            "machine": record.machine,
            "checked_at": record.checked_at,
            "passed": record.passed,
            "document": rows.document(record),
        }
        with self._database.write() as connection:
            connection.execute(insert(selfchecks), values)
            touch(connection)

    def selfchecks(self) -> list[SelfCheck]:
        """Return the last self-check of each machine, the newest first.

        Raises:
            SchemaError: if a newer release wrote one of them.
        """
        newest_first = (selfchecks.c.checked_at.desc(), selfchecks.c.id.desc())
        rank = func.row_number().over(partition_by=selfchecks.c.machine, order_by=newest_first).label("rank")
        ranked = select(selfchecks, rank).subquery()
        last = select(ranked.c.document).where(ranked.c.rank == 1)
        with self._database.read() as connection:
            statement = last.order_by(ranked.c.checked_at.desc(), ranked.c.id.desc())
            return [_self_check(document) for document in connection.scalars(statement)]


def _self_check(document: str) -> SelfCheck:
    try:
        return SelfCheck.model_validate_json(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise SchemaError(f"a self-check cannot be read by this release (at '{where}'); update Subsecond.") from error
