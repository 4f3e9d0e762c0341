"""Asks Shopify's events which products were deleted (docs/facts/shopify.md, Deletions)."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.json_values import list_at, object_at, value_at
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify.asking import Asks, TooExpensiveError
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.reading.chains import LONGEST_CURSOR
from connector_pipeline.platforms.shopify.reading.check_queries import (
    CHECKED_AT_ONCE,
    DELETIONS,
    deleted_since,
)
from connector_pipeline.platforms.shopify.times import time_of

DELETED: Final = "deletions"
"""The kind of the pages that name deleted products. Facts: `deleted`, the search, and `after`."""

NOT_NAMED_SINCE: Final = "deletions_not_named_since"
"""The word in the report's memory for the time since when Shopify did not name the deletions."""

_MOST_PAGES: Final = 40
_ANSWER: Final = "Shopify's answer"


class Deletions:
    """The products deleted since a time, page by page. Leaving the block ends what is asked.

    `products` are their numeric ids so far. An event is a hint and no proof: the caller asks for
    the ids before it deletes anything. What Shopify did not name in earlier increments, by the
    `memory` of the shop, is asked for too.
    """

    def __init__(
        self,
        client: Asks,
        since: datetime,
        archived: ArchivedPages,
        memory: Mapping[str, Any] = MappingProxyType({}),
    ):
        self._client = client
        not_named = time_of(memory.get(NOT_NAMED_SINCE))
        self._since = since if not_named is None else min(since, not_named)
        self._search = deleted_since(self._since)
        self._archived = archived
        self._first: asyncio.Task[RawPage] | None = None
        self.products: set[str] = set()

    async def __aenter__(self) -> "Deletions":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)

    def ahead(self) -> None:
        """Ask for the first page now, unless archived pages are left."""
        if self._archived.exhausted:
            self._first = asyncio.create_task(self._ask(None))

    async def pages(self, report: FetchReport) -> AsyncGenerator[RawPage]:
        """Yield the pages. An increment goes on without those that Shopify refuses.

        The report warns of what could not be read, and remembers since when: the next increment
        asks from there. Its changes are complete all the same, for a question that fails for days
        must not hold their mark. Raises what else the client raises.
        """
        report.learned[NOT_NAMED_SINCE] = self._since.isoformat()
        try:
            after: str | None = None
            for _ in range(_MOST_PAGES):
                page = await self._page(after)
                yield page
                after = self._read(page)
                if after is None:
                    del report.learned[NOT_NAMED_SINCE]
                    return
            del report.learned[NOT_NAMED_SINCE]
            report.warnings.append(
                f"Shopify names more than {len(self.products)} deleted products: the others are "
                "found by the next full sync."
            )
        except (ShopDisconnected, InvalidResponse, TooExpensiveError) as refused:
            report.warnings.append(
                "Shopify does not tell which products were deleted, so only full syncs find them: "
                f"{_said(refused)}"
            )
        except PlatformUnavailable as failed:
            report.warnings.append(
                "Shopify did not tell which products were deleted, and the next increment asks "
                f"again: {_said(failed)}"
            )

    async def among(self, read: "set[int] | Any") -> int:
        """How many of these products were deleted; 0 where Shopify does not tell. Archives none."""
        after: str | None = None
        with suppress(ConnectorError, TooExpensiveError):
            for _ in range(_MOST_PAGES):
                after = self._read(await self._ask(after))
                if after is None:
                    break
        return sum(int(number) in read for number in self.products)

    async def _page(self, after: str | None) -> RawPage:
        archived = await self._archived.answer(lambda page: self._archived_page(page, after))
        if archived is not None:
            return archived
        first, self._first = self._first, None
        return await (self._ask(after) if first is None or after is not None else first)

    def _archived_page(self, page: RawPage, after: str | None) -> RawPage | None:
        asked = page.kind == DELETED and page.facts == self._facts(after)
        return page if asked else None

    def _facts(self, after: str | None) -> dict[str, Any]:
        return {"deleted": self._search, "after": after}

    async def _ask(self, after: str | None) -> RawPage:
        answer = await self._client.ask_aside(
            DELETIONS, {"deleted": self._search, "first": CHECKED_AT_ONCE, "after": after}
        )
        return RawPage(DELETED, answer.body, self._facts(after))

    def _read(self, page: RawPage) -> str | None:
        """Take in the products of a page; return the cursor to the next one, None after the last.

        An event that is not of a deleted product is left out: the search may have been ignored.
        """
        data = object_at(parse_json(page.body), "data", of=_ANSWER)
        events = object_at(data, "events", of=_ANSWER)
        for node in list_at(events, "nodes", of=_ANSWER):
            if value_at(node, "action") != "destroy" or value_at(node, "subjectType") != "PRODUCT":
                continue
            number = numeric_id(value_at(node, "subjectId"), "Product")
            if number is not None:
                self.products.add(number)
        more, cursor = (
            value_at(events, "pageInfo", "hasNextPage"),
            value_at(events, "pageInfo", "endCursor"),
        )
        if more is not True:
            return None
        if (
            not isinstance(cursor, str)
            or len(cursor) > LONGEST_CURSOR
            or cursor == page.facts.get("after")
        ):
            raise InvalidResponse("Shopify's cursor through the deletions does not move on.")
        return cursor


def _said(error: ConnectorError | TooExpensiveError) -> str:
    return error.message if isinstance(error, ConnectorError) else f"{error}."
