"""Finds out in an increment what the shop no longer lists: WooCommerce leaves no tombstones.

An increment asks for the lengths of the lists, one request each. It knows how many objects were
added since the last look, so another length than that shows a deletion. Then, and once in a while
in any case, it lists the ids of products and variations. The live items of the catalog that are not
among them are asked for by id (docs/facts/woocommerce.md, Trash and deletions).
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import BaseModel, ValidationError

from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.listed_ids import ListedIds
from connector_pipeline.platforms.woocommerce.mapping.normalize import PRODUCTS, VARIATIONS
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    IDS_AT_ONCE,
    PRODUCTS_ENDPOINT,
)
from connector_pipeline.platforms.woocommerce.reading.id_pass import (
    IdPass,
    IdsOf,
    PassFailed,
    ask_ids,
)
from connector_pipeline.platforms.woocommerce.reading.lists import ListReader

_LISTED: Final = "listed"
_EVERY: Final = timedelta(hours=1)
_FOR_A_REQUEST: Final = timedelta(seconds=36)
"""A pass may cost a hundred requests an hour: larger shops are listed less often."""

_FAILURES: Final = 2
"""After so many passes in a row that failed, the next one waits for an hour."""

_MOST_UNCATALOGED: Final = 200


class Failed(BaseModel):
    """The passes over one list that failed in a row: how many, and when the last one did."""

    times: int = 0
    at: datetime

    def again(self, now: datetime) -> "Failed":
        """One more of them."""
        return Failed(times=self.times + 1, at=now)


class LastLook(BaseModel):
    """What the last look at the lists found: when, their lengths, and the highest variation.

    `uncataloged` are products that were counted and did not come into the catalog, e.g. because
    they are rejected. `failed` has the passes that failed, by the kind of their list.
    """

    at: datetime
    products: dict[str, int]
    endpoint: str | None = None
    variations: int = 0
    highest: int = 0
    uncataloged: list[int] = []
    failed: dict[str, Failed] = {}

    @classmethod
    def of(cls, report: FetchReport) -> "LastLook | None":
        """The last look in the adapter's memory of the shop, if any."""
        try:
            return cls.model_validate(report.learned.get(_LISTED))
        except ValidationError:
            return None

    def keep(self, report: FetchReport) -> None:
        """Keep this look in the adapter's memory of the shop."""
        report.learned[_LISTED] = self.model_dump(mode="json")

    def is_old(self, now: datetime) -> bool:
        """Whether the lists are to be looked at although nothing seems to be gone."""
        requests = (sum(self.products.values()) + self.variations) // IDS_AT_ONCE
        return not timedelta() <= now - self.at < max(_EVERY, requests * _FOR_A_REQUEST)

    def may_pass(self, kind: str, now: datetime) -> bool:
        """Whether to list the ids of a kind, if that is due. A shop that fails with it may wait."""
        failed = self.failed.get(kind)
        if failed is None or failed.times < _FAILURES:
            return True
        return not timedelta() <= now - failed.at < _EVERY


class Additions:
    """What an increment saw that the last look did not: products by status, and variations."""

    def __init__(self, last: LastLook | None):
        self._highest = 0 if last is None else last.highest
        self.uncataloged: list[int] = [] if last is None else last.uncataloged
        self.products: dict[str, list[int]] = {}
        self.variations: set[int] = set()

    def add_products(self, status: str, ids: Iterable[int | None]) -> None:
        """Note changed products of a status."""
        self.products.setdefault(status, []).extend(each for each in ids if each is not None)

    def add_variations(self, ids: Iterable[int | None]) -> None:
        """Note changed variations. Ids only grow, so a new one is higher than all before it."""
        self.variations.update(each for each in ids if each is not None and each > self._highest)

    async def new_products(self, report: FetchReport) -> dict[str, int]:
        """How many of the changed products the catalog does not have, by status.

        Each counts once: a product that is rejected may change again and again.
        """
        counts: dict[str, int] = {}
        before = set(self.uncataloged)
        found: list[int] = []
        for status, ids in self.products.items():
            asked = {str(own_id) for own_id in ids}
            known = await report.in_catalog(asked) if report.in_catalog and asked else ()
            lacking = [each for each in dict.fromkeys(ids) if str(each) not in known]
            counts[status] = sum(each not in before for each in lacking)
            found += lacking
        kept = [each for each in self.uncataloged if each not in set(found)]
        self.uncataloged = [*kept, *found][-_MOST_UNCATALOGED:]
        return counts


