"""Exchanges and their receipts."""


import sqlalchemy as sa
from alembic import op

revision = "0006_exchange"
down_revision = "0005_agreements"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Undo `upgrade`."""
