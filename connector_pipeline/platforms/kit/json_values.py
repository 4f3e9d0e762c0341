"""Reads values of parsed JSON, in which any type may stand in any place."""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeGuard

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import RawPage

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value is a JSON list."""
    return isinstance(value, list)


def value_at(value: object, *path: str) -> Any:
    """The value at a path of names; None where the path breaks off."""
    for name in path:
        if not is_object(value):
            return None
        value = value.get(name)
    return value


def object_at(value: object, *path: str, of: str) -> dict[str, Any]:
    """The object at a path. Raises InvalidResponse, which names `of`, where there is none."""
    found = value_at(value, *path)
    if not is_object(found):
        raise InvalidResponse(f"{of} has no object {'.'.join(path)!r}.")
    return found


def list_at(value: object, *path: str, of: str) -> list[Any]:
    """The list at a path; for no path, the value itself. Raises InvalidResponse as `object_at`."""
    found = value_at(value, *path)
    if not is_list(found):
        raise InvalidResponse(
            f"{of} has no list {'.'.join(path)!r}." if path else f"{of} is no list."
        )
    return found


def objects_in(value: object) -> Iterator[dict[str, Any]]:
    """The entries of a list that are objects; none where the value is no list."""
    if is_list(value):
        yield from filter(is_object, value)


def text_at(value: object, *path: str) -> str | None:
    """The text at a path; None where there is no text."""
    found = value_at(value, *path)
    return found if isinstance(found, str) else None


def currency_at(value: object, *path: str, of: str) -> str:
    """The currency code at a path, three capitals. Raises InvalidResponse as `object_at`."""
    found = value_at(value, *path)
    if not isinstance(found, str) or not _CURRENCY.fullmatch(found):
        raise InvalidResponse(f"{of} has no ISO 4217 code in {'.'.join(path)!r}: {found!r:.40}.")
    return found


def json_of(page: RawPage, *, of: str) -> Any:
    """A raw page's JSON. Raises InvalidResponse, which names `of`, where it is not JSON."""
    try:
        return parse_json(page.body)
    except ValueError as error:
        raise InvalidResponse(f"A {page.kind} page of {of} is not JSON.") from error
