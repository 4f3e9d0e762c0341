"""Reads the products that hints name, by their ids, each with all its variants.

`nodes` is no search, so what a merchant has just saved is there as soon as Shopify's replicas have
it. It has no page of products, and its cost grows with each id: 25 products with room for 250
variants each request 976 points, and one query may request 1,000 (docs/facts/shopify.md, Query
cost). So more products are asked for with room for fewer variants. The points that are not used
come back, and a product with more variants than there is room for takes a further request.
"""

import math
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.hinted import (
    DELETED,
    PRODUCT,
    HintedProducts,
    read_tokens,
)
from connector_pipeline.platforms.kit.json_values import is_list, list_at, object_at, value_at
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify.asking import (
    LOOK_AT_ITS_STATUS,
    TooExpensiveError,
    TooHeavyError,
)
from connector_pipeline.platforms.shopify.cost import (
    MAX_QUERY_COST,
    largest_of_equal_cost,
    requested_cost,
)
from connector_pipeline.platforms.shopify.failed_fields import failed_fields
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.queries import (
    OWNERS,
    PRODUCTS_BY_ID,
    VARIANTS_PER_PRODUCT,
)
from connector_pipeline.platforms.shopify.reading.chains import (
    ProductOnPage,
    product_on_page,
    variants_chain,
)
from connector_pipeline.platforms.shopify.reading.questions import Client, Question, Questions
from connector_pipeline.platforms.shopify.reading.shop_page import ShopPage
from connector_pipeline.platforms.shopify.times import time_of

BY_ID: Final = "products_by_id"
"""The kind of the pages of products that were asked for by id. Facts: `ids`, the numbers."""

OWNERS_OF_STOCK: Final = "owners_of_stock"
"""The kind of the pages that say whose the inventory items are. Facts: `ids`, the numbers."""

INVENTORY_ITEM: Final = "inventory_item"
"""The kind of a token that names an inventory item: some variant's stock changed."""

_ITEMS_AT_ONCE: Final = 100
_ROOM: Final = (VARIANTS_PER_PRODUCT, 148, 90, 54, 33, 20, largest_of_equal_cost(10))
"""Page sizes of variants, each the largest of its price."""
_ANSWER: Final = "Shopify's answer"
_AT_ONCE: Final = 4
"""How many large products' variants are asked for at once."""


