"""Shopify's search syntax, as far as a catalog reader needs it.

An invalid filter is ignored, and everything comes back with `extensions.search[].warnings`
(docs/facts/shopify.md, Increments). A reader that overlooks the warnings gets a wrong catalog.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

_TERM: Final = re.compile(r"""\s*(?:(?P<and>AND\b)|(?P<field>\w+):(?P<op>>=|<=|>|<)?"""
                          r"""(?P<value>'[^']*'|"[^"]*"|[^\s]+)|(?P<rest>\S+))""")  # fmt: skip

Test = Callable[[Any], bool]
Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed filter: the `tests` that a record must pass, and the warnings to send."""

    tests: tuple[Test, ...]
    warnings: tuple[dict[str, str], ...]
    parsed: tuple[dict[str, Any], ...]

    def matches(self, record: Any) -> bool:
        return all(test(record) for test in self.tests)


def parse_search(query: str | None, fields: Mapping[str, tuple[str, Read]]) -> Search:
    """Parse a filter over `fields`: by name, the kind (time, number, text) and a reading function.

    Terms are `name:value` with >, >=, <, <=, joined by AND or a space. A term that cannot be read
    has a warning and filters nothing.
    """
    tests: list[Test] = []
    warnings: list[dict[str, str]] = []
    parsed: list[dict[str, Any]] = []
    for term in _TERM.finditer(query or ""):
        if term["and"]:
            continue
        if term["rest"]:
            warnings.append(_warning(term["rest"], "Term is not supported.", "invalid_term"))
            continue
        name, operator, text = term["field"], term["op"] or "=", term["value"].strip("'\"")
        parsed.append({"field": name, _PARSED_NAMES[operator]: text})
        if name not in fields:
            warnings.append(_warning(name, "Invalid search field for this query.", "invalid_field"))
            continue
        kind, read = fields[name]
        try:
            tests.append(_test(kind, read, operator, text))
        except ValueError:
            message = f"Input `{text}` is not a valid {kind}."
            warnings.append(_warning(name, message, "invalid_value"))
    return Search(tuple(tests), tuple(warnings), tuple(parsed))


_PARSED_NAMES: Final = {"=": "match_all", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def _warning(field: str, message: str, code: str) -> dict[str, str]:
    return {"field": field, "message": message, "code": code}


def _test(kind: str, read: Read, operator: str, text: str) -> Test:
    if kind == "text":
        wanted = {part.strip().casefold() for part in text.split(",")}
        return lambda record: str(read(record)).casefold() in wanted
    value = _time(text) if kind == "time" else int(text)
    compare: dict[str, Callable[[Any], bool]] = {
        "=": lambda other: other == value,
        ">": lambda other: other > value,
        ">=": lambda other: other >= value,
        "<": lambda other: other < value,
        "<=": lambda other: other <= value,
    }
    chosen = compare[operator]
    return lambda record: chosen(read(record))


def _time(text: str) -> datetime:
    # `2026-11-23T10:00:00Z`, with an offset, or a day alone. Without a zone we take it as UTC.
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
