"""How Alembic runs our migrations: on the connection, and inside the transaction, that the caller brings.

For development (`alembic revision`), set OMNI_DATABASE_URL to a synchronous address such as sqlite:////tmp/dev.db.
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import context

from omni_connector.store.tables import metadata


def run(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with sa.create_engine(os.environ["OMNI_DATABASE_URL"]).begin() as connection:
        run(connection)
