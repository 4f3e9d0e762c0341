"""The parameters of a list request, read and refused as WordPress does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

PRODUCT_ORDERS: Final = (
    "date", "id", "include", "title", "slug", "modified", "menu_order", "price", "popularity",
    "rating",
)  # fmt: skip
VARIATION_ORDERS: Final = ("date", "id", "include", "title", "slug", "modified", "menu_order")
TYPES: Final = ("simple", "grouped", "external", "variable")
STATUSES: Final = ("any", "future", "trash", "draft", "pending", "private", "publish")

_DATE: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}(?::?\d{2})?)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One list request. `modified_after` is naive, in the zone of the column that it filters."""

    page: int
    per_page: int
    offset: int | None
    orderby: str
    order: str
    status: str
    type: str
    include: tuple[int, ...]
    parent: tuple[int, ...]
    modified_after: datetime | None
    dates_are_gmt: bool

    @property
    def start(self) -> int:
        return (self.page - 1) * self.per_page if self.offset is None else self.offset


class InvalidParameters(ValueError):
    """400 rest_invalid_param, with WordPress's body."""

    def __init__(self, problems: Mapping[str, tuple[str, str]]):
        super().__init__(", ".join(problems))
        self.body = {
            "code": "rest_invalid_param",
            "message": f"Invalid parameter(s): {', '.join(problems)}",
            "data": {
                "status": 400,
                "params": {name: message for name, (_, message) in problems.items()},
                "details": {
                    name: {"code": code, "message": message, "data": None}
                    for name, (code, message) in problems.items()
                },
            },
        }


def list_query(
    given: Mapping[str, str],
    *,
    orders: tuple[str, ...],
    utc_offset: timedelta,
    most_per_page: int = 100,
) -> ListQuery:
    """Read the parameters of a list. Raises InvalidParameters, which names all wrong ones."""
    reader = _Reader(given)
    query = ListQuery(
        page=reader.integer("page", 1, least=1),
        per_page=reader.integer("per_page", 10, least=1, most=most_per_page),
        offset=reader.integer("offset", 0, least=0) if "offset" in given else None,
        orderby=reader.one_of("orderby", "date", orders),
        order=reader.one_of("order", "desc", ("asc", "desc")),
        status=reader.one_of("status", "any", STATUSES),
        type=reader.one_of("type", "", TYPES),
        include=reader.ids("include"),
        parent=reader.ids("parent"),
        modified_after=reader.date("modified_after", utc_offset),
        dates_are_gmt=reader.boolean("dates_are_gmt"),
    )
    if reader.problems:
        raise InvalidParameters(reader.problems)
    return query


class _Reader:
    """Reads parameters one by one and collects the problems."""

    def __init__(self, given: Mapping[str, str]):
        self._given = given
        self.problems: dict[str, tuple[str, str]] = {}

    def integer(self, name: str, default: int, *, least: int, most: int | None = None) -> int:
        text = self._given.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[+-]?\d{1,18}(\.0*)?", text, re.ASCII):
            self._refuse(name, "rest_invalid_type", f"{name} is not of type integer.")
            return default
        number = int(float(text))
        if number < least or (most is not None and number > most):
            bounds = (
                f"{name} must be greater than or equal to {least}"
                if most is None
                else f"{name} must be between {least} (inclusive) and {most} (inclusive)"
            )
            self._refuse(name, "rest_out_of_bounds", bounds)
        return number

    def one_of(self, name: str, default: str, allowed: Sequence[str]) -> str:
        text = self._given.get(name)
        if text is None or text in allowed:
            return text or default
        listed = f"{', '.join(allowed[:-1])}{',' if len(allowed) > 2 else ''} and {allowed[-1]}"
        self._refuse(name, "rest_not_in_enum", f"{name} is not one of {listed}.")
        return default

    def ids(self, name: str) -> tuple[int, ...]:
        text = self._given.get(name)
        if not text:
            return ()
        parts = [part for part in re.split(r"[\s,]+", text) if part]
        for place, part in enumerate(parts):
            if not re.fullmatch(r"-?\d{1,18}", part, re.ASCII):
                message = f"{name}[{place}] is not of type integer."
                self._refuse(name, "rest_invalid_type", message)
                return ()
        return tuple(abs(int(part)) for part in parts)

    def date(self, name: str, utc_offset: timedelta) -> datetime | None:
        text = self._given.get(name)
        if text is None:
            return None
        try:
            if not _DATE.fullmatch(text):
                raise ValueError(text)
            time = datetime.fromisoformat(text.upper())
        except ValueError:
            self._refuse(name, "rest_invalid_date", "Invalid date.")
            return None
        if time.tzinfo is None:
            return time
        # WordPress converts a time with a zone to the site's own zone and drops the zone. That is
        # right for the local column, and wrong by the offset for the GMT one
        # (docs/facts/woocommerce.md, Changes since a time).
        at_utc = time.replace(tzinfo=None) - (time.utcoffset() or timedelta())
        return at_utc + utc_offset

    def boolean(self, name: str) -> bool:
        text = self._given.get(name, "false").lower()
        if text not in ("true", "1", "false", "0"):
            self._refuse(name, "rest_invalid_type", f"{name} is not of type boolean.")
        return text in ("true", "1")

    def _refuse(self, name: str, code: str, message: str) -> None:
        self.problems[name] = (code, message)


def picked(body: dict[str, Any], fields: str | None, *, alone: bool) -> dict[str, Any]:
    """The fields of `_fields=a,b.c`. A single object keeps its `_links` all the same."""
    wanted = _wanted(fields or "")
    if not wanted:
        return body
    found: dict[str, Any] = {}
    for key, value in body.items():
        if alone and key == "_links":
            found[key] = value
        elif key in wanted:
            below = wanted[key]
            if below is None:
                found[key] = value
            elif isinstance(value, dict):
                inner = picked(value, below, alone=False)  # pyright: ignore[reportUnknownArgumentType]
                if inner:
                    found[key] = inner
    return found


@lru_cache(maxsize=256)
def _wanted(fields: str) -> Mapping[str, str | None]:
    """The fields of an object, each with those below it, or None for all of it.

    Kept, because each object of a page is asked the same.
    """
    found: dict[str, str | None] = {}
    for name in re.split(r"[\s,]+", fields):
        key, dot, below = name.partition(".")
        if not dot:
            found[key] = None
        elif found.get(key, "") is not None:
            found[key] = ",".join(filter(None, (found.get(key), below)))
    found.pop("", None)
    return found
