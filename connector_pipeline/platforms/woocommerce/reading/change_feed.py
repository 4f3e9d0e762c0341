"""A look at what changed in a shop: the newest changes of products, and of variations.

Each list is asked for its newest changes, a few objects of three fields. The answer states the
list's length, too: if that is less than before and what was added since, something was deleted.
The shop does not tell what, so the hint names nothing, and an increment finds it. The first look
has no length to compare with, so it asks for an increment, too. Variations have dates of their own
(docs/facts/woocommerce.md, Which dates move and Lists: newest changes).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ValidationError

from connector_pipeline.model.hint import Hint
from connector_pipeline.platforms.kit.newest_first import News, Remembered, Row, news
from connector_pipeline.platforms.kit.webhooks import Changes
from connector_pipeline.platforms.woocommerce.mapping.normalize import id_of_parent, object_id
from connector_pipeline.platforms.woocommerce.reading.endpoints import PRODUCTS_ENDPOINT, SHOP_WIDE
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage, list_page
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question

OVERLAP: Final = timedelta(minutes=2)
"""An edit may be dated before another one that was seen earlier, if it took longer."""

CHANGED: Final = "product.updated"
DELETED: Final = "product.deleted"

_NO_PRODUCT: Final = "0"
"""The product of an orphan, which nobody can buy."""

_FIRST: Final = 10
_MOST: Final = 100
_BY_LOCAL_TIME: Final = timedelta(hours=2)
"""The shop sorts by its local time, in which the hour at the end of summer comes twice."""
_ASK_AGAIN_AFTER: Final = timedelta(days=1)
_HAS_NO_LIST: Final = frozenset({400, 404})


class _Known(BaseModel):
    """What is known of one list, and its length; None: no look has counted it."""

    list: Remembered
    length: int | None = None


class _Cursor(BaseModel):
    """The lists of products by status, and that of variations with its endpoint.

    A shop without a list of all variations is asked for it again later.
    """

    products: dict[str, _Known] = {}
    variations: _Known | None = None
    endpoint: str | None = None
    variations_again_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at one list saw. `parents` has the product of each variation, by its id."""

    news: News
    length: int
    lost: bool
    parents: Mapping[str, str]

    @property
    def known(self) -> _Known:
        return _Known(list=self.news.after, length=self.length)


async def look(
    session: Asks, *, statuses: Sequence[str], since: datetime, cursor: str | None
) -> Changes | None:
    """What changed since a look, or since a time. None: the shop does not sort by changes.

    Raises what `session` raises.
    """
    before, after, now = _read(cursor), _Cursor(), datetime.now(UTC)
    hints: list[Hint] = []
    too_many = False
    for status in statuses:
        known = before.products.get(status) or _Known(list=Remembered(newest=since))
        seen = await _list(session, PRODUCTS_ENDPOINT, {"status": status}, known)
        if seen is None:
            return None
        hints += [Hint(CHANGED, own_id, time) for own_id, time in seen.news.changed]
        too_many = too_many or not seen.news.reaches
        if seen.lost:
            hints.append(Hint(DELETED))
        after.products[status] = seen.known
    after.variations, after.endpoint = before.variations, before.endpoint
    after.variations_again_at = before.variations_again_at
    if _may_have_changed(before, any_product=bool(hints) or too_many, now=now):
        seen = await _variations(session, before, after, since)
        if seen is None:
            after.variations_again_at = now + _ASK_AGAIN_AFTER
        else:
            after.variations, after.variations_again_at = seen.known, None
            newest: dict[str | None, datetime] = {}
            for own_id, time in seen.news.changed:
                parent = seen.parents.get(own_id)
                if parent == _NO_PRODUCT:
                    continue
                newest[parent] = max(time, newest.get(parent, time))
            hints += [Hint(CHANGED, parent, time) for parent, time in newest.items()]
            too_many = too_many or not seen.news.reaches
            if seen.lost:
                hints.append(Hint(CHANGED))
    if not before.products:
        hints.append(Hint(CHANGED))
    return Changes(hints, after.model_dump_json(), too_many=too_many)