class HintedWalk:
    """One reading of the products that tokens name; `<id>`, `deleted/<id>`, `inventory_item/<id>`.

    It yields pages `owners_of_stock`, if inventory items are named, and pages `products_by_id`,
    each followed by the pages `variants` of its products with more variants than fit on it. It
    fills in the report's currency, completeness, `perhaps_gone`, `not_yet` and details.
    """

    def __init__(
        self,
        client: Client,
        tokens: Mapping[str, datetime | None],
        *,
        report: FetchReport,
        archived: ArchivedPages,
    ):
        self._client = client
        self._archived = archived
        self._questions = Questions(client, batch_size=1, report=report, archived=archived)
        self._report = report
        usable = read_tokens(tokens, (PRODUCT, DELETED, INVENTORY_ITEM), report)
        self._items = {each.number: each for each in usable if each.kind == INVENTORY_ITEM}
        self._asked = HintedProducts(each for each in usable if each.kind != INVENTORY_ITEM)
        # The questions for products that are left: the ids, and the room for variants.
        self._left: deque[tuple[list[str], int]] = deque()
        self._pages = self._variants = 0
        self._products: set[str] = set()

    async def pages(self) -> AsyncGenerator[RawPage]:
        """Yield every page. Raises InvalidResponse, and what the client raises."""
        async with self._questions:
            async with aclosing(self._owners()) as owners:
                async for page in owners:
                    yield page
            if not self._asked.ids:
                # Nothing is left to be asked for, and a snapshot has a currency all the same.
                reply = await self._questions.answer(Question("shop"), ShopPage.of)
                yield reply.page
                self._report.currency = ShopPage.of(reply.data).currency
            async with aclosing(self._products_by_id()) as products:
                async for page in products:
                    yield page
        await self._asked.judge(self._report)
        self._report.complete = True
        self._report.details.update(products=len(self._products), variants=self._variants)

    async def _owners(self) -> AsyncGenerator[RawPage]:
        """Find the products of the inventory items. An item that Shopify has no more is left out.

        A deleted variant's item is gone with it, and its product was changed by that.
        """
        numbers = list(self._items)
        unknown = 0
        for start in range(0, len(numbers), _ITEMS_AT_ONCE):
            asked = numbers[start : start + _ITEMS_AT_ONCE]
            page = await self._archived.answer(
                lambda page, asked=asked: page if _answers(page, OWNERS_OF_STOCK, asked) else None
            )
            if page is None:
                gids = [f"gid://shopify/InventoryItem/{number}" for number in asked]
                try:
                    answer = await self._client.ask(OWNERS, {"ids": gids})
                except TooExpensiveError as error:
                    raise InvalidResponse(
                        f"Shopify finds a question for {len(asked)} ids too expensive."
                    ) from error
                page = RawPage(OWNERS_OF_STOCK, answer.body, {"ids": [*asked]})
            yield self._counted(page)
            for number, node in _nodes(parse_json(page.body), asked):
                owners = list(_owners_in(node, number))
                unknown += not owners
                for product_id in owners:
                    self._asked.add(self._items[number], product_id)
        if unknown:
            self._report.details["unknown_inventory_items"] = unknown

    async def _products_by_id(self) -> AsyncGenerator[RawPage]:
        left = self._left
        left.extend(batches(self._asked.ids))
        while left:
            ids, room = left.popleft()
            try:
                page = await self._archived_part(ids) or await self._ask(ids, room)
            except (TooExpensiveError, TooHeavyError) as too_much:
                left.extendleft(reversed(list(_smaller(ids, room, too_much))))
                continue
            yield self._counted(page)
            asked = _ids_of(page)
            if len(asked) < len(ids):
                # The interrupted attempt read this batch in parts.
                left.appendleft((ids[len(asked) :], room))
            async with aclosing(self._read(page, asked)) as more:
                async for variants in more:
                    yield variants

    async def _archived_part(self, ids: list[str]) -> RawPage | None:
        """The next archived page, if it has the first of these products, or all of them."""

        def answers(page: RawPage) -> RawPage | None:
            had = _ids_of(page)
            usable = page.kind == BY_ID and had and had == ids[: len(had)]
            return page if usable and _is_readable(page, had) else None

        return await self._archived.answer(answers)

    async def _ask(self, ids: list[str], room: int) -> RawPage:
        gids = [f"gid://shopify/Product/{number}" for number in ids]
        variables = {"ids": gids, "variants": room}
        try:
            answer = await self._client.ask_page(PRODUCTS_BY_ID, variables)
        except TooHeavyError as heavy:
            if heavy.partial is None or len(ids) > 1:
                raise
            answer = heavy.partial
        return RawPage(BY_ID, answer.body, {"ids": [*ids]})

    async def _read(self, page: RawPage, ids: list[str]) -> AsyncGenerator[RawPage]:
        """Take in a page's products, and yield the variants that did not fit on it."""
        body = parse_json(page.body)
        self._report.currency = ShopPage.of(object_at(body, "data", of=_ANSWER)).currency
        unread = {each.product: each.reason for each in failed_fields(body)}
        large: list[ProductOnPage] = []
        for place, (number, node) in enumerate(_nodes(body, ids)):
            if place in unread:
                self._report.warnings.append(
                    f"Product {number} could not be read whole: {unread[place]}. It is rejected as "
                    "far as it could not be read, and those rows stay as they are."
                )
            if node is None:
                if place not in unread:
                    self._asked.was_absent(number)
                continue
            product = product_on_page(node)
            if product.number != number:
                raise InvalidResponse(f"Shopify answered for product {number} with another one.")
            self._products.add(number)
            self._variants += product.variants
            self._asked.was_shown(number, time_of(value_at(node, "updatedAt")))
            if product.following is not None:
                large.append(product)
        cut = [each.number for each in large if each.variants < VARIANTS_PER_PRODUCT]
        if len(cut) > _AT_ONCE:
            # Asked for together once more, with more room, they take fewer requests.
            self._left.extend(batches(cut, VARIANTS_PER_PRODUCT))
            again = {*cut}
            self._variants -= sum(each.variants for each in large if each.number in again)
            large = [each for each in large if each.number not in again]
        for position, product in enumerate(large):
            for other in large[position : position + _AT_ONCE]:
                self._questions.ahead(Question("variants", other.following, other.number))
            async with aclosing(self._rest_of(product)) as rest:
                async for variants in rest:
                    yield variants

    async def _rest_of(self, product: ProductOnPage) -> AsyncGenerator[RawPage]:
        chain = variants_chain(product.number, product)
        while chain.more:
            question = Question("variants", chain.cursor, product.number)
            reply = await self._questions.answer(question, chain.read)
            yield self._counted(reply.page)
            variants = chain.read(reply.data)
            if variants is None:
                # It was deleted after the page before. The next question shows that.
                self._asked.was_absent(product.number)
                return
            self._variants += variants.variants
            chain.follow(variants)

    def _counted(self, page: RawPage) -> RawPage:
        self._pages += 1
        self._report.details["pages"] = self._pages
        if self._archived.taken:
            self._report.details["pages_from_archive"] = self._archived.taken
        return page


