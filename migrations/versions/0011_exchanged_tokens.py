"""For token exchange and the grace of refresh tokens: from which token another was made, and answers to forget."""

import sqlalchemy as sa
from alembic import op

revision = "0011_exchanged_tokens"
down_revision = "0010_registration"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and two partial indexes: most rows have neither."""
    with op.batch_alter_table("access_tokens") as access_tokens:
        access_tokens.add_column(sa.Column("made_from", sa.LargeBinary(32), nullable=True))
        access_tokens.create_foreign_key(
            "fk_access_tokens_made_from", "access_tokens", ["made_from"], ["token_hash"], ondelete="CASCADE"
        )
    for table, column, kept in (
        ("access_tokens", "made_from", "made_from IS NOT NULL"),
        ("refresh_tokens", "used_at", "sealed_answer IS NOT NULL"),
    ):
        op.create_index(
            f"ix_{table}_{column}", table, [column], sqlite_where=sa.text(kept), postgresql_where=sa.text(kept)
        )


def downgrade() -> None:
    """Undo `upgrade`."""
    op.drop_index("ix_refresh_tokens_used_at", "refresh_tokens")
    op.drop_index("ix_access_tokens_made_from", "access_tokens")
    with op.batch_alter_table("access_tokens") as access_tokens:
        access_tokens.drop_constraint("fk_access_tokens_made_from", type_="foreignkey")
        access_tokens.drop_column("made_from")
