"""Compares what was read with what Shopify counts: products, and variants in all and by product.

Shopify's word for it is asked for beside the reading. A count that is refused or that fails is
unknown, and stops nothing.
"""

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
)
from connector_pipeline.platforms.kit.json_values import list_at, object_at, value_at
from connector_pipeline.platforms.kit.list_bound import ListBound
from connector_pipeline.platforms.shopify.asking import Asks, TooExpensiveError
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.reading.chains import LONGEST_CURSOR
from connector_pipeline.platforms.shopify.reading.check_queries import (
    CHECKED_AT_ONCE,
    COUNT_VARIANTS,
    PRODUCT_COUNTS,
)
from connector_pipeline.platforms.shopify.times import time_of

_ANSWER = "Shopify's answer"


class VariantsCount:
    """How many variants Shopify counts in the shop. Leaving the block ends what is asked."""

    def __init__(self, client: Asks):
        self._client = client
        self._asked: asyncio.Task[int | None] | None = None

    async def __aenter__(self) -> "VariantsCount":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.gather(self._asked, return_exceptions=True)

    def ahead(self) -> None:
        """Ask now, beside what else is asked: this count is of the time when the reading began."""
        if self._asked is None:
            self._asked = asyncio.create_task(self._ask())

    async def missing(self, variants: int) -> int:
        """How many more variants than these Shopify counts; 0 where it does not say.

        A count that is larger is asked for once more: variants may have been deleted meanwhile.
        """
        self.ahead()
        counted = await self._asked if self._asked is not None else None
        if counted is None or variants >= counted:
            return 0
        again = await self._ask()
        return max(0, (counted if again is None else min(counted, again)) - variants)

    async def _ask(self) -> int | None:
        try:
            answer = await self._client.ask_aside(COUNT_VARIANTS, {})
        except (ConnectorError, TooExpensiveError):
            return None
        count = value_at(answer.json, "data", "productVariantsCount", "count")
        return count if isinstance(count, int) and not isinstance(count, bool) else None


class ReadProducts:
    """The ids of the products that were read, each with its variants so far: ten bytes a product.

    Ids that come in ascending order are found again by `variants_of`; others only by `in`.
    """

    def __init__(self) -> None:
        self._ids = array("Q")
        self._variants = array("H")
        self._sorted = True

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self._place(number) is not None

    def add(self, number: int, variants: int = 0) -> None:
        """Add a product. Shopify's ids fit into 64 bits; a larger one is no product of its."""
        if number >= 2**64:
            raise InvalidResponse(f"Shopify's id {number} is longer than 64 bits.")
        self._sorted = self._sorted and (not self._ids or number > self._ids[-1])
        self._ids.append(number)
        self._variants.append(min(variants, 2**16 - 1))

    def variants_of(self, number: int) -> int | None:
        """How many variants of the product were read; None if it was not read."""
        place = self._place(number)
        return None if place is None else self._variants[place]

    def more_variants(self, number: int, variants: int) -> None:
        """Count more variants of a product that was added."""
        place = len(self._ids) - 1 if self._ids and self._ids[-1] == number else self._place(number)
        if place is not None:
            self._variants[place] = min(self._variants[place] + variants, 2**16 - 1)

    def _place(self, number: int) -> int | None:
        if not self._sorted:
            pairs = sorted(zip(self._ids, self._variants, strict=True))
            self._ids = array("Q", (each for each, _ in pairs))
            self._variants = array("H", (each for _, each in pairs))
            self._sorted = True
        place = bisect_left(self._ids, number)
        return place if place < len(self._ids) and self._ids[place] == number else None


@dataclass(frozen=True, slots=True)
class CountedProduct:
    """A product as PRODUCT_COUNTS states it; `variants` is None where Shopify does not count."""

    number: int
    created_at: datetime | None
    variants: int | None


async def counted_products(
    client: Asks, *, expected: int, newest_first: bool
) -> AsyncGenerator[CountedProduct]:
    """The shop's products with their numbers of variants, by id, the newest first or last.

    About `expected` products are. It ends early, without an error, where Shopify refuses the
    question, answers in another form, or gives far more of them.
    """
    bound = ListBound("products", expected)
    after: str | None = None
    seen: set[str] = set()
    while True:
        try:
            answer = await client.ask_aside(
                PRODUCT_COUNTS,
                {"first": CHECKED_AT_ONCE, "after": after, "reverse": newest_first},
            )
            products = object_at(answer.json, "data", "products", of=_ANSWER)
            nodes = list_at(products, "nodes", of=_ANSWER)
            bound.add(len(nodes))
        except (ConnectorError, TooExpensiveError):
            return
        for node in nodes:
            counted = _counted(node)
            if counted is not None:
                yield counted
        cursor = value_at(products, "pageInfo", "endCursor")
        more = value_at(products, "pageInfo", "hasNextPage") is True
        if not more or not isinstance(cursor, str) or len(cursor) > LONGEST_CURSOR:
            return
        if cursor in seen or not nodes:
            return
        seen.add(cursor)
        after = cursor


@dataclass(frozen=True, slots=True)
class Created:
    """How many products were created meanwhile and not read, and how many variants they have."""

    products: int = 0
    variants: int = 0


async def created_since(client: Asks, since: datetime | None, read: ReadProducts) -> Created:
    """The products that were created at or after a time and not read, by Shopify's newest ones.

    The newest are asked for until one is older. None are found where Shopify does not say.
    """
    products = variants = 0
    if since is not None:
        found = counted_products(client, expected=len(read), newest_first=True)
        async with aclosing(found) as newest:
            async for product in newest:
                if product.created_at is None or product.created_at < since:
                    break
                if product.number not in read:
                    products += 1
                    variants += product.variants or 0
    return Created(products, variants)


def _counted(node: object) -> CountedProduct | None:
    number = numeric_id(value_at(node, "id"), "Product")
    if number is None:
        return None
    variants = value_at(node, "variantsCount", "count")
    return CountedProduct(
        int(number),
        time_of(value_at(node, "createdAt")),
        variants if type(variants) is int else None,
    )
