"""alerts: damping is kept with each, silences may be about a connection, notices know their job"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("alert_notices", schema=None) as batch_op:
        batch_op.add_column(sa.Column("job", sa.String(length=36), server_default="", nullable=False))

    with op.batch_alter_table("alert_silences", schema=None) as batch_op:
        batch_op.add_column(sa.Column("connection", sa.String(length=36), server_default="", nullable=False))
        batch_op.create_index("ix_alert_silences_until", ["until_ms"], unique=False)

    with op.batch_alter_table("incidents", schema=None) as batch_op:
        batch_op.add_column(sa.Column("flapping", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("over_ms", sa.BigInteger(), nullable=True))
