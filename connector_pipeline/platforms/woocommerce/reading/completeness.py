"""Completes a reading: reads in another way what its lists lack, and explains what stays lacking.

Three things are told apart. Objects that can be had are asked for by their ids, and read. Objects
that the shop counts and cannot load come in no way, and belong to nobody. Variations that no
product lists are orphans, or of products that are not read. Only what is none of these is missing.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.json_values import is_object, value_at
from connector_pipeline.platforms.woocommerce.mapping.normalize import PRODUCTS, VARIATIONS
from connector_pipeline.platforms.woocommerce.reading.asked_by_ids import AskedByIds, MakeList
from connector_pipeline.platforms.woocommerce.reading.broken import BrokenObject
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    IDS_AT_ONCE,
    PRODUCTS_ENDPOINT,
)
from connector_pipeline.platforms.woocommerce.reading.families import Families
from connector_pipeline.platforms.woocommerce.reading.id_pass import IdPass, IdsOf
from connector_pipeline.platforms.woocommerce.reading.list_count import ListCount
from connector_pipeline.platforms.woocommerce.reading.lists import ListReader
from connector_pipeline.platforms.woocommerce.reading.shop_lists import (
    products,
    variations,
    variations_of,
)

_UNLOADABLE: Final = "unloadable"
_FEW: Final = 3
_SHARE: Final = 10
"""A shop fails to load a few of its objects. More than a tenth is trouble of another kind."""


@dataclass(slots=True)
class Verdict:
    """What is known about the reading so far.

    `missing`: what is doubtful, in words. `explained`: what the shop counts and nobody lacks.
    `inexact`: the shop was edited meanwhile or counts wrongly, and all of it was read nevertheless.
    """

    missing: list[str] = field(default_factory=list[str])
    explained: list[str] = field(default_factory=list[str])
    inexact: bool = False

    def put_into(self, report: FetchReport) -> None:
        """Say in the report whether the reading is complete, or that everything was read."""
        report.all_read = not self.missing
        report.complete = report.all_read and not self.inexact
        report.warnings += self.missing
        if self.explained:
            told = report.learned.get("explained")
            report.details["explained"] = [*self.explained]
            if told != self.explained:
                report.warnings += self.explained
            report.learned["explained"] = [*self.explained]
        else:
            report.learned.pop("explained", None)


class Completion:
    """Completes the lists of one reading. `broken` has the objects whose pages fail, as found."""

    def __init__(
        self,
        reader: ListReader,
        *,
        report: FetchReport,
        verdict: Verdict,
        broken: Sequence[BrokenObject] = (),
    ):
        self._reader = reader
        self._report = report
        self._verdict = verdict
        self._broken = broken

    async def products(
        self, status: str, count: ListCount, families: Families
    ) -> AsyncGenerator[RawPage]:
        """Yield pages of ids, and pages of the products that the list of this status lacked."""
        what = f"Products of status {status}"
        only_its_end = count.agrees
        if only_its_end and not count.may_go_on:
            self._forget(what)
            return
        if not only_its_end and (self._is_broken(count) or self._is_known(what, count)):
            return
        wanted = IdsOf(PRODUCTS_ENDPOINT, {"status": status}, {"status": status})
        ids = IdPass(
            self._reader.session,
            self._reader.archived,
            wanted,
            size=self._reader.page_size(PRODUCTS),
        )
        start, after = (count.stop - 1, count.ids.highest) if only_its_end else (0, 0)
        async with aclosing(ids.pages(start=start, after=after)) as pages:
            async for page in pages:
                yield page
        unread = [own_id for own_id in ids.listed if own_id not in count.ids]
        left = [own_id for own_id in unread if own_id not in self._broken_ids()]
        not_given = 0
        for batch in _batches(left):
            asked = AskedByIds(batch)
            by_ids = asked.pages(self._reader, partial(products, status))
            async with aclosing(by_ids) as pages:
                async for page in pages:
                    for product in page.objects:
                        families.add(product)
                    for own_id in page.ids:
                        if own_id is not None:
                            count.ids.add(own_id)
                    yield RawPage(PRODUCTS, page.body, page.facts)
            if asked.counted or not asked.obeyed:
                not_given += len(asked.left)
                self._report.unreadable |= {str(own_id) for own_id in asked.left}
        if not only_its_end or unread:
            if not only_its_end and ids.whole:
                not_given += ids.lacking
            self._judge(what, count, ids, unread, not_given)

    def _judge(
        self, what: str, count: ListCount, ids: IdPass, unread: list[int], not_given: int
    ) -> None:
        if not ids.whole and count.as_long_as_stated and self._report.reading > 1:
            # Read twice, it was never another list: what changed of it were objects that came.
            self._verdict.inexact = True
            self._report.warnings.append(
                f"{what}: all {count.total} that the shop counts were read, while some changed. "
                "The shop does not list ids by their order, so whether another one came in place "
                "of one that was skipped shows in the next sync. Ask the merchant whether a "
                "plugin changes the order of products in /wp-json."
            )
            return
        if not ids.whole and (count.edited or count.lacking > 0):
            self._verdict.missing.append(
                f"{what}: the shop counts {count.total} and gave {len(count.ids)}, and it does not "
                "list its ids either."
            )
            return
        self._verdict.inexact |= count.edited
        if unread:
            self._report.details["read_by_id"] = len(unread)
        if count.edited:
            pass
        elif count.lacking < 0:
            self._verdict.inexact = True
            self._report.warnings.append(
                f"{what}: the shop counts fewer than it gives, {count.total} and "
                f"{len(count.ids)}; all were read. A cache may give old headers: ask the merchant "
                "to exclude /wp-json from it."
            )
        elif unread:
            self._report.warnings.append(
                f"{what}: {len(unread)} were missing on the pages of the list and were read by "
                "their ids. Ask the merchant whether a cache or a plugin cuts the answers of "
                "/wp-json."
            )
        if not_given > _most_unloadable(ids.total):
            self._verdict.missing.append(
                f"{what}: the shop counts {ids.total} and gives {ids.total - not_given}, however "
                "it is asked."
            )
        elif not_given:
            self._verdict.explained.append(_cannot_load(what, not_given))
            if not count.edited:
                self._remember(what, count.total, not_given)

    async def variations(
        self, endpoint: str | None, families: Families, read: CompactIds, total: int | None
    ) -> AsyncGenerator[RawPage]:
        """Yield pages of the variations that products list and that were not read.

        `endpoint` is shop-wide, and `total` the length of its list; both are None where each
        product's list was read.
        """
        broken = self._broken_ids()
        unread = {
            parent_id: left
            for parent_id, children in families.unread(read).items()
            if (left := [child for child in children if child not in broken])
        }
        came, counted = 0, 0
        for make, batch in _questions(endpoint, unread):
            asked = AskedByIds(batch)
            async with aclosing(asked.pages(self._reader, make)) as pages:
                async for page in pages:
                    yield RawPage(VARIATIONS, page.body, page.facts)
            if not asked.obeyed:
                self._verdict.missing.append(
                    f"Variations: {len(batch)} that products list were not given, and the shop "
                    "does not give variations by their ids."
                )
                return
            for own_id in asked.given:
                read.add(own_id)
            came += len(asked.given)
            counted += asked.counted
            if asked.counted:
                self._report.unreadable |= {str(own_id) for own_id in asked.left}
        self._judge_variations(families, read, came, counted, total)

    def _judge_variations(
        self, families: Families, read: CompactIds, came: int, counted: int, total: int | None
    ) -> None:
        if came:
            self._report.details["variations_read_by_id"] = came
        if counted > _most_unloadable(families.children):
            self._verdict.missing.append(
                f"Variations: {counted} that products list are counted by the shop and not given, "
                "however it is asked."
            )
        elif counted:
            self._verdict.explained.append(_cannot_load("Variations", counted))
        surplus = 0 if total is None else total - len(read) - counted
        if surplus > 0:
            self._verdict.explained.append(
                f"Variations: the shop counts {surplus} that it does not give. No product that was "
                "read lists them: their products are gone (orphans), or are not of a status that "
                "is read. Nothing is missing."
            )

    def _broken_ids(self) -> set[int]:
        return {each.own_id for each in self._broken if each.own_id is not None}

    def _is_broken(self, count: ListCount) -> bool:
        """Whether the list lacks nothing but objects that are reported as broken."""
        broken = sum(each.path == PRODUCTS_ENDPOINT for each in self._broken)
        return broken == count.lacking > 0 and not count.edited

    def _is_known(self, what: str, count: ListCount) -> bool:
        """Whether an earlier sync found out about the same lack; if so, it stays explained."""
        known = value_at(self._report.learned, _UNLOADABLE, what)
        fits = known == {"total": count.total, "lacking": count.lacking}
        if fits and not count.edited:
            self._verdict.explained.append(_cannot_load(what, count.lacking))
            return True
        return False

    def _remember(self, what: str, total: int, lacking: int) -> None:
        known = self._report.learned.get(_UNLOADABLE)
        kept = dict(known) if is_object(known) else {}
        kept[what] = {"total": total, "lacking": lacking}
        self._report.learned[_UNLOADABLE] = kept

    def _forget(self, what: str) -> None:
        known = self._report.learned.get(_UNLOADABLE)
        if is_object(known) and what in known:
            self._report.learned[_UNLOADABLE] = {
                name: value for name, value in known.items() if name != what
            }


def _questions(
    endpoint: str | None, unread: Mapping[int, Sequence[int]]
) -> Iterator[tuple[MakeList, Sequence[int]]]:
    """The lists that give these variations by their ids, each with ids to ask for."""
    if endpoint is None:
        for parent_id, children in unread.items():
            for batch in _batches(children):
                yield partial(variations_of, parent_id), batch
        return
    for batch in _batches([child for children in unread.values() for child in children]):
        yield partial(variations, endpoint), batch


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE))


def _most_unloadable(total: int) -> int:
    return max(_FEW, total // _SHARE)


def _cannot_load(what: str, number: int) -> str:
    return (
        f"{what}: the shop counts {number} that it cannot load itself, and gives them in no way "
        "that they are asked for. Nothing else is missing."
    )
