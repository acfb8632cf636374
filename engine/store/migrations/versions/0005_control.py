"""What people ask of every engine of this database: to pause, or to go on."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the one row that says whether engines are paused: they are not."""
    control = op.create_table(
        "control",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("who", sa.Text),
        sa.Column("since", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_control"),
    )
    op.bulk_insert(control, [{"id": 1, "paused": False}])
