"""The text of an error as the tables of the schema `connector` keep it."""

from typing import Final

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.storable import clipped_lines

LONGEST: Final = 4_000
"""Bytes."""


def stored_text(error: ConnectorError) -> str:
    """The error's message and remedy, in at most so many bytes."""
    return clipped_lines(f"{error.message} {error.remedy}", most_bytes=LONGEST)
