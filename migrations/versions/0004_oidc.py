"""Authorization codes, tokens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004_oidc"
down_revision = "0003_identity"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "authorizations",
        sa.Column("authorization_id", sa.Uuid(), primary_key=True),
        sa.Column("code_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("client_id", sa.String(200), sa.ForeignKey("clients.client_id"), nullable=False),
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("resources", json, nullable=False),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("code_challenge", sa.String(128), nullable=False),
        sa.Column("acr", sa.String(20), nullable=False),
        sa.Column("methods", json, nullable=False),
        sa.Column("auth_time", moment, nullable=False),
        sa.Column("issued_at", moment, nullable=False),
        sa.Column("code_expires_at", moment, nullable=False),
        sa.Column("redeemed_at", moment, nullable=True),
        sa.Column("revoked_at", moment, nullable=True),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )
    family = "authorizations.authorization_id"
    op.create_table(
        "access_tokens",
        sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("authorization_id", sa.Uuid(), sa.ForeignKey(family, ondelete="CASCADE"), nullable=True, index=True),
        sa.Column("client_id", sa.String(200), sa.ForeignKey("clients.client_id"), nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("authorization_id", sa.Uuid(), sa.ForeignKey(family, ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("issued_at", moment, nullable=False),
        sa.Column("used_at", moment, nullable=True),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in ("refresh_tokens", "access_tokens", "authorizations"):
        op.drop_table(table)
