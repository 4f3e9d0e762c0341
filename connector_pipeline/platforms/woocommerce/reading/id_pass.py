"""Lists the ids of a list and nothing else, so that no edit and no odd page hides one.

Pages overlap by one object: the first id of a page must have been on the page before. If it was
not, something before it is gone and the list has moved up, so the pass goes back. Ids ascend, so
every object that is in the list from the first to the last request is found, whatever the merchant
adds and deletes meanwhile.

A page that lacks objects is asked for in other ways: backwards, and in smaller pages down to single
objects. What is counted and comes in none of these ways cannot be loaded by the shop itself
(docs/facts/woocommerce.md, Lists: order and totals).
"""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.woocommerce.mapping.normalize import IDS, object_id, objects_of
from connector_pipeline.platforms.woocommerce.reading.endpoints import IDS_AT_ONCE
from connector_pipeline.platforms.woocommerce.reading.list_page import list_page
from connector_pipeline.platforms.woocommerce.reading.page_sizes import smaller
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question

_MOST_SINGLES: Final = 10
"""So many objects that cannot be loaded are looked for one by one; of the rest a sample is enough:
each page of a hundred is still asked for backwards, and in halves."""

_SMALLEST_PAGE: Final = 10
_FARTHEST_BACK: Final = 64
_SPARE_REQUESTS: Final = 200


@dataclass(frozen=True, slots=True)
class IdsOf:
    """A list of which only the ids are asked for. `facts` distinguish its pages from others."""

    path: str
    params: dict[str, str]
    facts: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class IdsPage:
    """The ids on one page, how many the page should have, and the length of the list."""

    ids: tuple[int, ...]
    expected: int
    total: int
    raw: RawPage

    @property
    def lacks(self) -> bool:
        """Whether the shop counts more objects on the page than it gave."""
        return len(self.ids) < self.expected


class PassFailed(Exception):
    """The shop does not list its ids, or not by offset. It says nothing about the catalog."""


async def ask_ids(
    session: Asks,
    archived: ArchivedPages,
    wanted: IdsOf,
    *,
    offset: int,
    size: int,
    order: str = "asc",
    patient: bool = True,
) -> IdsPage:
    """Ask for the ids at these positions, or find them in an archived page. Raises PassFailed.

    Where the shop fails, a `patient` reader asks again, as for every page, and raises
    PlatformUnavailable in the end. For any other the pass has failed.
    """
    facts: dict[str, JsonValue] = {
        "endpoint": wanted.path,
        **wanted.facts,
        "offset": offset,
        "per_page": size,
        "order": order,
    }
    known = await archived.answer(partial(_archived, facts))
    if known is not None:
        return known
    params: dict[str, str | int] = {
        **wanted.params,
        "_fields": "id",
        "orderby": "id",
        "order": order,
        "per_page": size,
        "offset": offset,
    }
    # A page that fails is asked for around its broken objects by number, not by offset.
    question = Question(
        wanted.path,
        params,
        accept=frozenset({400, 404, 500}),
        accept_retried=frozenset() if patient else frozenset({500, 502, 504}),
    )
    try:
        answer = await session.ask(question)
    except PlatformUnavailable as error:
        if patient:
            raise
        raise PassFailed(error.message) from error
    if answer.status != 200:
        raise PassFailed(f"{wanted.path} answered {answer.status} when asked for ids alone")
    page = list_page(answer, 1, wanted.path, per_page=size)
    raw = RawPage(IDS, page.body, {**facts, "total": page.total})
    return _ids_page(raw, page.objects)


