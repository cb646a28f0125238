"""The catalogue and the agreements."""


import sqlalchemy as sa
from alembic import op

revision = "0005_agreements"
down_revision = "0004_oidc"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""


def downgrade() -> None:
    """Undo `upgrade`."""
