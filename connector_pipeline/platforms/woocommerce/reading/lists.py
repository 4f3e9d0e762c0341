"""Reads a list of the REST API page by page, to the last one.

Pages are ordered by id, ascending, because the default order (date, newest first) repeats and skips
objects while products are added. A short page is not the last one: a list ends with the page that
`X-WP-TotalPages` names (docs/facts/woocommerce.md, Lists: order and totals). A page that takes the
shop too long is read in smaller pages, and after two of them so are the others. A shop that allows
no pages of the size is read in those that it allows.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import SlowAnswer
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.list_bound import ListBound
from connector_pipeline.platforms.kit.rest.in_order import in_order
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.woocommerce.mapping.normalize import objects_of
from connector_pipeline.platforms.woocommerce.reading.broken import (
    MOST_IN_PARTS,
    PageTooLarge,
    memory_of,
)
from connector_pipeline.platforms.woocommerce.reading.list_page import (
    ListPage,
    allowed_by_refusal,
    list_page,
)
from connector_pipeline.platforms.woocommerce.reading.page_sizes import (
    SMALLEST,
    PageSizes,
    parts,
    smaller,
)
from connector_pipeline.platforms.woocommerce.reading.paging_works import PagingWorks
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question
from connector_pipeline.platforms.woocommerce.talking.refusals import (
    error_code,
    error_of,
)

_NOT_HERE: Final = frozenset({400, 403, 404})
_BAD_REQUEST: Final = 400


class _LargerThanAllowed(Exception):
    """The shop allows pages of `size` objects, and was asked for more."""

    def __init__(self, size: int):
        super().__init__(size)
        self.size = size


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list to be read. `params` are sent beside the parameters of the page.

    `endpoint` and `question` distinguish the list from others, and are among its page facts.
    """

    kind: str
    endpoint: str
    path: str
    params: Mapping[str, str]
    question: dict[str, JsonValue]

    @property
    def page_facts(self) -> dict[str, JsonValue]:
        """The facts that all pages of the list have."""
        return {"endpoint": self.endpoint, **self.question}