class IdPass:
    """One pass over the ids of a list. `whole` says afterwards whether it reached the end.

    `size` is the number of ids a page. With `explain`, a page that lacks objects is asked for in
    other ways, and a page that fails is asked for again.
    """

    def __init__(
        self,
        session: Asks,
        archived: ArchivedPages,
        wanted: IdsOf,
        *,
        size: int = IDS_AT_ONCE,
        explain: bool = True,
    ):
        self._session = session
        self._archived = archived
        self._wanted = wanted
        self._size = max(_SMALLEST_PAGE, min(size, IDS_AT_ONCE))
        self._explain = explain
        self._asked: list[RawPage] = []
        self._requests = 0
        self._singles = 0
        self.listed = CompactIds()
        self.total = 0
        self.whole = False

    @property
    def lacking(self) -> int:
        """How many objects the shop counts and gave in no way."""
        return max(0, self.total - len(self.listed))

    async def pages(self, *, start: int = 0, after: int = 0) -> AsyncGenerator[RawPage]:
        """Yield the pages of the pass from this position on. The ids up to `after` are known.

        `whole` stays false where the shop does not list ids by offset, or gives so little that it
        cannot be followed.
        """
        offset, last, back = start, after, 1
        try:
            while True:
                page = await self._ask(offset, self._size)
                ids = set(page.ids)
                if page.lacks and self._explain:
                    await self._ask_otherwise(offset, page, ids)
                for raw in self._archivable():
                    yield raw
                if list(page.ids) != sorted(page.ids):
                    # The shop ignores the order, and then pages have nothing to be joined by.
                    return
                unchanged = page.total == self.total
                self.total = page.total or self.total
                joins = offset == 0 or (bool(ids) and min(ids) <= last)
                # Pages around objects that cannot be loaded have none in common. There only the
                # list's length shows that nothing has moved.
                if not joins and unchanged and back == 1:
                    joins = page.lacks and (not ids or await self._is_gap(offset))
                if not joins:
                    if back > _FARTHEST_BACK:
                        return
                    # Beyond the end, the shop states a length of 0 for pages by offset.
                    end = min(offset, page.total) if page.total else offset
                    offset, back = max(0, end - back), 2 * back
                    continue
                risen = [own_id for own_id in ids if own_id > last]
                for own_id in sorted(risen):
                    self.listed.add(own_id)
                last = max(risen, default=last)
                if len(page.ids) < self._size and offset + self._size >= page.total:
                    self.whole = True
                    return
                if ids and not risen and offset and back == 1:
                    # The shop gives what it gave before, so it ignores the offset.
                    return
                offset, back = offset + self._size - 1, 1
        except PassFailed:
            for raw in self._archivable():
                yield raw

    async def _is_gap(self, offset: int) -> bool:
        """Whether the object at this position cannot be loaded: no page can be joined there."""
        single = await self._ask(offset, 1)
        return single.lacks and single.total == self.total

    def _archivable(self) -> Iterator[RawPage]:
        asked, self._asked = self._asked, []
        return iter(asked)

    async def _ask(self, offset: int, size: int, order: str = "asc") -> IdsPage:
        self._requests += 1
        if self._requests > 4 * (self.total // self._size) + _SPARE_REQUESTS:
            raise PassFailed("the list changes faster than it can be followed")
        page = await ask_ids(
            self._session,
            self._archived,
            self._wanted,
            offset=offset,
            size=size,
            order=order,
            patient=self._explain,
        )
        self._asked.append(page.raw)
        return page

    async def _ask_otherwise(self, offset: int, page: IdsPage, ids: set[int]) -> None:
        """Add to `ids` those that come when the same positions are asked for in other ways."""
        backwards = page.total - offset - page.expected
        mirrored = await self._ask(backwards, page.expected, "desc")
        if mirrored.total == page.total:
            ids.update(mirrored.ids)
        if len(ids) < page.expected:
            await self._in_parts(offset, page.expected, self._size, ids)

    async def _in_parts(self, offset: int, count: int, size: int, ids: set[int]) -> None:
        less = smaller(size)
        for start in range(offset, offset + count, less):
            part = await self._ask(start, less)
            ids.update(part.ids)
            if not part.lacks:
                continue
            if less == 1:
                self._singles += 1
            elif self._singles < _MOST_SINGLES:
                await self._in_parts(start, min(less, offset + count - start), less, ids)


def _ids_page(raw: RawPage, objects: list[dict[str, object]]) -> IdsPage:
    offset, size, total = (
        count if type(count := raw.facts.get(name)) is int else 0
        for name in ("offset", "per_page", "total")
    )
    ids = tuple(own_id for row in objects if (own_id := object_id(row)) is not None)
    return IdsPage(ids, max(0, min(size, total - offset)), total, raw)


def _archived(facts: dict[str, JsonValue], raw: RawPage) -> IdsPage | None:
    if raw.kind != IDS or any(raw.facts.get(name) != value for name, value in facts.items()):
        return None
    try:
        return _ids_page(raw, objects_of(parse_json(raw.body)))
    except (InvalidResponse, ValueError):
        return None
