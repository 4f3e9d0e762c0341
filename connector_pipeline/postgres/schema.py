"""Metadata and column types that the tables of both schemas share.

The metadata is whole once `catalog_tables`, `connector_tables`, `hint_tables`, `installation`,
`lock_tables`, `request_tables` and `totals_table` are imported.
"""

from enum import Enum
from typing import Final

from sqlalchemy import CheckConstraint, DateTime, MetaData, Text

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    }
)

Id: Final = Text(collation="C")
"""The type of names and ids: every server compares and sorts them by their bytes."""
Time: Final = DateTime(timezone=True)


def one_of(column: str, vocabulary: type[Enum]) -> CheckConstraint:
    """The constraint that the column holds a word of the vocabulary, or null."""
    words = ", ".join(f"'{word.value}'" for word in vocabulary)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")
