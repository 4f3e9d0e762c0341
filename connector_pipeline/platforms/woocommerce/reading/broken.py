"""Reads a page that the shop breaks over in smaller parts, and leaves out what no page can hold.

A host may break over a page because it is too large, whatever its objects, or because of one broken
object, whatever its size (docs/facts/woocommerce.md, Pages that fail). In both cases its parts are
read. Where all parts of one size can be read, the page was too large, and the size is remembered
for the shop's later pages. So it is with a page that is too large for us. Down to the single broken
object, what fails is left out and reported.
"""

import asyncio
import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.bounds import PAGE
from connector_pipeline.platforms.http.client import Answer, HeavyAnswer, SlowAnswer
from connector_pipeline.platforms.http.json_shape import most_memory
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.kit.json_values import is_list, is_object
from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    ANALYTICS_VARIATIONS,
    PRODUCTS,
    VARIATIONS,
    object_id,
)
from connector_pipeline.platforms.woocommerce.reading.endpoints import ALL_VARIATIONS, SHOP_WIDE
from connector_pipeline.platforms.woocommerce.reading.page_sizes import SMALLEST, PageSizes, parts
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question

MOST_BROKEN: Final = 10
"""A reading with more broken objects than this fails, because the shop itself is broken."""

# The lists by product never meet an orphan, so a shop-wide list is soon given up for them
# (docs/facts/woocommerce.md, Variations: orphans and former variables).
_MOST_BROKEN_OF: Final = {ANALYTICS_VARIATIONS: 0, ALL_VARIATIONS: 3}

_HOPELESS: Final = 3
"""With so many broken objects in a row at the start of a page, the reading fails at once."""

_NAMED: Final = 5

# Trouble may pass: the page is asked for once more, and one object three times, for some seconds.
_RETRIES: Final = 1
_RETRIES_OF_ONE: Final = 2

# The second is for pages that are too large for us.
_Failure = PlatformUnavailable | InvalidResponse


MOST_IN_PARTS: Final = 2 * (PAGE.body + PAGE.parsed)
"""The most bytes that the parts of one page may take in memory together."""


class PageTooLarge(Exception):
    """The parts of a page are too large together. Pages of the list have to be smaller.

    The size to read it in is remembered, if there is one. `error` is the error to raise where not.
    """

    def __init__(self, path: str, *, smaller: bool):
        super().__init__(path)
        self.smaller = smaller
        self.error = InvalidResponse(
            f"The objects of {path} are so large that no page of them can be read.",
            remedy="Only the next sync tries again. Ask the merchant which plugin puts so much "
            "into the answers of the shop's API.",
        )


class ListFails(Exception):
    """The shop fails with a list of all its variations. Its lists by product may be read instead.

    `error` is the error to raise where there are none.
    """

    def __init__(self, error: _Failure):
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class BrokenObject:
    """One object of a list that was left out. `position` counts from 1.

    `own_id` is None where the shop does not even answer with the id. `after` and `before` are the
    ids of the objects beside it on the page.
    """

    path: str
    position: int
    own_id: int | None
    after: int | None
    before: int | None

    def __str__(self) -> str:
        if self.own_id is not None:
            return f"{self.path} object {self.own_id}"
        between = [
            f"{word} {number}"
            for word, number in (("after", self.after), ("before", self.before))
            if number is not None
        ]
        return f"{self.path} position {self.position}{''.join(f', {each}' for each in between)}"


def _page_sizes() -> PageSizes:
    return PageSizes({}, 100)