def _read(cursor: str | None) -> _Cursor:
    try:
        return _Cursor() if cursor is None else _Cursor.model_validate_json(cursor)
    except ValidationError:
        return _Cursor()


def _may_have_changed(before: _Cursor, *, any_product: bool, now: datetime) -> bool:
    """Whether to ask for variations: a shop without any gets the first one with a product."""
    if before.variations_again_at is not None and now < before.variations_again_at:
        return False
    return before.variations is None or before.variations.length != 0 or any_product


async def _variations(
    session: Asks, before: _Cursor, after: _Cursor, since: datetime
) -> _Seen | None:
    known = before.variations or _Known(list=Remembered(newest=since))
    endpoints = [before.endpoint] if before.endpoint in SHOP_WIDE else []
    for endpoint in dict.fromkeys([*endpoints, *SHOP_WIDE]):
        if endpoint != before.endpoint:
            # Another endpoint may count otherwise.
            known = _Known(list=known.list)
        seen = await _list(session, endpoint, {}, known)
        if seen is not None:
            after.endpoint = endpoint
            return seen
    return None


async def _list(session: Asks, path: str, params: Mapping[str, str], known: _Known) -> _Seen | None:
    """Look at one list: at ten objects, and at a hundred where all ten are news."""
    for size in (_FIRST, _MOST):
        page = await _page(session, path, params, size)
        if page is None:
            return None
        rows = [row for each in page.objects if (row := _row(each)) is not None]
        if not _is_sorted(rows) or _has_another_status(page, params):
            return None
        found = news(rows, more=page.total_pages > 1, before=known.list, overlap=OVERLAP)
        if found.reaches:
            break
    since = known.list.newest
    added = sum(
        1 for each in page.objects if (made := _time(each, "date_created_gmt")) and made > since
    )
    if known.length is None and rows:
        # Until now `newest` was a time of ours, and the shop's clock may be behind it.
        newest = min(found.after.newest, max(time for _, time in rows))
        seen_then = {own_id: time for own_id, time in rows if time >= newest - OVERLAP}
        found = replace(found, after=Remembered(newest=newest, seen=seen_then))
    return _Seen(
        news=found,
        length=page.total,
        lost=known.length is not None and page.total < known.length + added,
        parents={
            str(object_id(each)): str(parent)
            for each in page.objects
            if (parent := id_of_parent(each)) is not None
        },
    )


async def _page(session: Asks, path: str, params: Mapping[str, str], size: int) -> ListPage | None:
    """The newest changes of a list; None where the shop has no such list, or does not sort it."""
    question = Question(
        path,
        {
            **params,
            "_fields": "id,parent_id,status,date_created_gmt,date_modified_gmt",
            "orderby": "modified",
            "order": "desc",
            "per_page": size,
        },
        accept=_HAS_NO_LIST,
    )
    answer = await session.ask(question)
    return list_page(answer, 1, path, per_page=size) if answer.status == 200 else None


def _row(row: Mapping[str, Any]) -> Row | None:
    own_id, time = object_id(row), _time(row, "date_modified_gmt")
    return None if own_id is None or time is None else (str(own_id), time)


def _time(row: Mapping[str, Any], name: str) -> datetime | None:
    """A time in GMT, which has no zone (docs/facts/woocommerce.md, Times)."""
    try:
        return datetime.fromisoformat(row[name]).replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        return None


def _is_sorted(rows: Sequence[Row]) -> bool:
    return all(later <= earlier + _BY_LOCAL_TIME for (_, earlier), (_, later) in pairwise(rows))


def _has_another_status(page: ListPage, params: Mapping[str, str]) -> bool:
    """Whether the parameters were lost on the way (docs/facts/woocommerce.md, Lost parameters)."""
    wanted = params.get("status")
    return wanted is not None and any(
        isinstance(status := each.get("status"), str) and status != wanted for each in page.objects
    )
