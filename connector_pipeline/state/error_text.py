"""The text of an error as the tables of the schema `connector` keep it."""

from typing import Final

from connector_pipeline.model.errors import ConnectorError

LONGEST: Final = 4_000
"""Characters."""


def stored_text(error: ConnectorError) -> str:
    """The error's message and remedy, cut. An error has neither secrets nor odd characters."""
    return f"{error.message} {error.remedy}"[:LONGEST]
