"""Step round objects that a shop cannot answer for: one of them makes its whole page fail with 500.

Such a page is read in smaller ones, down to the single object, which is left out and reported
(docs/facts/woocommerce.md, Pages that fail).
"""

import codecs
from collections.abc import Iterable
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
"""Broken objects of one reading from which on it is the shop that is broken."""

_HOPELESS: Final = 3
"""Broken objects in a row, at the start of a page, that say so at once."""

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class BrokenObject:
    """One object of a list that was left out: `position` counts from 1.

    `own_id` is None where the shop does not even tell that; `after` and `before` are the ids of its
    neighbours on the page.
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
    """Asks the session for lists, and reads a page that fails with 500 around what breaks it.

    The answer to such a page is joined of its parts, each object byte for byte as received, and
    short of the broken ones. What was left out is in `found`.
    """

    session: Asks
    found: list[BrokenObject] = field(default_factory=list[BrokenObject])

    async def ask(self, question: Question) -> Answer:
        """As the session's. Raises PlatformUnavailable, too, where most of what is asked fails."""
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
    """One page, read in parts."""

    def __init__(self, around: AroundBroken, question: Question, size: int):
        self._around = around
        self._path = question.path
        self._params = question.params
        self._size = size
        self._parts: list[Answer] = []
        self._broken: list[tuple[BrokenObject, int]] = []
        self._total: int | None = None

    async def read(self, number: int, size: int) -> None:
        """Read page `number` of pages of `size`, known to fail, in the order of its objects."""
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
        # Only of a single object is it worth asking whether the failure passes.
        at_once = frozenset[int]() if size == 1 else _FAILED
        asked = {**self._params, "per_page": size, "page": number, **params}
        question = Question(self._path, asked, accept=_FAILED, accept_retried=at_once)
        return await self._around.session.ask(question)

    def _keep(self, answer: Answer) -> None:
        if not is_list(answer.json):
            # Not a list: the reader of the page says so better.
            raise _unavailable(self._path)
        total = answer.headers.get("X-WP-Total", "")
        self._total = int(total) if total.isascii() and total.isdigit() else None
        self._parts.append(answer)

    async def _leave_out(self, position: int) -> None:
        hopeless = not self._parts and len(self._broken) + 1 >= _HOPELESS
        if hopeless or len(self._around.found) + len(self._broken) >= MOST_BROKEN:
            raise _unavailable(self._path)
        # Asked for nothing else, the shop makes less of the object and may get that far.
        alone = await self._ask(position, 1, _fields="id")
        own_id = _id_at([alone], 0) if alone.status == 200 else None
        found = BrokenObject(self._path, position, own_id, after=None, before=None)
        self._broken.append((found, len(self._parts)))

    def joined(self) -> Answer:
        """One answer of the parts; what was left out is recorded."""
        if self._total is None:
            raise _unavailable(self._path)
        for found, place in self._broken:
            after, before = _id_at(self._parts[:place], -1), _id_at(self._parts[place:], 0)
            self._around.found.append(replace(found, after=after, before=before))
        pages = -(-self._total // self._size)
        headers = {"X-WP-Total": str(self._total), "X-WP-TotalPages": str(pages)}
        objects = [row for part in self._parts for row in part.json]
        return Answer(200, headers, join_lists(part.body for part in self._parts), objects)


def join_lists(bodies: Iterable[bytes]) -> bytes:
    """JSON lists as one, what is between their brackets byte for byte."""
    inner = (body.removeprefix(codecs.BOM_UTF8).strip()[1:-1].strip() for body in bodies)
    return b"[" + b",".join(part for part in inner if part) + b"]"


def report_left_out(found: Iterable[BrokenObject], report: FetchReport) -> None:
    """Tell of what was left out: the snapshot is not complete, and says what it lacks."""
    named: list[JsonValue] = [str(each) for each in found]
    if not named:
        return
    report.complete = False
    report.details["broken_objects"] = named
    shown = "; ".join(map(str, named[:_NAMED])) + ("; …" if len(named) > _NAMED else "")
    report.warnings.append(
        f"The shop answers 500 for every page with one of these {len(named)} objects, which are "
        f"left out: {shown}. Their items stay as they were; ask the merchant to open and save the "
        "products, and to see the PHP error log."
    )


def _id_at(answers: list[Answer], place: int) -> int | None:
    rows = [row for answer in answers for row in answer.json]
    return object_id(rows[place]) if rows and is_object(rows[place]) else None


def _unavailable(path: str) -> PlatformUnavailable:
    return PlatformUnavailable(f"{path} answered 500.")