def batches(ids: list[str], least_room: int = _ROOM[-1]) -> Iterator[tuple[list[str], int]]:
    """The ids in as few questions as possible, each with the room for variants that it can pay."""
    smallest = _cost(1, least_room) - _cost(0, least_room)
    at_once = (MAX_QUERY_COST - _cost(0, least_room)) // smallest
    questions = math.ceil(len(ids) / at_once)
    size = math.ceil(len(ids) / questions) if questions else 1
    room = next(each for each in _ROOM if _cost(size, each) <= MAX_QUERY_COST)
    for start in range(0, len(ids), size):
        yield ids[start : start + size], room


def products_by_id(page: RawPage, body: Any) -> list[Any]:
    """The products on a page, by the places of their ids; None for one that Shopify has not.

    One that could not be read has its id alone. Raises InvalidResponse.
    """
    unread = {each.product for each in failed_fields(body)}
    found: list[Any] = []
    for place, (number, node) in enumerate(_nodes(body, _ids_of(page))):
        failed = node is None and place in unread
        found.append({"id": f"gid://shopify/Product/{number}"} if failed else node)
    return found


def _cost(ids: int, room: int) -> int:
    return requested_cost(PRODUCTS_BY_ID, {"ids": [""] * ids, "variants": room})


def _smaller(
    ids: list[str], room: int, too_much: TooExpensiveError | TooHeavyError
) -> Iterator[tuple[list[str], int]]:
    """Smaller questions for the same products. Raises InvalidResponse or PlatformUnavailable."""
    if len(ids) > 1:
        half = (len(ids) + 1) // 2
        yield ids[:half], room
        yield ids[half:], room
    elif room > _ROOM[-1]:
        yield ids, _ROOM[-1]
    elif isinstance(too_much, TooExpensiveError):
        raise InvalidResponse(
            "Shopify finds a question for one product too expensive."
        ) from too_much
    elif too_much.too_large is not None:
        raise too_much.too_large
    else:
        raise PlatformUnavailable(
            f"{too_much} It fails with product {ids[0]} alone.", remedy=LOOK_AT_ITS_STATUS
        ) from too_much


def _nodes(body: object, ids: list[str]) -> Iterator[tuple[str, Any]]:
    nodes = list_at(body, "data", "nodes", of=_ANSWER)
    if len(nodes) != len(ids):
        raise InvalidResponse(f"Shopify was asked for {len(ids)} ids and did not answer for each.")
    yield from zip(ids, nodes, strict=True)


def _owners_in(node: object, number: str) -> Iterator[str]:
    if node is None:
        return
    if numeric_id(value_at(node, "id"), "InventoryItem") != number:
        raise InvalidResponse(f"Shopify answered for inventory item {number} with another one.")
    for variant in list_at(node, "variants", "nodes", of=_ANSWER):
        product_id = numeric_id(value_at(variant, "product", "id"), "Product")
        if product_id is not None:
            yield product_id


def _ids_of(page: RawPage) -> list[str]:
    ids = page.facts.get("ids")
    return [each for each in ids if isinstance(each, str)] if is_list(ids) else []


def _answers(page: RawPage, kind: str, ids: list[str]) -> bool:
    return page.kind == kind and _ids_of(page) == ids


def _is_readable(page: RawPage, ids: list[str]) -> bool:
    """Whether an archived page has the form that it must have: an attempt may have failed by it."""
    try:
        body = parse_json(page.body)
        if value_at(body, "errors") and not failed_fields(body):
            return False
        ShopPage.of(object_at(body, "data", of=_ANSWER))
        for _, node in _nodes(body, ids):
            if node is not None:
                product_on_page(node)
    except (InvalidResponse, ValueError):
        return False
    return True