class DeletionWatch:
    """Looks at the lengths of a shop's lists, and at their ids where something seems to be gone."""

    def __init__(
        self, reader: ListReader, *, statuses: Iterable[str], endpoint: str, report: FetchReport
    ):
        self._reader = reader
        self._report = report
        self._endpoint = endpoint
        self._products = {
            status: IdsOf(PRODUCTS_ENDPOINT, {"status": status}, {"status": status})
            for status in statuses
        }
        self._variations = IdsOf(endpoint, {}, {})
        self._asked: list[RawPage] = []

    async def pages(self, additions: Additions) -> AsyncGenerator[RawPage]:
        """Yield the pages of the look. Afterwards `report.listed` has what was listed, if it was.

        The look is kept in `report.learned`.
        """
        last, now = LastLook.of(self._report), datetime.now(UTC)
        totals = {status: await self._total(wanted) for status, wanted in self._products.items()}
        variations = await self._total(self._variations)
        for page in self._asked:
            yield page
        if None in totals.values() or variations is None:
            # The shop does not list ids alone, so deletions wait for the next full sync.
            return
        look = LastLook(
            at=now,
            products={status: total or 0 for status, total in totals.items()},
            endpoint=self._endpoint,
            variations=variations,
            highest=max(additions.variations, default=0 if last is None else last.highest),
        )
        products = variants = None
        old = last is None or last.is_old(now) or last.endpoint not in (None, self._endpoint)
        differ = last is not None and await self._products_differ(last, look, additions)
        look.uncataloged = additions.uncataloged
        look.failed = {} if last is None else dict(last.failed)
        if old or differ:
            counted = dict(look.products)
            if last is None or last.may_pass(PRODUCTS, now):
                products = CompactIds()
                for status, wanted in self._products.items():
                    ids = self._pass(wanted, PRODUCTS)
                    async with aclosing(ids.pages()) as pages:
                        async for page in pages:
                            yield page
                    look.products[status] = ids.total
                    products = _joined(products, ids)
                self._note(look, PRODUCTS, now, failed=products is None)
            if products is None:
                # A later increment sees the same difference, and tries again.
                look.products = counted if last is None else dict(last.products)
        if last is None or old or self._variations_differ(last, look, additions):
            if last is None or last.may_pass(VARIATIONS, now):
                ids = self._pass(self._variations, VARIATIONS)
                async with aclosing(ids.pages()) as pages:
                    async for page in pages:
                        yield page
                if ids.whole:
                    look.variations = ids.total
                look.highest = max(look.highest, ids.listed.highest)
                variants = _joined(CompactIds(), ids)
                self._note(look, VARIATIONS, now, failed=variants is None)
            if variants is None and last is not None and last.endpoint is not None:
                look.variations = last.variations
        if not old and last is not None:
            look.at = last.at
        look.keep(self._report)
        if products is not None or variants is not None:
            self._report.listed = ListedIds(products, variants)

    @staticmethod
    def _note(look: LastLook, kind: str, now: datetime, *, failed: bool) -> None:
        if failed:
            look.failed[kind] = look.failed.get(kind, Failed(at=now)).again(now)
        else:
            look.failed.pop(kind, None)

    def _pass(self, wanted: IdsOf, kind: str) -> IdPass:
        return IdPass(
            self._reader.session,
            self._reader.archived,
            wanted,
            size=self._reader.page_size(kind),
            explain=False,
        )

    def _variations_differ(self, last: LastLook, look: LastLook, additions: Additions) -> bool:
        # Without an earlier length there is nothing to compare: no list of all was read before.
        known = last.endpoint is not None
        return known and look.variations != last.variations + len(additions.variations)

    async def _products_differ(self, last: LastLook, look: LastLook, additions: Additions) -> bool:
        added = await additions.new_products(self._report)
        return look.products != {
            status: total + added.get(status, 0) for status, total in last.products.items()
        }

    async def _total(self, wanted: IdsOf) -> int | None:
        """The length of a list; None where the shop does not list ids alone."""
        # The newest object first, because old ones are the broken ones.
        for order in ("desc", "asc"):
            try:
                page = await ask_ids(
                    self._reader.session,
                    self._reader.archived,
                    wanted,
                    offset=0,
                    size=1,
                    order=order,
                    patient=False,
                )
            except PassFailed:
                continue
            self._asked.append(page.raw)
            return page.total
        return None


def first_look(
    report: FetchReport,
    *,
    products: Mapping[str, int],
    endpoint: str | None,
    variations: int,
    highest: int,
) -> None:
    """Keep the lengths of the lists that a full sync has read."""
    LastLook(
        at=datetime.now(UTC),
        products=dict(products),
        endpoint=endpoint,
        variations=variations,
        highest=highest,
    ).keep(report)


def _joined(all_ids: CompactIds | None, ids: IdPass) -> CompactIds | None:
    """The ids of several passes; None if one did not reach its end."""
    if all_ids is None or not ids.whole:
        return None
    for own_id in ids.listed:
        all_ids.add(own_id)
    return all_ids
