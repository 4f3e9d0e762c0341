"""Resumes after the pages that an interrupted attempt at the same sync archived."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from connector_pipeline.platforms.kit.contract import RawPage

AnswerT = TypeVar("AnswerT")


def _never(_: RawPage) -> bool:
    return False


class ArchivedPages:
    """Archived pages in their order, used as long as the next page answers the next question.

    The first page that does not answer ends the resumption. All later pages followed from that one,
    so the shop is asked from there on.

    A walk may ask for a page, and then for a second one that it archives before the first. When the
    walk resumes, it finds the two in the other order. `archived_early` recognizes such a second
    page. It does not end the resumption when it does not answer the next question: it is kept until
    its own question comes.
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
        # A sync that resumes nothing has an empty tuple, and needs no thread to find that out.
        self.exhausted = pages == ()
        """Whether the shop is asked from here on, except for the pages that were kept."""
        self.taken = 0
        """How many pages have answered a question."""

    async def peek(self) -> RawPage | None:
        """The next page, which stays the next; None after the last one."""
        if self._next is None and not self.exhausted:
            # The archive reads a file or a remote store, which would block the event loop.
            self._next = await asyncio.to_thread(next, self._pages, None)
            self.exhausted = self._next is None
        return self._next

    async def answer(self, read: Callable[[RawPage], AnswerT | None]) -> AnswerT | None:
        """The answer that `read` finds in an archived page; None if the shop has to be asked.

        `read` returns None for a page that does not answer the next question.
        """
        for position, page in enumerate(self._kept):
            if (answer := read(page)) is not None:
                del self._kept[position]
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
        """End the resumption: use none of the pages from here on."""
        self._next = None
        self.exhausted = True
