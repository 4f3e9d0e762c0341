"""Alembic's entry: runs the migrations on the caller's connection, or prints their SQL.

It opens no connection and leaves logging as it is: both belong to the caller.
"""

from alembic import context
from sqlalchemy import Connection

# Imported because they add their tables to the metadata, from which a new migration is made.
from connector_pipeline.postgres import (  # noqa: F401
    catalog_tables,  # pyright: ignore[reportUnusedImport]
    connector_tables,  # pyright: ignore[reportUnusedImport]
    hint_tables,  # pyright: ignore[reportUnusedImport]
    installation,  # pyright: ignore[reportUnusedImport]
    lock_tables,  # pyright: ignore[reportUnusedImport]
    request_tables,  # pyright: ignore[reportUnusedImport]
    totals_table,  # pyright: ignore[reportUnusedImport]
)
from connector_pipeline.postgres.schema import metadata
from connector_pipeline.postgres.schema_names import CONNECTOR

connection = context.config.attributes.get("connection")
if context.is_offline_mode():
    # The caller begins and ends the transaction, and puts more statements into it.
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        transactional_ddl=False,
        version_table_schema=CONNECTOR,
    )
elif isinstance(connection, Connection):
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=CONNECTOR,
        include_schemas=True,
        compare_server_default=True,
    )
else:
    raise RuntimeError("run migrations with `connector-pipeline migrate`, not with alembic itself")

with context.begin_transaction():
    context.run_migrations()
