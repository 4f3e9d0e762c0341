"""Reads the lists of a REST API as raw pages, from the archive first, and counts their objects."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlencode

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.json_values import is_object, list_at
from connector_pipeline.platforms.kit.list_bound import ListBound
from connector_pipeline.platforms.kit.rest.in_order import in_order
from connector_pipeline.platforms.kit.rest.paging import Paging, Params, no_total
from connector_pipeline.platforms.kit.rest.tally import Tally
from connector_pipeline.platforms.kit.resume import ArchivedPages


class Gets(Protocol):
    """Sends GET requests to one shop, as a `RestClient` does."""

    async def get(self, path: str, params: Params) -> Answer:
        """The answer with status 200. Raises the errors of model/errors.py."""
        ...


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list to be read, and how its pages are read.

    `kind` is the kind of its raw pages. `objects` is the path to the objects in the body; it is
    empty for a body that is a bare list. `total` reads the list's length. Objects are counted by
    rising ids, so where the list has another order, `params` have to ask for the order of ids.
    """

    kind: str
    path: str
    paging: Paging
    objects: tuple[str, ...] = ()
    total: Callable[[Answer], int | None] = no_total
    params: Params = field(default_factory=dict[str, str | int])
    id_field: str = "id"


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list. `raw` has `asked`, `total` and `cursor` among its facts."""

    raw: RawPage
    asked: Params
    objects: list[dict[str, Any]]
    ids: tuple[Any, ...]
    total: int | None
    cursor: str | None

    @property
    def name(self) -> str:
        """The page's name in a warning."""
        return f"the page {urlencode(self.asked)}"

    @property
    def is_empty(self) -> bool:
        """Whether the page has no objects."""
        return not self.objects


class ListReader:
    """Reads one shop's lists. Where the next pages are known, it asks for up to `ahead` at once.

    The client's pace decides how many of these requests are under way. The details of `report`
    count the objects of each list. Where a list's counts do not agree, `complete` becomes false,
    with a warning.
    """

    def __init__(
        self, client: Gets, archived: ArchivedPages, report: FetchReport, *, ahead: int = 8
    ):
        self._client = client
        self._archived = archived
        self._report = report
        self._ahead = ahead

    async def single(self, kind: str, path: str) -> RawPage:
        """A page that is no list, e.g. the shop's settings, from the archive or from the shop."""
        facts = {"path": path}
        archived = await self._archived.answer(
            lambda page: page if (page.kind, page.facts) == (kind, facts) else None
        )
        if archived is not None:
            return archived
        answer = await self._client.get(path, {})
        return RawPage(kind, answer.body, {**facts})

    async def pages(self, wanted: ListOf) -> AsyncGenerator[ListPage]:
        """Yield every page of a list, in order, also pages that the list gains meanwhile.

        Raises InvalidResponse for a page that is no list, leads in a circle or goes on far beyond
        the length that the first one states, and what the client raises.
        """
        tally = Tally()
        bound: ListBound | None = None
        async with aclosing(self._walk(wanted)) as pages:
            async for page in pages:
                bound = bound or ListBound(wanted.path, page.total)
                bound.add(len(page.objects))
                tally.add(page)
                yield page
        self._report.details[wanted.kind] = tally.distinct
        self._report.details["pages_from_archive"] = self._archived.taken
        disagreement = tally.disagreement()
        if disagreement is not None:
            self._report.complete = False
            self._report.warnings.append(f"{wanted.path}: {disagreement}.")

    async def _walk(self, wanted: ListOf) -> AsyncGenerator[ListPage]:
        steps = _Steps(wanted)
        asked = steps.first()
        while (page := await self._archived.answer(partial(_archived, wanted, asked))) is not None:
            yield page
            following = next(steps.after(page), None)
            if following is None:
                return
            asked = following
        to_ask = iter([asked])
        while True:
            calls = (partial(self._ask, wanted, asked) for asked in to_ask)
            last: ListPage | None = None
            async with aclosing(in_order(calls, self._ahead)) as pages:
                async for last in pages:
                    yield last
            if last is None:
                return
            to_ask = steps.after(last)

    async def _ask(self, wanted: ListOf, asked: Params) -> ListPage:
        answer = await self._client.get(wanted.path, asked)
        total, cursor = wanted.total(answer), wanted.paging.cursor(answer)
        facts: dict[str, JsonValue] = {
            "path": wanted.path,
            "asked": {**asked},
            "total": total,
            "cursor": cursor,
        }
        return _page(wanted, asked, answer.json, RawPage(wanted.kind, answer.body, facts))


class _Steps:
    """The parameters of a list's pages, in order. Raises InvalidResponse where any come twice."""

    def __init__(self, wanted: ListOf):
        self._wanted = wanted
        self._seen: set[tuple[tuple[str, str | int], ...]] = set()

    def first(self) -> Params:
        return self._once(self._wanted.paging.first(self._wanted.params))

    def after(self, page: ListPage) -> Iterator[Params]:
        return map(self._once, self._wanted.paging.following(page))

    def _once(self, asked: Params) -> Params:
        step = tuple(sorted(asked.items()))
        if step in self._seen:
            raise InvalidResponse(f"{self._wanted.path} leads from page to page in a circle.")
        self._seen.add(step)
        return asked


def _archived(wanted: ListOf, asked: Params, raw: RawPage) -> ListPage | None:
    """The archived page, if the same list was asked for with the same parameters; else None."""
    facts = raw.facts
    if raw.kind != wanted.kind or (facts.get("path"), facts.get("asked")) != (wanted.path, asked):
        return None
    try:
        return _page(wanted, asked, parse_json(raw.body), raw)
    except (InvalidResponse, ValueError):
        return None


def _page(wanted: ListOf, asked: Params, body: object, raw: RawPage) -> ListPage:
    objects = list_at(body, *wanted.objects, of=f"A page of {wanted.path}")
    if not all(map(is_object, objects)):
        raise InvalidResponse(f"A page of {wanted.path} lists more than objects.")
    total, cursor = raw.facts.get("total"), raw.facts.get("cursor")
    return ListPage(
        raw,
        asked,
        objects,
        tuple(map(_id_in(wanted.id_field), objects)),
        total if isinstance(total, int) else None,
        cursor if isinstance(cursor, str) else None,
    )


def _id_in(name: str) -> Callable[[dict[str, Any]], int | str | None]:
    def read(row: dict[str, Any]) -> int | str | None:
        found = row.get(name)
        return found if type(found) is int or type(found) is str else None

    return read
