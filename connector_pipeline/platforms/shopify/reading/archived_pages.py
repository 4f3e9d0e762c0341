"""What an interrupted attempt at a sync was answered, in place of asking again."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from connector_pipeline.platforms.kit.contract import RawPage

_END: Final = object()


class ArchivedPages:
    """Archived pages in their order, as long as each is the answer to what is asked next.

    From the first that is not, the shop has to be asked: what comes later followed from it.
    """

    def __init__(self, pages: Iterable[RawPage]):
        self._pages = iter(pages)
        self._next: object = None
        self.exhausted = False
        self.taken = 0

    async def answer_to(self, kind: str, facts: Mapping[str, Any]) -> RawPage | None:
        """The next page if it has this kind and these facts; `take` or `stop` must follow."""
        page = await self.peek()
        if page is not None and page.kind == kind and page.facts == facts:
            return page
        self.stop()
        return None

    async def peek(self) -> RawPage | None:
        """The next page, if there is one; it stays the next until `take` or `stop`."""
        if self.exhausted:
            return None
        if self._next is None:
            # Reading the archive blocks.
            self._next = await asyncio.to_thread(next, self._pages, _END)
        if isinstance(self._next, RawPage):
            return self._next
        self.stop()
        return None

    def take(self) -> None:
        """The page was the answer: go on with the one after it."""
        self._next = None
        self.taken += 1

    def stop(self) -> None:
        """No page from here on is an answer."""
        self._next = None
        self.exhausted = True
