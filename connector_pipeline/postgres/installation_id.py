"""The id that distinguishes one database of ours from all others."""

from datetime import UTC

import psycopg


def installation_id(connection: psycopg.Connection) -> str:
    """When the database's tables were made, in microseconds. A restored backup has the same."""
    row = connection.execute("SELECT made_at FROM connector.installation").fetchone()
    assert row is not None  # noqa: S101 - the migration inserts the only row
    return row[0].astimezone(UTC).isoformat(timespec="microseconds")
