"""The log: events, the head, counted noise."""

import sqlalchemy as sa
from alembic import op

revision = "0002_audit"
down_revision = "0001_directory"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the one row of the head."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("leaf_index", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", moment, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        sa.Column("reference", sa.String(200), nullable=True, index=True),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("subject_tag", sa.String(64), nullable=False, index=True),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=False),
    )
    unnumbered = sa.text("leaf_index IS NULL")
    op.create_index(
        "ix_audit_events_unnumbered", "audit_events", ["id"], sqlite_where=unnumbered, postgresql_where=unnumbered
    )
    numbered = sa.text("leaf_index IS NOT NULL")
    op.create_index(
        "uq_audit_events_leaf_index",
        "audit_events",
        ["leaf_index"],
        unique=True,
        sqlite_where=numbered,
        postgresql_where=numbered,
    )
    op.create_index("ix_audit_events_name_id", "audit_events", ["name", "id"])
    head = op.create_table(
        "audit_log_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("published_size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=True),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("published_at", moment, nullable=True),
        sa.CheckConstraint("id = 1", name="single"),
        sa.CheckConstraint("published_size <= size", name="published_is_numbered"),
    )
    op.bulk_insert(head, [{"id": 1, "size": 0, "published_size": 0}])
    op.create_table(
        "audit_noise",
        sa.Column("minute", moment, primary_key=True),
        sa.Column("code", sa.String(200), primary_key=True),
        sa.Column("source_tag", sa.String(64), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in ("audit_noise", "audit_log_head", "audit_events"):
        op.drop_table(table)
