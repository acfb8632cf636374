"""What people write about runs and studies: notes and tags, beside the record, which they never change."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Table, delete, insert, select

from engine.errors import InvalidValueError
from engine.store.audit import audited
from engine.store.database import touch
from engine.store.part import Part
from engine.store.selection import RUN, STUDY
from engine.store.tables import notes, tags

LONGEST_NOTE = 10_000
LONGEST_TAG = 40
MOST_TAGS = 20


@dataclass(frozen=True)
class Subject:
    """What a note or tag is about."""

    kind: str
    name: str

    @classmethod
    def run(cls, run_id: int) -> "Subject":
        """Return a run as a subject."""
        return cls(RUN, str(run_id))

    @classmethod
    def study(cls, name: str) -> "Subject":
        """Return a study as a subject."""
        return cls(STUDY, name)


@dataclass(frozen=True)
class Note:
    """A text in Markdown and when it was last changed."""

    text: str
    updated_at: datetime


class Notes(Part):
    """Notes and tags of runs and studies."""

    def note(self, subject: Subject) -> Note | None:
        """Return the note of a run or study, if somebody wrote one."""
        statement = select(notes.c.text, notes.c.updated_at).where(*_is(notes, subject))
        with self._database.read() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Note(row.text, row.updated_at)

    @audited("subject")
    def write_note(self, subject: Subject, text: str) -> None:
        """Replace the note of a run or study; an empty text removes it.

        Raises:
            InvalidValueError: if it is longer than 10,000 characters.
        """
        if len(text) > LONGEST_NOTE:
            raise InvalidValueError(
                f"The note has {len(text):,} characters; {LONGEST_NOTE:,} can be kept. Shorten it, or link to a file."
            )
        with self._database.write() as connection:
            connection.execute(delete(notes).where(*_is(notes, subject)))
            if text.strip():
                values = {"kind": subject.kind, "name": subject.name, "text": text, "updated_at": self._now()}
                connection.execute(insert(notes), values)
            touch(connection)

    def tags(self, subject: Subject) -> list[str]:
        """Return the tags of a run or study in alphabetical order."""
        statement = select(tags.c.tag).where(*_is(tags, subject)).order_by(tags.c.tag)
        with self._database.read() as connection:
            return list(connection.scalars(statement))

    @audited("subjects")
    def set_tags(self, subjects: Sequence[Subject], wanted: Collection[str]) -> None:
        """Replace the tags of runs or studies.

        Raises:
            InvalidValueError: if a tag is empty, too long or holds a bar, or if there are too many.
        """
        cleaned = sorted({tag.strip() for tag in wanted})
        for tag in cleaned:
            if not tag or len(tag) > LONGEST_TAG or "|" in tag:
                raise InvalidValueError(f"'{tag[:60]}' is no tag: use 1 to {LONGEST_TAG} characters and no bar '|'.")
        if len(cleaned) > MOST_TAGS:
            raise InvalidValueError(f"{len(cleaned)} tags are too many; keep it to {MOST_TAGS}.")
        with self._database.write() as connection:
            for subject in subjects:
                connection.execute(delete(tags).where(*_is(tags, subject)))
            values = [{"kind": of.kind, "name": of.name, "tag": tag} for of in subjects for tag in cleaned]
            if values:
                connection.execute(insert(tags), values)
            touch(connection)

    def all_tags(self) -> list[str]:
        """Return every tag that something has, in alphabetical order."""
        with self._database.read() as connection:
            return list(connection.scalars(select(tags.c.tag).distinct().order_by(tags.c.tag)))


def _is(table: Table, subject: Subject) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.kind == subject.kind, table.c.name == subject.name
