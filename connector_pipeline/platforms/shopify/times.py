"""Reads the times that Shopify states."""

from datetime import datetime
from typing import Any


def time_of(text: Any) -> datetime | None:
    """The time that a text states with its zone; None for anything else."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return None if time.tzinfo is None else time
