"""What is to be delivered; which clients know a session; sessions end at their time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009_outbox"
down_revision = "0008_provider"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "outbox_deliveries",
        sa.Column("delivery_id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.String(60), nullable=False),
        sa.Column("recipient", sa.String(200), nullable=False),
        sa.Column("payload", json, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempts_allowed", sa.Integer(), nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("reason", sa.String(200), nullable=True),
        sa.Column("settled_at", moment, nullable=True),
        sa.Column("expires_at", moment, nullable=True, index=True),
    )
    op.create_index(
        "ix_outbox_deliveries_state_recipient_due_at", "outbox_deliveries", ["state", "recipient", "due_at"]
    )
    op.create_table(
        "client_sessions",
        sa.Column("session_id", sa.Uuid(), primary_key=True),
        sa.Column("client_id", sa.String(200), sa.ForeignKey("clients.client_id"), primary_key=True),
        sa.Column("sid", sa.String(64), nullable=False),
        sa.Column("sub", sa.String(64), nullable=False),
        sa.Column("began_at", moment, nullable=False),
    )
    # Sessions end when they were idle for too long, not only after their day: `work` looks for both.
    op.create_index("ix_sign_in_sessions_idle_until", "sign_in_sessions", ["idle_until"])
    op.add_column("sign_in_sessions", sa.Column("continues", sa.Uuid(), nullable=True))
    op.create_index("ix_authorizations_session_id", "authorizations", ["session_id"])


def downgrade() -> None:
    """Undo `upgrade`."""
    op.drop_index("ix_authorizations_session_id", "authorizations")
    op.drop_column("sign_in_sessions", "continues")
    op.drop_index("ix_sign_in_sessions_idle_until", "sign_in_sessions")
    op.drop_table("client_sessions")
    op.drop_table("outbox_deliveries")
