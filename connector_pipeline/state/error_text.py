"""The text of an error as the tables of the schema `connector` keep it."""

from typing import Final

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.storable import escaped

LONGEST: Final = 4_000


def stored_text(error: ConnectorError) -> str:
    """The error's message and remedy. A message may quote a platform, so it is escaped and cut."""
    return escaped(f"{error.message} {error.remedy}")[:LONGEST]
