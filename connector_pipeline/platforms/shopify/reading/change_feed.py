"""A look at what changed in a shop: one request for changed products and for deletions.

Changed products come by their `updatedAt`, which every edit of a variant, every order and every
change of stock moves; deleted ones by the shop's events (docs/facts/shopify.md, Increments and
Deletions). The list comes newest first, so that one page shows whether it reaches back to what is
known. A change that the search shows later than `LAG` is left to the next sweep.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ValidationError

from connector_pipeline.model.errors import ConnectorError, InvalidResponse, ShopDisconnected
from connector_pipeline.model.hint import Hint
from connector_pipeline.platforms.kit.hinted import DELETED as GONE
from connector_pipeline.platforms.kit.json_values import list_at, object_at, value_at
from connector_pipeline.platforms.kit.newest_first import Remembered, Row, news
from connector_pipeline.platforms.kit.webhooks import Changes
from connector_pipeline.platforms.shopify.asking import Asks
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.queries import changed_since
from connector_pipeline.platforms.shopify.reading.check_queries import (
    CHANGES,
    CHECKED_AT_ONCE,
    deleted_since,
)
from connector_pipeline.platforms.shopify.times import time_of

LAG: Final = timedelta(minutes=10)
"""How far a look reaches back behind the newest change that it knows."""

CHANGED: Final = "products/update"
DELETED: Final = "products/delete"

_EVENTS_AGAIN_AFTER: Final = timedelta(days=1)
_ANSWER: Final = "Shopify's answer"


class _Cursor(BaseModel):
    """What is remembered of both lists. A shop that refuses its events is asked again later."""

    changed: Remembered
    deleted: Remembered
    events_again_at: AwareDatetime | None = None


async def look(client: Asks, *, since: datetime, cursor: str | None) -> Changes:
    """What changed since a look, or since a time; all up to that time is known. Raises what
    `client` raises."""
    before, now = _read(cursor, since), datetime.now(UTC)
    with_events = before.events_again_at is None or before.events_again_at <= now
    variables = {
        "changed": changed_since(before.changed.newest - LAG),
        "deleted": deleted_since(before.deleted.newest - LAG),
        "first": CHECKED_AT_ONCE,
    }
    again_at = before.events_again_at
    try:
        answer = await client.ask_aside(CHANGES, {**variables, "events": with_events})
        again_at = None if with_events else again_at
    except (ShopDisconnected, InvalidResponse) as refused:
        if not with_events:
            raise
        answer = await _without_events(client, variables, refused)
        with_events, again_at = False, now + _EVENTS_AGAIN_AFTER
    data = object_at(answer.json, "data", of=_ANSWER)
    listed = object_at(data, "products", of=_ANSWER)
    changed = news(
        list(_products(listed)), more=_goes_on(listed), before=before.changed, overlap=LAG
    )
    hints = [Hint(CHANGED, own_id, time) for own_id, time in changed.changed]
    after, reaches = before.deleted, changed.reaches
    products: dict[str, str] = {}
    if with_events:
        listed = object_at(data, "events", of=_ANSWER)
        deleted = news(
            list(_deletions(listed)), more=_goes_on(listed), before=before.deleted, overlap=LAG
        )
        products = {f"{GONE}/{own_id}": own_id for own_id, _ in deleted.changed}
        hints += [Hint(DELETED, f"{GONE}/{own_id}", time) for own_id, time in deleted.changed]
        after, reaches = deleted.after, reaches and deleted.reaches
    kept = _Cursor(changed=changed.after, deleted=after, events_again_at=again_at)
    return Changes(hints, kept.model_dump_json(), too_many=not reaches, products=products)


async def _without_events(client: Asks, variables: dict[str, Any], refused: ConnectorError) -> Any:
    """The answer without the events, where only those are refused. Raises `refused` if not."""
    try:
        return await client.ask_aside(CHANGES, {**variables, "events": False})
    except ConnectorError:
        raise refused from None


def _read(cursor: str | None, since: datetime) -> _Cursor:
    try:
        known = None if cursor is None else _Cursor.model_validate_json(cursor)
    except ValidationError:
        known = None
    if known is None:
        return _Cursor(changed=Remembered(newest=since), deleted=Remembered(newest=since))
    return known.model_copy(
        update={"changed": known.changed.after(since), "deleted": known.deleted.after(since)}
    )


def _products(listed: object) -> Iterator[Row]:
    for node in list_at(listed, "nodes", of=_ANSWER):
        number, time = numeric_id(value_at(node, "id"), "Product"), value_at(node, "updatedAt")
        if number is not None and (changed_at := time_of(time)) is not None:
            yield number, changed_at


def _deletions(listed: object) -> Iterator[Row]:
    for node in list_at(listed, "nodes", of=_ANSWER):
        # The search may have been ignored.
        if value_at(node, "action") != "destroy" or value_at(node, "subjectType") != "PRODUCT":
            continue
        number = numeric_id(value_at(node, "subjectId"), "Product")
        if number is not None and (deleted_at := time_of(value_at(node, "createdAt"))) is not None:
            yield number, deleted_at


def _goes_on(listed: object) -> bool:
    return value_at(listed, "pageInfo", "hasNextPage") is True
