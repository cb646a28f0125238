"""The log: events, details, heads."""


import sqlalchemy as sa
from alembic import op

revision = "0002_audit"
down_revision = "0001_directory"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Undo `upgrade`."""
