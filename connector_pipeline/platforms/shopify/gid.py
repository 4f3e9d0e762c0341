"""Reads Shopify's global ids: `gid://shopify/Product/123`."""

import re
from functools import cache


@cache
def _pattern(type_name: str) -> re.Pattern[str]:
    return re.compile(rf"gid://shopify/{re.escape(type_name)}/([0-9]{{1,20}})")


def numeric_id(gid: object, type_name: str) -> str | None:
    """The number in a gid of this type, as text; None for any other value."""
    if not isinstance(gid, str):
        return None
    # fullmatch, because `$` would accept a trailing newline.
    match = _pattern(type_name).fullmatch(gid)
    return match[1] if match else None
