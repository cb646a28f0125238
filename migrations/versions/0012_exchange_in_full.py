"""For the exchange in full: what evidence needs, attachments, quotas and budgets, objections, contacts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012_exchange_in_full"
down_revision = "0011_exchanged_tokens"
branch_labels = None
depends_on = None

COLUMNS = {
    "exchanges": ("provider_jwt", "provider_jwk", "checks_jwt", "client_key", "match_level"),
    "members": ("functions", "contacts"),
    "services": ("thresholds", "max_attachment_bytes"),
}
TABLES = ("subject_objections", "policy_versions", "exchange_attachments", "quota_windows", "subject_queries")


def upgrade() -> None:
    """Add columns that older code leaves empty, and make the tables."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    for name, kind in (
        ("provider_jwt", sa.Text()),
        ("provider_jwk", json),
        ("checks_jwt", sa.Text()),
        ("client_key", sa.String(200)),
        ("match_level", sa.String(20)),
    ):
        op.add_column("exchanges", sa.Column(name, kind, nullable=True))
    for name in ("functions", "contacts"):
        op.add_column("members", sa.Column(name, json, nullable=True))
    op.add_column("services", sa.Column("thresholds", json, nullable=True))
    op.add_column("services", sa.Column("max_attachment_bytes", sa.Integer(), nullable=True))
    op.create_table(
        "subject_queries",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("scope", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
        sa.Index("ix_subject_queries_scope_subject", "scope", "subject"),
    )
    op.create_table(
        "quota_windows",
        sa.Column("scope", sa.String(200), primary_key=True),
        sa.Column("starts_at", moment, primary_key=True),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )
    op.create_table(
        "exchange_attachments",
        sa.Column("exchange", sa.Uuid(), sa.ForeignKey("exchanges.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("field", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(200), nullable=False),
        sa.Column("claimed_by", sa.LargeBinary(32), nullable=True),
        sa.Column("claimed_at", moment, nullable=True),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )
    op.create_table(
        "policy_versions",
        sa.Column("digest", sa.String(100), primary_key=True),
        sa.Column("texts", json, nullable=False),
        sa.Column("first_used_at", moment, nullable=False),
    )
    op.create_table(
        "subject_objections",
        sa.Column("list", sa.String(200), primary_key=True),
        sa.Column("subject", sa.String(200), primary_key=True),
        sa.Column("created_at", moment, nullable=False),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in TABLES:
        op.drop_table(table)
    for table, columns in COLUMNS.items():
        with op.batch_alter_table(table) as altered:
            for column in columns:
                altered.drop_column(column)
