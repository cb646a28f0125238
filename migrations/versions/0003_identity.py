"""Accounts, authenticators, sessions, pairwise subjects, throttling."""


import sqlalchemy as sa
from alembic import op

revision = "0003_identity"
down_revision = "0002_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Undo `upgrade`."""
