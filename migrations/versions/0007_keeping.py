"""How far the log is archived, and how far details were forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0007_keeping"
down_revision = "0006_exchange"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what keeping needs; no row of the log is touched, however many there are."""
    archived = sa.Column("archived_size", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("audit_log_head", archived)
    op.create_table(
        "audit_forgotten",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("after", sa.Uuid(), nullable=False),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    op.drop_table("audit_forgotten")
    op.drop_column("audit_log_head", "archived_size")
