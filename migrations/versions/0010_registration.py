"""How clients come to be registered: secrets, tokens that allow registration, keys fetched by URL."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010_registration"
down_revision = "0009_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "client_secrets",
        sa.Column("secret_id", sa.Uuid(), primary_key=True),
        sa.Column("client_id", sa.String(200), sa.ForeignKey("clients.client_id"), nullable=False, index=True),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=True),
    )
    op.create_table(
        "initial_access_tokens",
        sa.Column("token_id", sa.Uuid(), primary_key=True),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("member_code", sa.String(200), sa.ForeignKey("members.code"), nullable=False),
        sa.Column("limits", json, nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("issued_at", moment, nullable=False),
        sa.Column("issued_by", sa.String(200), nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )
    op.create_table(
        "registration_access_tokens",
        sa.Column("client_id", sa.String(200), sa.ForeignKey("clients.client_id"), primary_key=True),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("earlier_hash", sa.LargeBinary(32), nullable=True, unique=True),
        sa.Column("limits", json, nullable=False),
        sa.Column("issued_at", moment, nullable=False),
    )
    op.create_table(
        "client_key_sets",
        sa.Column("client_id", sa.String(200), sa.ForeignKey("clients.client_id"), primary_key=True),
        sa.Column("jwks_uri", sa.Text(), nullable=False),
        sa.Column("keys", json, nullable=False),
        sa.Column("fetched_at", moment, nullable=True),
        sa.Column("fresh_until", moment, nullable=True),
        sa.Column("attempted_at", moment, nullable=False),
        sa.Column("failure", sa.String(200), nullable=True),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in ("client_key_sets", "registration_access_tokens", "initial_access_tokens", "client_secrets"):
        op.drop_table(table)
