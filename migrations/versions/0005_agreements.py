"""The catalogue and the agreements."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005_agreements"
down_revision = "0004_oidc"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "services",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("provider", sa.String(200), sa.ForeignKey("members.code"), nullable=False, index=True),
        sa.Column("provider_client", sa.String(200), sa.ForeignKey("clients.client_id"), nullable=False, index=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("field_schema", json, nullable=False),
        sa.Column("match", json, nullable=False),
        sa.Column("answer_seconds", sa.Float(), nullable=False),
        sa.Column("max_answer_bytes", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("endpoint", sa.String(2000), nullable=True),
        sa.Column("recorded_at", moment, nullable=False),
    )
    op.create_table(
        "agreements",
        sa.Column("reference", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("consumer", sa.String(200), sa.ForeignKey("members.code"), nullable=False),
        sa.Column("provider", sa.String(200), sa.ForeignKey("members.code"), nullable=False),
        sa.Column("service", sa.String(200), sa.ForeignKey("services.id"), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("superseded_on", sa.Date(), nullable=True),
        sa.Column("imported_at", moment, nullable=False),
        sa.Column("status_changed_at", moment, nullable=False),
    )
    op.create_index("ix_agreements_consumer_service", "agreements", ["consumer", "service"])
    op.create_table(
        "agreement_signatures",
        sa.Column("reference", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("member", sa.String(200), sa.ForeignKey("members.code"), primary_key=True),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(200), nullable=False),
        sa.Column("recorded_at", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["reference", "version"],
            ["agreements.reference", "agreements.version"],
            name="fk_agreement_signatures_reference_version",
        ),
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in ("agreement_signatures", "agreements", "services"):
        op.drop_table(table)