class ListReader:
    """Reads lists of one shop in pages of the known `sizes`, and asks for `ahead` at a time.

    The session's pace decides how many of these requests are under way.
    """

    def __init__(self, session: Asks, *, sizes: PageSizes, ahead: int, archived: ArchivedPages):
        self._session = session
        self._sizes = sizes
        self.ahead = ahead
        self.archived = archived
        self.smaller_pages = 0

    @property
    def session(self) -> Asks:
        """Asks the shop."""
        return self._session

    def page_size(self, kind: str) -> int:
        """How many objects of a kind the shop can give on a page, as far as is known."""
        return self._sizes.size(kind)

    async def pages(
        self, wanted: ListOf, first: Iterable[ListPage] = ()
    ) -> AsyncGenerator[ListPage]:
        """Yield every page of the list, in order, also pages that the list gains meanwhile.

        Archived pages come first. `first` are the pages at the list's beginning, if they were asked
        for before; they are used where no page is archived. Raises InvalidResponse where the pages
        prove that the shop ignores parameters, or where the list grows without end.
        """
        status = wanted.params.get("status")
        works = PagingWorks(wanted.path, status=status)
        bound: ListBound | None = None
        reached, end = 0, 1

        def checked(page: ListPage) -> ListPage:
            nonlocal bound
            works.check(page)
            bound = bound or ListBound(wanted.path, page.total)
            # A position that the shop gave nothing for counts, too.
            bound.add(max(0, page.stop - reached))
            return page

        while reached < end and (page := await self._archived(wanted, reached)) is not None:
            # It was checked when it came.
            works.remember(page)
            bound = bound or ListBound(wanted.path, max(page.total, page.stop))
            yield page
            reached, end = page.stop, page.end
        for page in first if reached == 0 else ():
            yield checked(page)
            reached, end = page.stop, page.end
        while reached < end:
            steps = self._steps(wanted, reached, end)
            readings = (partial(self._step, wanted, number, size) for number, size in steps)
            try:
                async with aclosing(in_order(readings, self.ahead if reached else 1)) as results:
                    async for pages in results:
                        for page in pages:
                            yield checked(page)
                            reached, end = max(reached, page.stop), page.end
            except PageTooLarge as too_large:
                # The rest is read in the smaller pages that are remembered now.
                if not too_large.smaller:
                    raise too_large.error from too_large

    async def first(self, wanted: ListOf) -> list[ListPage]:
        """Ask the shop for the list's first page, also if it is archived.

        A slow page comes in parts. The result is empty where the shop has no such list.
        """
        while True:
            try:
                return await self._step(wanted, 1, self._sizes.first(wanted.kind), may_lack=True)
            except PageTooLarge as too_large:
                if not too_large.smaller:
                    raise too_large.error from too_large

    async def _archived(self, wanted: ListOf, start: int) -> ListPage | None:
        """The list's archived page that starts at object `start`, if it is the next one."""
        return await self.archived.answer(partial(_archived_page, wanted, start))

    def _steps(self, wanted: ListOf, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The numbers and sizes of the pages that cover the objects from `start` to `end`."""
        while start < end:
            size = self._sizes.size(wanted.kind) if start else self._sizes.first(wanted.kind)
            while start % size:
                size = smaller(size)
            yield start // size + 1, size
            start += size

    async def _step(
        self, wanted: ListOf, number: int, size: int, *, may_lack: bool = False
    ) -> list[ListPage]:
        """One page, or its parts; none where the shop lacks the list."""
        works = self._sizes.size(wanted.kind)
        less = parts(size, works)
        last = less < SMALLEST
        try:
            page = await self._ask(wanted, number, size, may_lack=may_lack, retry_slow=last)
        except SlowAnswer:
            if last:
                raise
        except _LargerThanAllowed as larger:
            less = parts(size, larger.size)
            self._sizes.failed(wanted.kind, less)
            if number == 1:
                # Whether the shop obeys this size is seen before more is asked for.
                return await self._step(wanted, 1, less, may_lack=may_lack)
            return await self._in_parts(wanted, number, size, less, may_lack=may_lack)
        else:
            return [] if page is None else [page]
        self.smaller_pages += 1
        if size > works:
            self._sizes.failed(wanted.kind, less)
        else:
            self._sizes.slow(wanted.kind)
        return await self._in_parts(wanted, number, size, less, may_lack=may_lack)

    async def _in_parts(
        self, wanted: ListOf, number: int, size: int, less: int, *, may_lack: bool
    ) -> list[ListPage]:
        pages: list[ListPage] = []
        for start in range((number - 1) * size, number * size, less):
            if pages and pages[-1].end <= start:
                break
            pages += await self._step(wanted, start // less + 1, less, may_lack=may_lack)
            if sum(memory_of(page.body) for page in pages) > MOST_IN_PARTS:
                self._sizes.failed(wanted.kind, less)
                raise PageTooLarge(wanted.path, smaller=size > SMALLEST)
        return pages

    async def _ask(
        self, wanted: ListOf, number: int, size: int, *, may_lack: bool, retry_slow: bool
    ) -> ListPage | None:
        paging = {"per_page": size, "page": number, "orderby": "id", "order": "asc"}
        question = Question(
            wanted.path,
            {**wanted.params, **paging},
            accept=_NOT_HERE if may_lack else frozenset({_BAD_REQUEST}),
            retry_slow=retry_slow,
        )
        answer = await self._session.ask(question)
        if answer.status == _BAD_REQUEST:
            _refuse_larger(size, allowed_by_refusal(answer, size))
            if not may_lack:
                raise error_of(answer, wanted.path)
        if answer.status != 200:
            if answer.status == 403 and error_code(answer) is None:
                # A firewall's page does not show whether WooCommerce has the list.
                raise error_of(answer, wanted.path)
            return None
        page = list_page(answer, number, wanted.path, per_page=size)
        _refuse_larger(size, page.allowed)
        counts = {
            "page": number,
            "per_page": size,
            "total": page.total,
            "total_pages": page.total_pages,
        }
        return replace(page, facts={**counts, **wanted.page_facts})


def _refuse_larger(size: int, allowed: int | None) -> None:
    """Raise _LargerThanAllowed where smaller pages may work."""
    if allowed is not None and SMALLEST <= parts(size, max(1, allowed)) < size:
        raise _LargerThanAllowed(allowed)


def _archived_page(wanted: ListOf, start: int, raw: RawPage) -> ListPage | None:
    """The archived page, if it is the list's and starts at object `start`; else None.

    Its size may differ from the size to be asked for, because a slow page was read in parts.
    """
    number, per_page, total, total_pages = (
        count if isinstance(count := raw.facts.get(name), int) else 0
        for name in ("page", "per_page", "total", "total_pages")
    )
    if raw.kind != wanted.kind or number < 1 or per_page < 1 or (number - 1) * per_page != start:
        return None
    if any(raw.facts.get(name) != value for name, value in wanted.page_facts.items()):
        return None
    try:
        objects = objects_of(parse_json(raw.body))
    except (InvalidResponse, ValueError):
        return None
    return ListPage(number, per_page, total, total_pages, objects, raw.body, raw.facts)
