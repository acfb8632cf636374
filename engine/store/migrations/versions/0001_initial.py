"""The first schema. Never changed after its release; later revisions change what it made."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FINAL = "('done', 'failed', 'cancelled')"


def upgrade() -> None:
    """Create all tables, and on SQLite the triggers that keep finished runs as they are."""
    _create_runs()
    _create_evidence()
    _create_presence()
    revisions = op.create_table(
        "revision",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revision"),
    )
    op.bulk_insert(revisions, [{"id": 1, "number": 0}])
    if op.get_bind().dialect.name == "sqlite":
        _create_triggers()


def _create_runs() -> None:
    op.create_table(
        "contexts",
        sa.Column("key", sa.String(16), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_contexts"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("study", sa.Text),
        sa.Column("status", sa.String(9), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("service_id", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("stage", sa.Text),
        sa.Column("progress", sa.Double),
        sa.Column("stage_message", sa.Text, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("task", "model", "dataset", "techniques", "backend", "effort")
        ),
        sa.Column("context_key", sa.String(16)),
        sa.Column("machine", sa.Text),
        sa.Column("warnings", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("result", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["context_key"], ["contexts.key"], name="fk_runs_context_key"),
        sa.CheckConstraint(f"status IN ('queued', 'running', {_FINAL[1:-1]})", name="ck_runs_status"),
        sa.CheckConstraint("status != 'running' OR service_id IS NOT NULL", name="ck_runs_owner"),
        sqlite_autoincrement=True,
    )
    for column in ("fingerprint", "study", "context_key"):
        op.create_index(f"ix_runs_{column}", "runs", [column])
    op.create_index("ix_runs_queue", "runs", ["status", "priority", "id"])


def _create_evidence() -> None:
    op.create_table(
        "stages",
        sa.Column("run_id", sa.Integer, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        *_of_run("stages", "position"),
    )
    op.create_table(
        "metrics",
        sa.Column("run_id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Double),
        sa.Column("lo", sa.Double),
        sa.Column("hi", sa.Double),
        sa.Column("n", sa.Integer),
        *_of_run("metrics", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "arrays",
        sa.Column("run_id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("dtype", sa.Text, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False, comment="an .npy file, compressed by zlib"),
        *_of_run("arrays", "name"),
    )


def _of_run(table: str, column: str) -> tuple[sa.Constraint, sa.Constraint]:
    """Return the primary key and the foreign key of a table whose rows belong to a run."""
    return (
        sa.PrimaryKeyConstraint("run_id", column, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=f"fk_{table}_run_id", ondelete="CASCADE"),
    )


def _create_presence() -> None:
    op.create_table(
        "machines",
        sa.Column("machine", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("capabilities", sa.Text, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("machine", name="pk_machines"),
    )
    op.create_table(
        "services",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_services"),
    )


def _create_triggers() -> None:
    final = "RAISE(ABORT, 'a finished run is immutable')"
    op.execute(
        f"CREATE TRIGGER runs_are_final BEFORE UPDATE ON runs WHEN OLD.status IN {_FINAL} BEGIN SELECT {final}; END"
    )
    for table in ("metrics", "arrays"):
        op.execute(f"CREATE TRIGGER {table}_are_final BEFORE UPDATE ON {table} BEGIN SELECT {final}; END")
