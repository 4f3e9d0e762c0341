"""Reads what deliveries of webhooks hold: words and ids that go into columns, and times."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.json_values import is_object

_WORD: Final = re.compile(r"[A-Za-z0-9_./:=+-]{1,200}")
# [0-9], because \d has other scripts, which int() reads, too.
_DIGITS: Final = re.compile(r"[1-9][0-9]{0,18}")
_LARGEST_ID: Final = 2**63 - 1


def word(written: str | None, *, of: str) -> str:
    """A header's value, if it is one word of ASCII. Raises InvalidResponse, which names `of`."""
    found = word_or_none(written)
    if found is None:
        raise InvalidResponse(f"the delivery has no {of}, or one of another form.")
    return found


def word_or_none(written: str | None) -> str | None:
    """A header's value, if it is one word of ASCII; None: it is absent, or of another form."""
    return written if written is not None and _WORD.fullmatch(written) else None


def payload(body: bytes, *, topic: str) -> Mapping[str, Any]:
    """The object in the body of a delivery. Raises InvalidResponse for anything else."""
    try:
        parsed = parse_json(body)
    except ValueError:
        # Without its text, which quotes the body.
        raise InvalidResponse(f"the body of a delivery of {topic} is not JSON.") from None
    if not is_object(parsed):
        raise InvalidResponse(f"the body of a delivery of {topic} is no JSON object.")
    return parsed


def positive_id(value: object) -> str | None:
    """A positive whole number as text, of a number or of digits in a text; None: it is none."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST_ID:
        return None
    return str(value)


def time_in(written: object, *, without_zone_is_utc: bool = False) -> datetime | None:
    """A time in UTC; None for anything else, as a hint may do without it."""
    if not isinstance(written, str):
        return None
    try:
        time = datetime.fromisoformat(written)
        if time.tzinfo is None:
            return time.replace(tzinfo=UTC) if without_zone_is_utc else None
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