@dataclass(slots=True)
class AroundBroken:
    """Asks the session for lists, and reads a page that the shop breaks over in parts.

    The answer for such a page is joined from its parts, each object byte for byte as received,
    without the broken ones. `found` has the broken objects, and `in_parts` counts the pages. One
    page at a time is read in parts, so that a host in trouble is not asked more for it.
    """

    session: Asks
    sizes: PageSizes = field(default_factory=_page_sizes)
    found: list[BrokenObject] = field(default_factory=list[BrokenObject])
    in_parts: int = 0
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    # After one page failed, others that were asked for with it must not go on failing. By whether
    # the page is of a list of all variations, in whose place other lists are read.
    _given_up: dict[bool, _Failure] = field(default_factory=dict[bool, _Failure])

    async def ask(self, question: Question) -> Answer:
        """Ask as the session does.

        Raises PlatformUnavailable, too, where too many objects fail, or the shop answers for none,
        and InvalidResponse where they are too large. For a list of all variations, both are
        ListFails. Raises PageTooLarge where only smaller pages of the list can be read.
        """
        size, number = question.params.get("per_page"), question.params.get("page")
        if not isinstance(size, int) or not isinstance(number, int):
            return await self.session.ask(question)
        if self._one_at_a_time.locked():
            async with self._one_at_a_time:
                pass
        reading = _Reading(self, question, size)
        if size <= self.sizes.first(reading.kind):
            try:
                answer = await self.session.ask(replace(question, retries_if_heavy=_RETRIES))
            except HeavyAnswer as heavy:
                reading.failed = heavy
            else:
                before = (number - 1) * size
                self.sizes.passed(reading.kind, size, min(size, (_total(answer) or 0) - before))
                return answer
        shop_wide = question.path in SHOP_WIDE
        async with self._one_at_a_time:
            try:
                if (given_up := self._given_up.get(shop_wide)) is not None:
                    raise given_up
                self.in_parts += 1
                return await reading.page(number)
            except (PlatformUnavailable, InvalidResponse) as error:
                if reading.gave_up:
                    self._given_up[shop_wide] = error
                if not shop_wide or shop_wide not in self._given_up:
                    raise
                self.found[:] = [each for each in self.found if each.path != question.path]
                raise ListFails(error) from error


