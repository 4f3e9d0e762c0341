"""What the tables of both schemas share: names, the metadata they are in, column types.

The metadata is whole once `catalog_tables`, `connector_tables` and `request_tables` are imported.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import CheckConstraint, DateTime, MetaData, Text

CATALOG: Final = "catalog"
"""The schema for readers."""
CONNECTOR: Final = "connector"
"""The schema that only the connector reads and writes, but for requests to sync a shop."""

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    }
)

Id: Final = Text(collation="C")
"""Names and ids are compared and sorted by their bytes, the same on every server."""
Time: Final = DateTime(timezone=True)


def one_of(column: str, vocabulary: type[StrEnum]) -> CheckConstraint:
    """The constraint that the column holds one of the words, or null."""
    words = ", ".join(f"'{word.value}'" for word in vocabulary)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")
