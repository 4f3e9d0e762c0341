"""Completes a reading: reads in another way what its lists lack, and explains what stays lacking.

Three things are told apart. Objects that can be had are asked for by their ids, and read. Objects
that the shop counts and cannot load come in no way, and belong to nobody. Variations that no
product lists are orphans, or of products that are not read. Only what is none of these is missing.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.json_values import is_object, value_at
from connector_pipeline.platforms.woocommerce.mapping.normalize import PRODUCTS, VARIATIONS
from connector_pipeline.platforms.woocommerce.reading.broken import BrokenObject
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    IDS_AT_ONCE,
    PRODUCTS_ENDPOINT,
)
from connector_pipeline.platforms.woocommerce.reading.families import Families
from connector_pipeline.platforms.woocommerce.reading.id_pass import IdPass, IdsOf
from connector_pipeline.platforms.woocommerce.reading.list_count import ListCount
from connector_pipeline.platforms.woocommerce.reading.lists import ListOf, ListReader
from connector_pipeline.platforms.woocommerce.reading.shop_lists import (
    products,
    variations,
    variations_of,
)

READ_BY_ID: Final = "read_by_id"
"""The fact of a page of objects that a list lacked; its value is the ids that were asked for."""

_UNLOADABLE: Final = "unloadable"
_FEW: Final = 3
_SHARE: Final = 10
"""A shop fails to load a few of its objects. More than a tenth is trouble of another kind."""


@dataclass(slots=True)
class Verdict:
    """What is known about the reading so far.

    `missing`: what is doubtful, in words. `explained`: what the shop counts and nobody lacks.
    `edited`: the shop was edited meanwhile, and everything in it was read all the same.
    """

    missing: list[str] = field(default_factory=list[str])
    explained: list[str] = field(default_factory=list[str])
    edited: bool = False

    def put_into(self, report: FetchReport) -> None:
        """Say in the report whether the reading is complete, or that everything was read."""
        report.all_read = not self.missing
        report.complete = report.all_read and not self.edited
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
        ids = IdPass(self._reader.session, self._reader.archived, wanted)
        start, after = (count.stop - 1, count.ids.highest) if only_its_end else (0, 0)
        async with aclosing(ids.pages(start=start, after=after)) as pages:
            async for page in pages:
                yield page
        unread = [own_id for own_id in ids.listed if own_id not in count.ids]
        left = [own_id for own_id in unread if own_id not in self._broken_ids()]
        while left:
            asked, left = left[:IDS_AT_ONCE], left[IDS_AT_ONCE:]
            wanted_ids: list[JsonValue] = [*asked]
            by_id = products(status, {"include": joined(asked)}, {READ_BY_ID: wanted_ids})
            async with aclosing(self._reader.pages(by_id)) as found:
                async for page in found:
                    for product in page.objects:
                        families.add(product)
                    for own_id in page.ids:
                        if own_id is not None:
                            count.ids.add(own_id)
                    yield RawPage(PRODUCTS, page.body, page.facts)
        if not only_its_end or unread:
            self._judge(what, count, ids, unread, whole_list=not only_its_end)

    def _judge(
        self, what: str, count: ListCount, ids: IdPass, unread: list[int], *, whole_list: bool
    ) -> None:
        if not ids.whole:
            self._verdict.missing.append(
                f"{what}: the shop counts {count.total} and gave {len(count.ids)}, and it does not "
                "list its ids either."
            )
            return
        self._verdict.edited |= count.edited
        if unread:
            self._report.details["read_by_id"] = len(unread)
            if not count.edited:
                self._report.warnings.append(
                    f"{what}: {len(unread)} were missing on the pages of the list and were read by "
                    "their ids. Ask the merchant whether a cache or a plugin cuts the answers of "
                    "/wp-json."
                )
        lacking = ids.lacking if whole_list else 0
        if lacking > _most_unloadable(ids.total):
            self._verdict.missing.append(
                f"{what}: the shop counts {ids.total} and gives {len(ids.listed)}, however it is "
                "asked."
            )
        elif lacking:
            self._verdict.explained.append(_cannot_load(what, lacking))
            if not count.edited:
                self._remember(what, count.total, lacking)

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
        for wanted, asked in _questions(endpoint, unread):
            given: set[int] = set()
            length = 0
            async with aclosing(self._reader.pages(wanted)) as pages:
                async for page in pages:
                    length = page.total
                    given.update(own_id for own_id in page.ids if own_id is not None)
                    yield RawPage(VARIATIONS, page.body, page.facts)
            if not given <= asked:
                self._verdict.missing.append(
                    f"Variations: {len(asked)} that products list were not given, and the shop "
                    "does not give variations by their ids."
                )
                return
            for own_id in given:
                read.add(own_id)
            came += len(given)
            if length > len(given):
                counted += length - len(given)
                self._report.unreadable |= {str(own_id) for own_id in asked - given}
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
                f"Variations: the shop counts {surplus} that it does not give and that no product "
                "lists: their products are gone, and nobody can buy them. Nothing is missing."
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


def joined(ids: Iterable[int]) -> str:
    """Ids as the value of a parameter."""
    return ",".join(map(str, ids))


def _questions(
    endpoint: str | None, unread: Mapping[int, Sequence[int]]
) -> Iterator[tuple[ListOf, set[int]]]:
    """The lists that give these variations by their ids, each with the ids."""
    if endpoint is None:
        for parent_id, children in unread.items():
            for asked in _batches(children):
                yield variations_of(parent_id, *_by_id(asked)), set(asked)
        return
    for asked in _batches([child for children in unread.values() for child in children]):
        yield variations(endpoint, *_by_id(asked)), set(asked)


def _by_id(asked: Sequence[int]) -> tuple[dict[str, str], dict[str, JsonValue]]:
    ids: list[JsonValue] = [*asked]
    return {"include": joined(asked)}, {READ_BY_ID: ids}


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE))


def _most_unloadable(total: int) -> int:
    return max(_FEW, total // _SHARE)


def _cannot_load(what: str, number: int) -> str:
    return (
        f"{what}: the shop counts {number} that it cannot load itself, and gives them in no way "
        "that they are asked for. Nothing else is missing."
    )
