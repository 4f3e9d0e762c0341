"""Reads the products that hints name, by their ids, each with all its variations.

A webhook of WooCommerce's may name a variation as if it were a product, and says nothing of what is
deleted for good (docs/facts/woocommerce.md, Webhooks). So an id that is no product of the statuses
that are read may be a product of another status, a variation, or gone. Products that the catalog
has are looked up by id anyway; of other ids the shop is asked what they are.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.hinted import (
    DELETED,
    PRODUCT,
    HintedProducts,
    read_tokens,
)
from connector_pipeline.platforms.kit.rest.tally import Tally
from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    IDS,
    PRODUCTS,
    VARIATIONS,
    has_variations,
    id_of_parent,
    object_id,
)
from connector_pipeline.platforms.woocommerce.reading.asked_by_ids import READ_BY_ID, AskedByIds
from connector_pipeline.platforms.woocommerce.reading.broken import ListFails
from connector_pipeline.platforms.woocommerce.reading.changes import parents_of
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    ALL_VARIATIONS,
    IDS_AT_ONCE,
    PRODUCTS_ENDPOINT,
    SHOP_WIDE,
)
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage
from connector_pipeline.platforms.woocommerce.reading.lists import ListOf, ListReader
from connector_pipeline.platforms.woocommerce.reading.paging import by_parent
from connector_pipeline.platforms.woocommerce.reading.shop_lists import products, variations
from connector_pipeline.platforms.woocommerce.talking.asking import Question

_MOST_SINGLES: Final = 20
"""So many ids are asked for one by one, where a shop has no list of all its variations."""


class HintedWalk:
    """One reading of the products that tokens name; `<id>` and `deleted/<id>`.

    An id may be a variation's, and then its product is read. The walk yields pages of products,
    pages of ids where it had to find out what an id is, and pages of variations. It fills in the
    report's completeness, `perhaps_gone`, `not_yet` and details.
    """

    def __init__(
        self,
        reader: ListReader,
        tokens: Mapping[str, datetime | None],
        *,
        statuses: Iterable[str],
        report: FetchReport,
    ):
        self._reader = reader
        self._statuses = tuple(statuses)
        self._report = report
        self._asked = HintedProducts(read_tokens(tokens, (PRODUCT, DELETED), report))
        self._parents: set[int] = set()
        self._given: set[int] = set()
        self._products = self._variations = 0
        self._disagreements: list[str] = []

    async def pages(self) -> AsyncGenerator[RawPage]:
        """Yield every page, products before their variations.

        Raises InvalidResponse, and what the session raises.
        """
        async with aclosing(self._of_ids([int(each) for each in self._asked.ids])) as pages:
            async for page in pages:
                yield page
        async with aclosing(self._of_variations()) as pages:
            async for page in pages:
                yield page
        async with aclosing(self._variations_of(sorted(self._parents))) as pages:
            async for page in pages:
                yield page
        await self._asked.judge(self._report)
        self._report.warnings += self._disagreements
        self._report.complete = not self._disagreements
        self._report.details |= {"products": self._products, "variations": self._variations}

    async def _of_ids(self, ids: list[int]) -> AsyncGenerator[RawPage]:
        """Yield the products of these ids, in every status that is read. Others are absent."""
        for batch in _batches(sorted(ids)):
            left = batch
            for status in self._statuses:
                if not left:
                    break
                asked = AskedByIds(left)
                by_ids = asked.pages(self._reader, partial(products, status))
                async with aclosing(by_ids) as pages:
                    async for page in pages:
                        self._take_in(page)
                        yield RawPage(PRODUCTS, page.body, page.facts)
                if not asked.obeyed:
                    raise _ignored(PRODUCTS_ENDPOINT)
                left = asked.left
            for own_id in left:
                self._asked.was_absent(str(own_id))

    def _take_in(self, page: ListPage) -> None:
        for product in page.objects:
            product_id = object_id(product)
            if product_id is None:
                continue
            self._products += 1
            self._given.add(product_id)
            self._asked.was_shown(str(product_id), _modified(product))
            if has_variations(product):
                self._parents.add(product_id)

    async def _of_variations(self) -> AsyncGenerator[RawPage]:
        """Find out what the absent ids are, and yield the products of those of variations."""
        unknown = await self._uncataloged(self._asked.absent)
        for batch in _batches(unknown):
            other = AskedByIds(batch)
            async with aclosing(other.pages(self._reader, _any_status)) as pages:
                async for page in pages:
                    for product in page.objects:
                        own_id = str(object_id(product))
                        self._asked.was_excluded(own_id, _modified(product))
                    yield RawPage(IDS, page.body, page.facts)
            if not other.obeyed:
                raise _ignored(PRODUCTS_ENDPOINT)
            parents: dict[int, int] = {}
            async with aclosing(self._owners(other.left, parents)) as found:
                async for page in found:
                    yield page
            for own_id, parent_id in parents.items():
                self._asked.move(str(own_id), str(parent_id))
            async with aclosing(self._of_ids([*{*parents.values()} - self._given])) as more:
                async for page in more:
                    yield page

    async def _uncataloged(self, absent: set[str]) -> list[int]:
        """The ids that are no products of the catalog. Those that are have simply gone."""
        known = self._report.in_catalog
        cataloged = set(await known(absent)) if known is not None and absent else set[str]()
        return sorted(int(each) for each in absent - cataloged)

    async def _owners(self, ids: list[int], parents: dict[int, int]) -> AsyncGenerator[RawPage]:
        """Put the products of those ids that are variations into `parents`."""
        if not ids:
            return
        for endpoint in SHOP_WIDE:
            wanted = _variation_ids(endpoint, ids)
            archived = await self._reader.archived.peek()
            is_archived = (
                archived is not None and wanted.page_facts.items() <= archived.facts.items()
            )
            first = [] if is_archived else await self._first(wanted)
            if not first and not is_archived:
                continue
            async with aclosing(self._reader.pages(wanted, first)) as pages:
                async for page in pages:
                    for variation in page.objects:
                        own_id, parent_id = object_id(variation), id_of_parent(variation)
                        if own_id in ids and parent_id:
                            parents[own_id] = parent_id
                    yield RawPage(IDS, page.body, page.facts)
                    if page.total > len(ids):
                        # The shop ignores the ids and lists all variations.
                        break
            return
        for own_id in ids[:_MOST_SINGLES]:
            # The address of a product answers for a variation, too.
            question = Question(
                f"{PRODUCTS_ENDPOINT}/{own_id}",
                {"_fields": "id,parent_id,type"},
                accept=frozenset({404}),
            )
            answer = await self._reader.session.ask(question)
            body: Any = answer.json
            if answer.status == 200 and isinstance(body, dict):
                found: dict[str, Any] = body  # pyright: ignore[reportUnknownVariableType]
                parent_id = id_of_parent(found)
                if object_id(found) == own_id and parent_id:
                    parents[own_id] = parent_id

    async def _first(self, wanted: ListOf) -> list[ListPage]:
        try:
            return await self._reader.first(wanted)
        except ListFails:
            return []

    async def _variations_of(self, parents: list[int]) -> AsyncGenerator[RawPage]:
        """Yield all variations of these products: of several at once, where the shop can."""
        left = parents
        # One product's own list is there in every version.
        while len(left) > 1:
            asked = left[:IDS_AT_ONCE]
            ids: list[JsonValue] = [*asked]
            wanted = variations(
                ALL_VARIATIONS, {"parent": ",".join(map(str, asked))}, {"parents": ids}
            )
            archived = await self._reader.archived.peek()
            is_archived = (
                archived is not None and wanted.page_facts.items() <= archived.facts.items()
            )
            first = [] if is_archived else await self._first(wanted)
            if not first and not is_archived:
                break
            tally, obeyed = Tally(), True
            try:
                async with aclosing(self._reader.pages(wanted, first)) as pages:
                    async for page in pages:
                        obeyed = parents_of(page) <= set(asked)
                        if not obeyed:
                            break
                        yield self._variations_page(page, tally)
            except ListFails:
                break
            if not obeyed:
                break
            self._compare("Variations", tally)
            left = left[IDS_AT_ONCE:]
        async with aclosing(by_parent(self._reader, left)) as lists:
            async for parent_id, pages in lists:
                tally = Tally()
                for page in pages:
                    yield self._variations_page(page, tally, parent_id)
                self._compare(f"Variations of product {parent_id}", tally)

    def _variations_page(self, page: ListPage, tally: Tally, of: int | None = None) -> RawPage:
        tally.add(page)
        self._variations += len(page.objects)
        for variation in page.objects:
            parent_id = id_of_parent(variation) or of
            # An order moves the variation's date alone.
            self._asked.was_shown(str(parent_id), _modified(variation))
        return RawPage(VARIATIONS, page.body, page.facts)

    def _compare(self, what: str, tally: Tally) -> None:
        disagreement = tally.disagreement()
        if disagreement is not None:
            self._disagreements.append(f"{what}: {disagreement}.")


def _any_status(params: dict[str, str], question: dict[str, JsonValue]) -> ListOf:
    """Products of any status but the trash, which is what a list without a status has."""
    return ListOf(
        IDS,
        PRODUCTS_ENDPOINT,
        PRODUCTS_ENDPOINT,
        {"_fields": "id,status,date_modified_gmt", **params},
        {"status": "any", **question},
    )


def _variation_ids(endpoint: str, ids: list[int]) -> ListOf:
    asked: list[JsonValue] = [*ids]
    return ListOf(
        IDS,
        endpoint,
        endpoint,
        {"_fields": "id,parent_id", "include": ",".join(map(str, ids))},
        {READ_BY_ID: asked},
    )


def _modified(row: Mapping[str, Any]) -> datetime | None:
    """When an object was modified: it says so in UTC without a zone. None where it does not."""
    try:
        time = datetime.fromisoformat(row["date_modified_gmt"])
    except (KeyError, TypeError, ValueError):
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _ignored(endpoint: str) -> InvalidResponse:
    return InvalidResponse(
        f"{endpoint} was asked for some products by id and gave others: the shop ignores include.",
        remedy="Only the next sync tries again. Ask the merchant to exclude /wp-json from every "
        "cache (a plugin's, the host's, a CDN's).",
    )


def _batches(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), IDS_AT_ONCE):
        yield ids[start : start + IDS_AT_ONCE]
