"""The tables. Migrations build them; a test holds the two equal."""

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from engine.results import Status

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite knows no time zones, so it is stored as UTC and marked again on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class StatusText(TypeDecorator[Status]):
    """A status under its value; some drivers would store an enumeration's member under its name."""

    impl = String(9)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else Status(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Status | None:
        return None if value is None else Status(value)


contexts = Table(
    "contexts",
    metadata,
    Column("key", String(16), primary_key=True),
    Column("document", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False, index=True),
    Column("spec", Text, nullable=False),
    Column("study", Text, index=True),
    Column("status", StatusText, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("cancel_requested", Boolean(create_constraint=False), nullable=False),
    Column("service_id", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("stage", Text),
    Column("progress", Double),
    Column("stage_message", Text, nullable=False),
    # What a table of runs shows, written once at the insert so that no spec is parsed to show it.
    Column("task", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("techniques", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("effort", Text, nullable=False),
    # Set at the end.
    Column("context_key", String(16), ForeignKey("contexts.key"), index=True),
    Column("machine", Text),
    Column("warnings", Text, nullable=False),
    Column("error", Text),
    # Last, because it is long: SQLite reads a row's pages only as far as it must.
    Column("result", Text),
    CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
    CheckConstraint("status != 'running' OR service_id IS NOT NULL", name="owner"),
    # An id is never used twice, so that a folder or a link of a run can never mean another one.
    sqlite_autoincrement=True,
)
Index("ix_runs_queue", runs.c.status, runs.c.priority, runs.c.id)

stages = Table(
    "stages",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("cached", Boolean(create_constraint=False), nullable=False),
    Column("detail", Text, nullable=False),
)

metrics = Table(
    "metrics",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Double),
    Column("lo", Double),
    Column("hi", Double),
    Column("n", Integer),
    # Rows of one run lie side by side, so that reading a whole run is one walk.
    sqlite_with_rowid=False,
)

arrays = Table(
    "arrays",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("dtype", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("data", LargeBinary, nullable=False, comment="an .npy file, compressed by zlib"),
)

machines = Table(
    "machines",
    metadata,
    Column("machine", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("capabilities", Text, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

services = Table(
    "services",
    metadata,
    Column("id", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("heartbeat_at", UtcDateTime, nullable=False),
)

selfchecks = Table(
    "selfchecks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("machine", Text, nullable=False, index=True),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("passed", Boolean(create_constraint=False), nullable=False),
    Column("document", Text, nullable=False),
)

# What people write about runs and studies stands beside the record, which is immutable.
notes = Table(
    "notes",
    metadata,
    Column("kind", String(5), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column("kind", String(5), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("tag", Text, primary_key=True, index=True),
)

# What pages ask language models; forgotten after an hour.
questions = Table(
    "questions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("new_tokens", Integer, nullable=False),
    Column("status", String(9), nullable=False),
    Column("service_id", Text),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("said", Text, nullable=False, comment="JSON: what each side has said so far"),
    Column("error", Text),
    # A page remembers an id; it must never find somebody else's question under it.
    sqlite_autoincrement=True,
)
Index("ix_questions_status", questions.c.status, questions.c.id)

# One row: what people ask of every engine of this database.
control = Table(
    "control",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("paused", Boolean(create_constraint=False), nullable=False),
    Column("who", Text),
    Column("since", UtcDateTime),
)

# One row, counted up by every write that a page could show. `PRAGMA data_version` would be cheaper, but it counts per
# connection, and connections come from a pool; a counter also works on every other database.
revision = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)
