"""Alembic's entry: runs the migrations on the connection that `postgres/migrate.py` hands over.

No connection is made here, and logging is left as it is: both belong to whoever migrates.
"""

from alembic import context
from sqlalchemy import Connection

from connector_pipeline.postgres.tables import CONNECTOR, metadata

connection = context.config.attributes.get("connection")
if not isinstance(connection, Connection):
    raise RuntimeError("run migrations with `connector-pipeline migrate`, not with alembic itself")

context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema=CONNECTOR,
    include_schemas=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
