"""The walk over the changes in a shop since a time.

Products and variations have dates of their own: an order moves only the variation's date
(docs/facts/woocommerce.md, Which dates move). So the walk reads both lists of changes. Then it asks
for all variations of the changed products, because their titles, images and states may come from
the product, and for the products of the changed variations.

These lists do not show that a product left the statuses that are read, or is gone: the module
`deletions` looks for that. They do not show either that a product changed its type, and so lost its
variations. The next full sync finds that.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import JsonValue

from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.rest.tally import Tally
from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    PRODUCTS,
    READ_WITH_PARENTS,
    VARIATIONS,
    has_variations,
    id_of_parent,
    object_id,
)
from connector_pipeline.platforms.woocommerce.reading.broken import BrokenObject, ListFails
from connector_pipeline.platforms.woocommerce.reading.deletions import (
    Additions,
    DeletionWatch,
    LastLook,
)
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    ALL_VARIATIONS,
    IDS_AT_ONCE,
    VARIATIONS_OF_PRODUCT,
    Endpoints,
)
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage
from connector_pipeline.platforms.woocommerce.reading.lists import ListReader
from connector_pipeline.platforms.woocommerce.reading.openings import shop_wide_variations
from connector_pipeline.platforms.woocommerce.reading.paging import CatalogWalk, by_parent
from connector_pipeline.platforms.woocommerce.reading.shop_lists import products, variations

MODIFIED_AFTER: Final = "modified_after"
ASKED_BY_IDS: Final = "include"
"""The fact of a page of products that were asked for by their ids; its value is those ids.

