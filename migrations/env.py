"""How Alembic reaches the database: a connection handed over by `gateway.migrate`, or `-x url=…` for developers."""

from alembic import context
from sqlalchemy import Connection, create_engine

import gateway.audit.models
import gateway.directory.models
import gateway.identity.models
import gateway.oidc.clients.models
import gateway.oidc.models
import gateway.once.models
import gateway.outbox.models
import gateway.policy.models
import gateway.sharing.agreements.models
import gateway.sharing.catalogue.models
import gateway.sharing.exchange.models  # noqa: F401 - all of these: each room's tables hang themselves on Base
from gateway.db import Base


def run(connection: Connection) -> None:
    """Run the migrations on one open connection, in one transaction each."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).connect() as connection:
        run(connection)
