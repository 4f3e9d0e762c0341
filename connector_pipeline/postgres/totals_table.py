"""The table of the schema `connector` for the sums over syncs that ended.

The migrations make exactly this; a test compares the two. The view `connector.metrics`, which reads
it, is in the migrations alone.
"""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Table, Text

from connector_pipeline.postgres.schema import Id, Time, metadata
from connector_pipeline.postgres.schema_names import CONNECTOR


def _count(name: str, comment: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0", comment=comment)


sync_totals: Final = Table(
    "sync_totals",
    metadata,
    Column("platform_name", Id, primary_key=True, comment="The platform of the syncs."),
    Column("status", Text, primary_key=True, comment="How the syncs ended."),
    Column(
        "error_code",
        Id,
        primary_key=True,
        comment="The name of the error they failed with. Empty: they did not fail.",
    ),
    _count("syncs", "How many syncs ended so."),
    _count("inserted", "Items new to the catalog."),
    _count("updated", "Items whose content differed."),
    _count("unchanged", "Items that the catalog held already, and the same."),
    _count("revived", "Tombstones whose variant returned."),
    _count("deleted", "Items that became tombstones."),
    _count("rejected", "Variants that could not be normalized."),
    _count("requests", "Requests made."),
    Column(
        "waited_seconds",
        Double[float](),
        nullable=False,
        server_default="0",
        comment="Seconds spent waiting as the platform asked, or for a retry.",
    ),
    Column(
        "counted_until",
        Time,
        nullable=False,
        comment="The newest of these times in the table: syncs that finished by then are counted.",
    ),
    CheckConstraint("status IN ('succeeded', 'failed')", name="status_known"),
    schema=CONNECTOR,
    comment="Syncs that ended, counted before their rows are deleted: these sums only grow.",
)