The walk reads a page of changed variations and then asks for their products by id. It archives the
products' page before the variations' page.
"""
READ_IN_FULL: Final = "read_in_full"
_ENDPOINT: Final = "variations_endpoint"

_HELD_PAGES: Final = 8

_IGNORED: Final = (
    "the shop does not know modified_after (WooCommerce older than 5.8), so all was read"
)
_PER_PRODUCT_ONLY: Final = (
    "the shop has no list of all its variations, and their changes do not show in their products, "
    "so all was read"
)
_LIST_FAILS: Final = (
    "the shop fails with the list of its changed variations, so all was read, the variations "
    "product by product"
)


@dataclass(frozen=True, slots=True)
class _Opening:
    """The result of the first questions: the reason to read all, or the endpoint of the changes."""

    in_full: str | None = None
    endpoint: str = ""
    products: list[ListPage] = field(default_factory=list[ListPage])
    variations: list[ListPage] = field(default_factory=list[ListPage])


class ChangesWalk:
    """One reading of the changes since a time, or of everything where a shop cannot list them."""

    def __init__(
        self,
        reader: ListReader,
        *,
        since: datetime,
        statuses: Iterable[str],
        endpoints: Endpoints,
        report: FetchReport,
        broken: Sequence[BrokenObject] = (),
    ):
        self._reader = reader
        self._broken = broken
        self._after = modified_after(since)
        self._statuses = tuple(statuses)
        self._endpoints = endpoints
        self._report = report
        self._params = {MODIFIED_AFTER: self._after, "dates_are_gmt": "true"}
        self._question: dict[str, JsonValue] = {MODIFIED_AFTER: self._after}
        # The products that were read or asked for, and need not be asked for again.
        self._known: set[int] = set()
        self._parents: set[int] = set()
        self._additions = Additions(LastLook.of(report))
        self._disagreements: list[str] = []
        self._products_read = 0
        self._variations_read = 0
        self._parents_read = 0

    async def pages(self) -> AsyncGenerator[RawPage]:
        """Yield the pages of the changes, each product before its variations.

        At the end `report.complete` says whether the totals and ids of every list agree. Where the
        shop cannot list its changes, the catalog is read in full and the report has the reason.
        """
        in_full = None
        try:
            opening = await self._opening()
            in_full = opening.in_full
            if in_full is None:
                async with aclosing(self._changes(opening)) as pages:
                    async for page in pages:
                        yield page
                return
        except ListFails:
            # The whole list has the objects that the list of changes has.
            self._endpoints.whole_list_failed()
            in_full = _LIST_FAILS
        async with aclosing(self._all(in_full)) as pages:
            async for page in pages:
                yield page

    async def _opening(self) -> _Opening:
        archived = await self._reader.archived.peek()
        if archived is not None:
            # An interrupted attempt asked these questions.
            if isinstance(reason := archived.facts.get(READ_IN_FULL), str):
                if reason in (_PER_PRODUCT_ONLY, _LIST_FAILS):
                    self._endpoints.variations = VARIATIONS_OF_PRODUCT
                return _Opening(in_full=reason)
            if isinstance(endpoint := archived.facts.get(_ENDPOINT), str):
                return _Opening(endpoint=endpoint)
        first = await self._reader.first(products(self._statuses[0], self._params, self._question))
        if not first or self._is_ignored(first):
            return _Opening(in_full=_IGNORED)
        endpoint, listed = await shop_wide_variations(
            self._reader, self._endpoints, self._params, self._question
        )
        if endpoint is None:
            return _Opening(in_full=_PER_PRODUCT_ONLY)
        if self._is_ignored(listed):
            return _Opening(in_full=_IGNORED)
        return _Opening(endpoint=endpoint, products=first, variations=listed)

    def _is_ignored(self, pages: Iterable[ListPage]) -> bool:
        """Whether a list has unchanged objects, because the shop ignored an unknown parameter."""
        return any(is_older(row, self._after) for page in pages for row in page.objects)

    async def _all(self, reason: str) -> AsyncGenerator[RawPage]:
        self._report.read_in_full = True
        self._report.details[READ_IN_FULL] = reason
        walk = CatalogWalk(
            self._reader,
            statuses=self._statuses,
            endpoints=self._endpoints,
            report=self._report,
            broken=self._broken,
        )
        reasons: dict[str, JsonValue] = {READ_IN_FULL: reason}
        async with aclosing(walk.pages()) as pages:
            async for page in pages:
                yield replace(page, facts=page.facts | reasons)
                # Only the first page has the reason among its facts.
                reasons = {}

    async def _changes(self, opening: _Opening) -> AsyncGenerator[RawPage]:
        first = opening.products
        for status in self._statuses:
            changed = self._changed_products(status, opening.endpoint, first)
            async with aclosing(changed) as pages:
                async for page in pages:
                    yield page
            first = []
        async with aclosing(self._variations_of_changed(opening.endpoint)) as pages:
            async for page in pages:
                yield page
        changed = self._changed_variations(opening.endpoint, opening.variations)
        async with aclosing(changed) as pages:
            async for page in pages:
                yield page
        watch = DeletionWatch(
            self._reader,
            statuses=self._statuses,
            endpoint=opening.endpoint,
            report=self._report,
        )
        async with aclosing(watch.pages(self._additions)) as pages:
            async for page in pages:
                yield page
        self._report.warnings += self._disagreements
        self._report.complete = not self._disagreements
        self._report.details |= {
            MODIFIED_AFTER: self._after,
            "products": self._products_read,
            "variations": self._variations_read,
            "parents_of_variations": self._parents_read,
            _ENDPOINT: opening.endpoint,
        }

    async def _changed_products(
        self, status: str, endpoint: str, first: list[ListPage]
    ) -> AsyncGenerator[RawPage]:
        tally = Tally()
        wanted = products(status, self._params, self._question)
        async with aclosing(self._reader.pages(wanted, first)) as pages:
            async for page in pages:
                tally.add(page)
                self._additions.add_products(status, page.ids)
                for product in page.objects:
                    if (product_id := object_id(product)) is not None:
                        self._known.add(product_id)
                        if has_variations(product):
                            self._parents.add(product_id)
                # A fetch that resumes here need not search for the endpoint again.
                yield RawPage(PRODUCTS, page.body, page.facts | {_ENDPOINT: endpoint})
        self._products_read += tally.distinct
        self._compare(f"Changed products of status {status}", tally)

    async def _variations_of_changed(self, endpoint: str) -> AsyncGenerator[RawPage]:
        """Yield all variations of the changed products."""
        left = sorted(self._parents)
        while endpoint == ALL_VARIATIONS and left:
            asked, left = left[:IDS_AT_ONCE], left[IDS_AT_ONCE:]
            ids: list[JsonValue] = [*asked]
            tally = Tally()
            wanted = variations(endpoint, {"parent": ",".join(map(str, asked))}, {"parents": ids})
            async with aclosing(self._reader.pages(wanted)) as pages:
                async for page in pages:
                    if not parents_of(page) <= set(asked):
                        # The shop does not know the parameter and listed the variations of all.
                        left, endpoint = asked + left, VARIATIONS_OF_PRODUCT
                        break
                    tally.add(page)
                    self._additions.add_variations(page.ids)
                    yield RawPage(VARIATIONS, page.body, page.facts)
                else:
                    self._variations_read += tally.distinct
                    self._compare("Variations of changed products", tally)
        async with aclosing(by_parent(self._reader, left)) as parents:
            async for parent_id, pages in parents:
                tally = Tally()
                for page in pages:
                    tally.add(page)
                    self._additions.add_variations(page.ids)
                    yield RawPage(VARIATIONS, page.body, page.facts)
                self._variations_read += tally.distinct
                self._compare(f"Variations of product {parent_id}", tally)

    async def _changed_variations(
        self, endpoint: str, first: list[ListPage]
    ) -> AsyncGenerator[RawPage]:
        """Yield the products of changed variations that were not read yet, then the variations.

        Pages of variations are held until there are enough products to ask for.
        """
        tally = Tally()
        held: list[ListPage] = []
        unknown: set[int] = set()
        wanted = variations(endpoint, self._params, self._question)
        async with aclosing(self._reader.pages(wanted, first)) as pages:
            async for page in pages:
                tally.add(page)
                self._additions.add_variations(page.ids)
                held.append(page)
                unknown |= parents_of(page) - self._known
                if len(unknown) >= IDS_AT_ONCE or len(held) == _HELD_PAGES:
                    async with aclosing(self._with_parents(held, unknown)) as released:
                        async for raw in released:
                            yield raw
                    held, unknown = [], set()
        async with aclosing(self._with_parents(held, unknown)) as released:
            async for raw in released:
                yield raw
        self._variations_read += tally.distinct
        self._compare("Changed variations", tally)

    async def _with_parents(
        self, held: list[ListPage], unknown: set[int]
    ) -> AsyncGenerator[RawPage]:
        self._known |= unknown
        left = sorted(unknown)
        while left:
            asked, left = left[:IDS_AT_ONCE], left[IDS_AT_ONCE:]
            ids: list[JsonValue] = [*asked]
            for status in self._statuses:
                tally = Tally()
                wanted = products(
                    status, {"include": ",".join(map(str, asked))}, {ASKED_BY_IDS: ids}
                )
                async with aclosing(self._reader.pages(wanted)) as pages:
                    async for page in pages:
                        tally.add(page)
                        yield RawPage(PRODUCTS, page.body, page.facts)
                self._parents_read += tally.distinct
                self._compare("Products of changed variations", tally)
        for page in held:
            whole: list[JsonValue] = [*sorted(parents_of(page) & self._parents)]
            # All variations of these products were read already, so `normalize` skips them here.
            known: dict[str, JsonValue] = {READ_WITH_PARENTS: whole} if whole else {}
            yield RawPage(VARIATIONS, page.body, page.facts | known)

    def _compare(self, what: str, tally: Tally) -> None:
        disagreement = tally.disagreement()
        if disagreement is not None:
            self._disagreements.append(f"{what}: {disagreement}.")


def archived_early(page: RawPage) -> bool:
    """Whether the walk archived this page before one that it had asked for earlier."""
    return ASKED_BY_IDS in page.facts


def modified_after(since: datetime) -> str:
    """The value of `modified_after` that lists everything modified at `since` or later.

    It has no zone and is sent with `dates_are_gmt=true`: with a `Z`, a shop is wrong by the offset
    of its zone. The bound is exclusive at a resolution of one second, so it is a second earlier
    (docs/facts/woocommerce.md, Changes since a time).
    """
    return f"{since.astimezone(UTC) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}"


def is_older(row: Mapping[str, Any], after: str) -> bool:
    """Whether an object states that it was not modified after a time (GMT, without a zone)."""
    modified: Any = row.get("date_modified_gmt")
    # An object without a date matches no filter by date either.
    return modified is None or (isinstance(modified, str) and modified[:19] <= after)


def parents_of(page: ListPage) -> set[int]:
    """The ids of the products that the page's variations name."""
    return {each for each in map(id_of_parent, page.objects) if each is not None}