class _Reading:
    """Reads one page of a list in parts.

    `failed` is the shop's failure with the whole page; None where the shop is known to fail with
    pages of that size. `gave_up` is whether the parts failed, too.
    """

    def __init__(self, around: AroundBroken, question: Question, size: int):
        self.kind = VARIATIONS if question.path.endswith("/variations") else PRODUCTS
        self.failed: HeavyAnswer | None = None
        self.gave_up = False
        self._around = around
        self._path = question.path
        self._params = question.params
        self._size = size
        self._is_step = size > around.sizes.size(self.kind)
        self._parts: list[Answer] = []
        self._broken: list[tuple[BrokenObject, int]] = []
        self._first_total: int | None = None
        self._total: int | None = None
        self._memory = 0

    async def page(self, number: int) -> Answer:
        """The page of this number, joined from its parts."""
        if self.failed is not None and not _has_answered(self.failed):
            await self._make_sure_that_the_shop_answers(number)
        await self._read(number, self._size)
        return self._joined()

    async def _make_sure_that_the_shop_answers(self, number: int) -> None:
        """Raise the error of a shop that answers neither for one object nor for the next one."""
        first = (number - 1) * self._size + 1
        for position, retries in ((first, _RETRIES_OF_ONE), (first + 1, 0)):
            answer = await self._ask(position, 1, retries)
            if isinstance(answer, Answer):
                return
        raise self._give_up()

    async def _read(self, number: int, size: int) -> None:
        """Read the parts of a page that fails, in order: page `number` of pages of `size`."""
        if size == 1:
            await self._leave_out(number)
            return
        sizes = self._around.sizes
        less = parts(size, sizes.size(self.kind))
        failing = 0
        for start in range((number - 1) * size, number * size, less):
            if self._total is not None and start >= self._total:
                break
            part = start // less + 1
            answer = await self._ask(part, less, _RETRIES if less == 1 else 0)
            if answer is None:
                failing += 1
                await self._read(part, less)
            else:
                self._keep(answer, less)
        is_news = less < sizes.size(self.kind) or (self._is_step and size == self._size)
        if not failing and is_news and self.failed is not None:
            sizes.failed(self.kind, less)

    async def _ask(self, number: int, size: int, retries: int, **params: str) -> Answer | None:
        """The answer for a part; None where the shop breaks over it."""
        asked = {**self._params, "per_page": size, "page": number, **params}
        question = Question(self._path, asked, retry_slow=False, retries_if_heavy=retries)
        try:
            return await self._around.session.ask(question)
        except HeavyAnswer as heavy:
            self.failed = heavy
        except SlowAnswer as slow:
            self.failed = HeavyAnswer(PlatformUnavailable(str(slow)))
        return None

    def _keep(self, answer: Answer, size: int) -> None:
        if not is_list(answer.json):
            # A part that is no list cannot be joined.
            raise self._give_up()
        self._memory += memory_of(answer.body)
        if self._memory > MOST_IN_PARTS:
            smaller = self._size > SMALLEST
            if smaller:
                self._around.sizes.failed(self.kind, min(size, self._size - 1))
            raise PageTooLarge(self._path, smaller=smaller)
        self._total = _total(answer)
        if not self._parts:
            self._first_total = self._total
        self._parts.append(answer)

    async def _leave_out(self, position: int) -> None:
        hopeless = not self._parts and len(self._broken) + 1 >= _HOPELESS
        most = _MOST_BROKEN_OF.get(self._path, MOST_BROKEN)
        of_list = [each for each in self._around.found if each.path == self._path]
        found = of_list if self._path in _MOST_BROKEN_OF else self._around.found
        if hopeless or len(found) + len(self._broken) >= most:
            raise self._give_up()
        # Asked for the id alone, the shop does less with the object and may succeed.
        alone = await self._ask(position, 1, 0, _fields="id")
        own_id = _id_at([alone], 0) if alone is not None else None
        left_out = BrokenObject(self._path, position, own_id, after=None, before=None)
        self._broken.append((left_out, len(self._parts)))

    def _joined(self) -> Answer:
        """The parts joined to one answer. The broken objects are added to `found`."""
        if self._total is None:
            raise self._give_up()
        for found, position in self._broken:
            after, before = _id_at(self._parts[:position], -1), _id_at(self._parts[position:], 0)
            self._around.found.append(replace(found, after=after, before=before))
        pages = -(-self._total // self._size)
        # Of a list that changes between two parts, both lengths must not seem to be the last one:
        # an object may have been skipped.
        headers = {"X-WP-Total": str(self._first_total), "X-WP-TotalPages": str(pages)}
        objects = [row for part in self._parts for row in part.json]
        return Answer(200, headers, join_lists(part.body for part in self._parts), objects)

    def _give_up(self) -> _Failure:
        self.gave_up = True
        if self.failed is None:
            return PlatformUnavailable(f"{self._path} cannot be read in smaller pages either.")
        error = self.failed.error
        return type(error)(
            f"{error.message.removesuffix('.')} for {self._path}, in pages of any size.",
            remedy=error.remedy,
        )


def memory_of(body: bytes) -> int:
    """The most bytes that a page takes in memory with its parsed JSON."""
    return len(body) + most_memory(body)


def _total(answer: Answer) -> int | None:
    written = answer.headers.get("X-WP-Total", "")
    return int(written) if written.isascii() and written.isdigit() and len(written) < 10 else None


def _has_answered(failed: HeavyAnswer) -> bool:
    """Whether the answer was too large or WordPress reports the failure: the host is not down."""
    return failed.too_large or (failed.answer is not None and is_object(failed.answer.json))


def join_lists(bodies: Iterable[bytes]) -> bytes:
    """JSON lists joined to one. The text between their brackets stays byte for byte."""
    inner = (body.removeprefix(codecs.BOM_UTF8).strip()[1:-1].strip() for body in bodies)
    return b"[" + b",".join(part for part in inner if part) + b"]"


def report_left_out(found: Sequence[BrokenObject], report: FetchReport) -> None:
    """Report the broken objects: the snapshot is not complete, and a warning names them."""
    named: list[JsonValue] = [str(each) for each in found]
    if not named:
        return
    report.complete = False
    report.unreadable |= {str(each.own_id) for each in found if each.own_id is not None}
    report.details["broken_objects"] = named
    shown = "; ".join(map(str, named[:_NAMED])) + ("; …" if len(named) > _NAMED else "")
    report.warnings.append(
        f"The shop answers no page with one of these {len(named)} objects, which are left out: "
        f"{shown}. Their items stay as they were; ask the merchant to open and save the products, "
        "and to see the PHP error log."
    )


def _id_at(answers: list[Answer], position: int) -> int | None:
    rows = [row for answer in answers for row in answer.json]
    return object_id(rows[position]) if rows and is_object(rows[position]) else None
