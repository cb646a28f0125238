"""Authorization codes, tokens."""


import sqlalchemy as sa
from alembic import op

revision = "0004_oidc"
down_revision = "0003_identity"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Undo `upgrade`."""
