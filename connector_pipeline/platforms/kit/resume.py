"""Go on from the pages that an interrupted attempt at the same sync archived."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from connector_pipeline.platforms.kit.contract import RawPage

AnswerT = TypeVar("AnswerT")


def _never(_: RawPage) -> bool:
    return False


class ArchivedPages:
    """Archived pages in their order, used as long as the next one answers the next question.

    The first page that does not answer ends it: all that was archived behind that page followed
    from it, so the shop has to be asked from there on.

    A walk that asks for a page, and then for another which it archives before the first, finds the
    two in the other order when it goes on. `archived_early` recognizes pages of that kind. Such a
    page does not end the resumption when it answers another question than the next: it is kept
    until its own question comes.
    """

    def __init__(
        self,
        pages: Iterable[RawPage] = (),
        *,
        archived_early: Callable[[RawPage], bool] = _never,
    ):
        self._pages = iter(pages)
        self._archived_early = archived_early
        self._kept: list[RawPage] = []
        self._next: RawPage | None = None
        self.exhausted = False
        """Whether the shop has to be asked from here on, for all but the pages that were kept."""
        self.taken = 0
        """How many pages have answered a question."""

    async def peek(self) -> RawPage | None:
        """The next page, which stays the next; None where there is none any more."""
        if self._next is None and not self.exhausted:
            # The archive reads files, or a remote store.
            self._next = await asyncio.to_thread(next, self._pages, None)
            self.exhausted = self._next is None
        return self._next

    async def answer(self, read: Callable[[RawPage], AnswerT | None]) -> AnswerT | None:
        """What `read` makes of the page that answers the question put next.

        `read` gives None for a page that does not answer it. None if the shop has to be asked.
        """
        for place, page in enumerate(self._kept):
            if (answer := read(page)) is not None:
                del self._kept[place]
                self.taken += 1
                return answer
        while (page := await self.peek()) is not None:
            if (answer := read(page)) is not None:
                self._next = None
                self.taken += 1
                return answer
            if not self._archived_early(page):
                self.stop()
                return None
            self._kept.append(page)
            self._next = None
        return None

    def stop(self) -> None:
        """No page from here on is an answer."""
        self._next = None
        self.exhausted = True
