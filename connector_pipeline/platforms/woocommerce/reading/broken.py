"""Reads pages around broken objects. One broken object makes its whole page fail with 500.

Such a page is read in smaller pages, down to the single broken object, which is left out and
reported (docs/facts/woocommerce.md, Pages that fail).
"""

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import JsonValue

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.kit.json_values import is_list, is_object
from connector_pipeline.platforms.woocommerce.mapping.normalize import object_id
from connector_pipeline.platforms.woocommerce.reading.page_sizes import smaller
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question

_FAILED: Final = frozenset({500})

MOST_BROKEN: Final = 10
"""A reading with more broken objects than this fails, because the shop itself is broken."""

_HOPELESS: Final = 3
"""With so many broken objects in a row at the start of a page, the reading fails at once."""

_NAMED: Final = 5


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


@dataclass(slots=True)
class AroundBroken:
    """Asks the session for lists, and reads a page that fails with 500 around its broken objects.

    The answer for such a page is joined from its parts, each object byte for byte as received,
    without the broken ones. `found` has the broken objects.
    """

    session: Asks
    found: list[BrokenObject] = field(default_factory=list[BrokenObject])

    async def ask(self, question: Question) -> Answer:
        """Ask as the session does. Raises PlatformUnavailable, too, where too many objects fail."""
        answer = await self.session.ask(replace(question, accept=question.accept | _FAILED))
        if answer.status != 500 or 500 in question.accept | question.accept_retried:
            return answer
        size, number = question.params.get("per_page"), question.params.get("page")
        if not isinstance(size, int) or not isinstance(number, int):
            raise _unavailable(question.path)
        reading = _Reading(self, question, size)
        await reading.read(number, size)
        return reading.joined()


class _Reading:
    """Reads one page in parts."""

    def __init__(self, around: AroundBroken, question: Question, size: int):
        self._around = around
        self._path = question.path
        self._params = question.params
        self._size = size
        self._parts: list[Answer] = []
        self._broken: list[tuple[BrokenObject, int]] = []
        self._total: int | None = None

    async def read(self, number: int, size: int) -> None:
        """Read the parts of a page that fails, in order: page `number` of pages of `size`."""
        if size == 1:
            await self._leave_out(number)
            return
        less = smaller(size)
        for start in range((number - 1) * size, number * size, less):
            if self._total is not None and start >= self._total:
                return
            part = start // less + 1
            answer = await self._ask(part, less)
            if answer.status == 200:
                self._keep(answer)
            else:
                await self.read(part, less)

    async def _ask(self, number: int, size: int, **params: str) -> Answer:
        # A failure is retried only for a single object; for a larger part, its parts are read.
        at_once = frozenset[int]() if size == 1 else _FAILED
        asked = {**self._params, "per_page": size, "page": number, **params}
        question = Question(self._path, asked, accept=_FAILED, accept_retried=at_once)
        return await self._around.session.ask(question)

    def _keep(self, answer: Answer) -> None:
        if not is_list(answer.json):
            # A part that is no list cannot be joined.
            raise _unavailable(self._path)
        total = answer.headers.get("X-WP-Total", "")
        self._total = int(total) if total.isascii() and total.isdigit() else None
        self._parts.append(answer)

    async def _leave_out(self, position: int) -> None:
        hopeless = not self._parts and len(self._broken) + 1 >= _HOPELESS
        if hopeless or len(self._around.found) + len(self._broken) >= MOST_BROKEN:
            raise _unavailable(self._path)
        # Asked for the id alone, the shop does less with the object and may succeed.
        alone = await self._ask(position, 1, _fields="id")
        own_id = _id_at([alone], 0) if alone.status == 200 else None
        found = BrokenObject(self._path, position, own_id, after=None, before=None)
        self._broken.append((found, len(self._parts)))

    def joined(self) -> Answer:
        """The parts joined to one answer. The broken objects are added to `found`."""
        if self._total is None:
            raise _unavailable(self._path)
        for found, position in self._broken:
            after, before = _id_at(self._parts[:position], -1), _id_at(self._parts[position:], 0)
            self._around.found.append(replace(found, after=after, before=before))
        pages = -(-self._total // self._size)
        headers = {"X-WP-Total": str(self._total), "X-WP-TotalPages": str(pages)}
        objects = [row for part in self._parts for row in part.json]
        return Answer(200, headers, join_lists(part.body for part in self._parts), objects)


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
        f"The shop answers 500 for every page with one of these {len(named)} objects, which are "
        f"left out: {shown}. Their items stay as they were; ask the merchant to open and save the "
        "products, and to see the PHP error log."
    )


def _id_at(answers: list[Answer], position: int) -> int | None:
    rows = [row for answer in answers for row in answer.json]
    return object_id(rows[position]) if rows and is_object(rows[position]) else None


def _unavailable(path: str) -> PlatformUnavailable:
    return PlatformUnavailable(f"{path} answered 500.")
