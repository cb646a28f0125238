"""Accounts, authenticators, sessions, pairwise subjects, throttling."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003_identity"
down_revision = "0002_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("given_name", sa.String(200), nullable=False),
        sa.Column("family_name", sa.String(200), nullable=False),
        sa.Column("birthdate", sa.Date(), nullable=True),
        sa.Column("member_code", sa.String(200), sa.ForeignKey("members.code"), nullable=True, index=True),
        sa.Column("roles", json, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(300), nullable=False),
        sa.Column("sealed_code_secret", sa.LargeBinary(), nullable=True),
        sa.Column("last_timecode", sa.BigInteger(), nullable=True),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.UniqueConstraint("kind", "email"),
    )
    op.create_table(
        "sign_in_sessions",
        sa.Column("session_id", sa.Uuid(), primary_key=True),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
        sa.Column("methods", json, nullable=False),
        sa.Column("awaiting_code", sa.Boolean(), nullable=False),
        sa.Column("authenticated_at", moment, nullable=False),
        sa.Column("idle_until", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )
    op.create_table(
        "pairwise_subjects",
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("accounts.account_id"), primary_key=True),
        sa.Column("sector", sa.String(200), primary_key=True),
        sa.Column("sub", sa.String(64), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.UniqueConstraint("sector", "sub"),
    )
    op.create_table(
        "sign_in_attempts",
        sa.Column("key", sa.LargeBinary(32), primary_key=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in ("sign_in_attempts", "pairwise_subjects", "sign_in_sessions", "accounts"):
        op.drop_table(table)
