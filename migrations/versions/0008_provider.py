"""What a whole OpenID Provider keeps: how clients registered, what a code is bound to, pushed requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008_provider"
down_revision = "0007_keeping"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns, and the table of pushed requests."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.add_column("clients", sa.Column("oauth", json, nullable=False, server_default="{}"))
    op.add_column("clients", sa.Column("revision", sa.String(32), nullable=False, server_default=""))
    op.add_column("authorizations", sa.Column("dpop_jkt", sa.String(64), nullable=True))
    op.add_column("authorizations", sa.Column("claims", json, nullable=True))
    op.add_column("authorizations", sa.Column("offline", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("refresh_tokens", sa.Column("request_digest", sa.LargeBinary(32), nullable=True))
    op.add_column("refresh_tokens", sa.Column("sealed_answer", sa.LargeBinary(), nullable=True))
    op.create_table(
        "pushed_requests",
        sa.Column("reference_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("client_id", sa.String(200), sa.ForeignKey("clients.client_id"), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("usable_until", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    op.drop_table("pushed_requests")
    for column in ("sealed_answer", "request_digest"):
        op.drop_column("refresh_tokens", column)
    for column in ("offline", "claims", "dpop_jkt"):
        op.drop_column("authorizations", column)
    for column in ("revision", "oauth"):
        op.drop_column("clients", column)
