"""What an interrupted attempt at the same sync archived, gone on from instead of asked again."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import JsonValue

from connector_pipeline.platforms.kit.contract import RawPage

INCLUDE: Final = "include"
"""The fact of a page that was asked for by ids, which another page told: it was asked for later
than that page, and archived before it."""


class Replay:
    """Archived pages in their order, handed out as long as each answers the question put next.

    The first one that does not ends it: what lies behind it was read by another way. Only pages
    asked for by ids are kept aside until their question comes.
    """

    def __init__(self, archived: Iterable[RawPage] = ()):
        self._pages = iter(archived)
        self._aside: list[RawPage] = []
        self._next: RawPage | None = None
        self._over = False

    async def peek(self) -> RawPage | None:
        """The next archived page, left where it is; None where there is none (any more)."""
        if self._next is None and not self._over:
            # The archive reads files, or a remote store.
            self._next = await asyncio.to_thread(next, self._pages, None)
            self._over = self._next is None
        return self._next

    async def take(
        self, kind: str, question: Mapping[str, JsonValue], start: int
    ) -> RawPage | None:
        """The next archived page, if it is the one of this list that starts at object `start`.

        It may be of another size than would be asked for: a page that was too slow was read in
        parts.
        """
        for place, page in enumerate(self._aside):
            if page.kind == kind and _answers(page.facts, question, start):
                return self._aside.pop(place)
        while (page := await self.peek()) is not None:
            self._next = None
            if page.kind == kind and _answers(page.facts, question, start):
                return page
            if INCLUDE not in page.facts:
                self._over = True
                break
            self._aside.append(page)
        return None


def _answers(facts: Mapping[str, JsonValue], question: Mapping[str, JsonValue], start: int) -> bool:
    number, per_page = facts.get("page"), facts.get("per_page")
    if not (isinstance(number, int) and isinstance(per_page, int)):
        return False
    return (number - 1) * per_page == start and all(
        facts.get(name) == value for name, value in question.items()
    )
