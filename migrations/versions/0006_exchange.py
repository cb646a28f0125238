"""Exchanges and their receipts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006_exchange"
down_revision = "0005_agreements"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "exchanges",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("retry_mac", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("request_digest", sa.String(64), nullable=False),
        sa.Column("client_id", sa.String(200), nullable=False),
        sa.Column("consumer", sa.String(200), nullable=False),
        sa.Column("provider", sa.String(200)),
        sa.Column("officer_account", sa.Uuid()),
        sa.Column("service", sa.String(200), nullable=False),
        sa.Column("purpose", sa.String(200), nullable=False),
        sa.Column("agreement", sa.String(200)),
        sa.Column("agreement_version", sa.Integer()),
        sa.Column("legal_gateway", sa.String(200)),
        sa.Column("policy_digest", sa.String(100), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("subject_sub", sa.String(255)),
        sa.Column("handle", sa.String(64), nullable=False),
        sa.Column("requested_fields", json, nullable=False),
        sa.Column("decision", sa.String(10), nullable=False),
        sa.Column("decision_record", json, nullable=False),
        sa.Column("rules", json, nullable=False),
        sa.Column("fields_disclosed", json, nullable=False),
        sa.Column("fields_withheld", json, nullable=False),
        sa.Column("opened_at", moment, nullable=False, index=True),
        sa.Column("lease_until", moment, nullable=False),
        sa.Column("closed_at", moment),
        sa.Column("receipt", sa.Text()),
        sa.Column("answer_status", sa.Integer()),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("answer_until", moment),
    )
    for name, column, condition in (
        ("ix_exchanges_open", "lease_until", "state = 'open'"),
        ("ix_exchanges_kept_answers", "answer_until", "answer IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "exchanges", [column], postgresql_where=where, sqlite_where=where)
    op.create_table(
        "subject_restrictions",
        sa.Column("subject", sa.String(200), primary_key=True),
        sa.Column("service", sa.String(200), primary_key=True),
        sa.Column("created_at", moment, nullable=False),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in ("subject_restrictions", "exchanges"):
        op.drop_table(table)
