"""The names of the two schemas. They are apart from the tables, which need SQLAlchemy."""

from typing import Final

CATALOG: Final = "catalog"
"""The schema for readers."""
CONNECTOR: Final = "connector"
"""Our own schema. Other services write sync requests into it, and nothing else."""
