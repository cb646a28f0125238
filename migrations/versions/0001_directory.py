"""Members, their clients and keys; what may happen once."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001_directory"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "members",
        sa.Column("code", sa.String(200), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("jwks", json, nullable=False),
        sa.Column("created_at", moment, nullable=False),
    )
    op.create_table(
        "clients",
        sa.Column("client_id", sa.String(200), primary_key=True),
        sa.Column("member_code", sa.String(200), sa.ForeignKey("members.code"), nullable=False, index=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kinds", json, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("jwks", json, nullable=False),
        sa.Column("redirect_uris", json, nullable=False),
        sa.Column("post_logout_redirect_uris", json, nullable=False),
        sa.Column("grant_types", json, nullable=False),
        sa.Column("scopes", json, nullable=False),
        sa.Column("resources", json, nullable=False),
        sa.Column("account_kinds", json, nullable=False),
        sa.Column("sector", sa.String(200), nullable=False),
        sa.Column("created_at", moment, nullable=False),
    )
    op.create_table(
        "used_once",
        sa.Column("kind", sa.String(200), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in ("used_once", "clients", "members"):
        op.drop_table(table)
