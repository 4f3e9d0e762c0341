"""Reads a list page by page: one class for each way in which platforms number their pages.

    PageNumbers   ?page=3&per_page=100
    Offsets       ?offset=200&limit=100
    Cursors       ?cursor=eyJpZCI6OX0&limit=100, the cursor from the page before

A platform with a way of its own adds a class that fulfils `Paging`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import parse_qs, urlsplit

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.json_values import value_at

Params = Mapping[str, str | int]

LONGEST_CURSOR: Final = 4096
"""A longer cursor is an error: it would not even fit into the address of the next page."""

# <https://api.example/products?page_info=abc>; rel="next" (RFC 8288)
_LINK: Final = re.compile(r"<([^<>]*)>((?:\s*;[^,<]*)*)")
_REL_NEXT: Final = re.compile(r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next\b)', re.I)


class Page(Protocol):
    """A page, as far as it shows which pages follow it."""

    @property
    def asked(self) -> Params:
        """The parameters with which the page was asked for."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether the page has no objects."""
        ...

    @property
    def total(self) -> int | None:
        """The length of the list, None where the platform does not state it."""
        ...

    @property
    def cursor(self) -> str | None:
        """The cursor that `Paging.cursor` read from the answer."""
        ...


class Paging(Protocol):
    """A way to number pages."""

    def first(self, params: Params) -> Params:
        """The parameters of a list's first page; `params` are the list's own."""
        ...

    def following(self, page: Page) -> Iterator[Params]:
        """The parameters of the pages after this one, as far as it shows them; none at the end.

        Several pages can be asked for at once.
        """
        ...

    def cursor(self, answer: Answer) -> str | None:
        """The cursor to the next page in an answer; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class PageNumbers:
    """Pages by their number, from `start`.

    A list without a stated total ends with the first empty page. A short page does not end it,
    because the platform may have filtered objects out of that page.
    """

    size: int
    parameter: str = "page"
    size_parameter: str = "per_page"
    start: int = 1

    def first(self, params: Params) -> Params:
        """Page `start`."""
        return {**params, self.size_parameter: self.size, self.parameter: self.start}

    def following(self, page: Page) -> Iterator[Params]:
        """All pages to the total, or the next one."""
        following = int(page.asked[self.parameter]) + 1
        if page.total is not None:
            end = self.start - (-page.total // self.size)
        else:
            end = following + (not page.is_empty)
        return ({**page.asked, self.parameter: number} for number in range(following, end))

    def cursor(self, answer: Answer) -> str | None:
        """None: pages are known by their numbers."""
        return None


@dataclass(frozen=True, slots=True)
class Offsets:
    """Pages by the number of objects before them. The end is found as with `PageNumbers`."""

    size: int
    parameter: str = "offset"
    size_parameter: str = "limit"

    def first(self, params: Params) -> Params:
        """The page with nothing before it."""
        return {**params, self.size_parameter: self.size, self.parameter: 0}

    def following(self, page: Page) -> Iterator[Params]:
        """All pages to the total, or the next one."""
        following = int(page.asked[self.parameter]) + self.size
        end = following + (not page.is_empty) if page.total is None else page.total
        offsets = range(following, end, self.size)
        return ({**page.asked, self.parameter: offset} for offset in offsets)

    def cursor(self, answer: Answer) -> str | None:
        """None: pages are known by their offsets."""
        return None


@dataclass(frozen=True, slots=True)
class Cursors:
    """Each page by a cursor that the page before holds, read by `cursor_in`.

    `cursor_in` is `in_body(...)`, `in_link(...)` or a function of the adapter; the list ends where
    it returns None. With `alone`, the list's own parameters are sent for the first page only,
    because the cursor stands for them.
    """

    size: int
    cursor_in: Callable[[Answer], str | None]
    parameter: str = "cursor"
    size_parameter: str = "limit"
    alone: bool = False

    def first(self, params: Params) -> Params:
        """The page without a cursor."""
        return {**params, self.size_parameter: self.size}

    def following(self, page: Page) -> Iterator[Params]:
        """The one page that the cursor leads to."""
        if page.cursor is not None:
            kept = {self.size_parameter: self.size} if self.alone else page.asked
            yield {**kept, self.parameter: page.cursor}

    def cursor(self, answer: Answer) -> str | None:
        """The cursor to the next page; None on the last. Raises InvalidResponse for a long one."""
        found = self.cursor_in(answer)
        if found is not None and len(found) > LONGEST_CURSOR:
            raise InvalidResponse(f"The cursor of a list has {len(found)} characters.")
        return found


def in_body(*path: str) -> Callable[[Answer], str | None]:
    """Reads a cursor at this path of the body; null and "" end the list.

    Raises InvalidResponse for another value that is neither text nor a whole number.
    """

    def read(answer: Answer) -> str | None:
        found = value_at(answer.json, *path)
        if found is None or found == "":
            return None
        if type(found) is not str and type(found) is not int:
            raise InvalidResponse(f"The cursor {'.'.join(path)!r} of a list is no text.")
        return str(found)

    return read


def in_link(parameter: str) -> Callable[[Answer], str | None]:
    """Reads a cursor in this query parameter of the `Link` header's URL of `rel="next"`.

    Nothing else of that URL is used: it may name another host, and it may repeat credentials.
    """

    def read(answer: Answer) -> str | None:
        for url, parameters in _LINK.findall(answer.headers.get("Link", "")):
            if _REL_NEXT.search(parameters):
                try:
                    found = parse_qs(urlsplit(str(url)).query)
                except ValueError:
                    found = {}
                if parameter not in found:
                    raise InvalidResponse(f"The link to a list's next page has no {parameter!r}.")
                return found[parameter][0]
        return None

    return read


def total_in_body(*path: str) -> Callable[[Answer], int]:
    """Reads a list's length at this path of the body. Raises InvalidResponse if absent."""
    return lambda answer: _counted(value_at(answer.json, *path), ".".join(path))


def total_in_header(name: str) -> Callable[[Answer], int]:
    """Reads a list's length in this header. Raises InvalidResponse if absent."""
    return lambda answer: _counted(answer.headers.get(name), name)


def no_total(answer: Answer) -> None:
    """For a platform that does not state how long its lists are."""


def _counted(written: object, name: str) -> int:
    if type(written) is int and 0 <= written < 10**9:
        return written
    if isinstance(written, str) and written.isascii() and written.isdigit() and len(written) < 10:
        return int(written)
    shown = "nothing" if written is None else f"{written!r:.40}"
    raise InvalidResponse(f"A list states its length as {shown} in {name!r}, which is no count.")
