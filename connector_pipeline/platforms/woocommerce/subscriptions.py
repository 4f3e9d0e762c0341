"""The webhooks of one shop: lists, makes, restores and deletes those of our URL.

docs/facts/woocommerce.md, Webhooks. A webhook is `active`, `paused` by somebody of the shop, or
`disabled` by WooCommerce after failures in a row.
"""

from collections.abc import Mapping
from typing import Any, Final

from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.json_values import list_at, objects_in
from connector_pipeline.platforms.kit.webhooks import Subscription, SubscriptionState
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question
from connector_pipeline.platforms.woocommerce.talking.authentication import Method
from connector_pipeline.platforms.woocommerce.talking.refusals import error_code, error_of

TOPICS: Final = ("product.created", "product.updated", "product.deleted", "product.restored")
WEBHOOKS: Final = "/wc/v3/webhooks"

_ANSWER: Final = "The list of the shop's webhooks"
_A_PAGE: Final = 100
_MOST_PAGES: Final = 20
_NO_PARAMS: Final[Mapping[str, str]] = {}
_REFUSALS: Final = frozenset({401, 403, 404})
_AGAIN: Final = "then run `connector-pipeline webhooks subscribe SHOP` again"
_NO_LIST: Final = (
    "the key's user may not manage webhooks. Ask the merchant for a key of a shop manager or "
    f"administrator, {_AGAIN}."
)
_NO_WRITE: Final = (
    "the key may read and not write, which webhooks need. Ask the merchant for a key with the "
    f"permission Read/Write, give it to the Token Service, {_AGAIN}."
)
_NO_ROUTE: Final = "a plugin of the shop has turned the API for webhooks off. Ask the merchant."


class _Refused(Exception):
    """The shop does not let us: the text says why, for an operator."""


async def subscriptions(session: Asks, url: str) -> SubscriptionState:
    """The webhooks that deliver to the URL. Raises what the session raises."""
    # The first question of a session, which a key that is good at all may ask.
    await session.ask(Question("/wc/v3/products", {"per_page": 1}))
    try:
        return await _listed(session, url)
    except _Refused as refused:
        return SubscriptionState((), TOPICS, refused=str(refused))


async def subscribe(session: Asks, url: str, secret: str) -> SubscriptionState:
    """Make those that are missing, restore those that do not deliver; all get the secret.

    The platform shows no secret, so that those that are there are given it anew.
    """
    before = await subscriptions(session, url)
    refused = before.refused
    missing = set(before.missing)
    if refused is None:
        try:
            for each in before.subscriptions:
                if each.topic in TOPICS:
                    await _write(
                        session,
                        "PUT",
                        f"{WEBHOOKS}/{each.subscription_id}",
                        {"status": "active", "secret": secret},
                    )
                    missing.discard(each.topic)
            for topic in (topic for topic in TOPICS if topic in missing):
                new = {
                    "name": f"connector-pipeline {topic}",
                    "topic": topic,
                    "delivery_url": url,
                    "secret": secret,
                    "status": "active",
                }
                await _write(session, "POST", WEBHOOKS, new)
        except _Refused as error:
            refused = str(error)
    return await _afterwards(session, url, before, refused)


async def unsubscribe(session: Asks, url: str) -> SubscriptionState:
    """Delete them, and return the state afterwards."""
    before = await subscriptions(session, url)
    refused = before.refused
    try:
        for each in before.subscriptions:
            path = f"{WEBHOOKS}/{each.subscription_id}"
            await _write(session, "DELETE", path, params={"force": "true"})
    except _Refused as error:
        refused = str(error)
    return await _afterwards(session, url, before, refused)


async def _afterwards(
    session: Asks, url: str, before: SubscriptionState, refused: str | None
) -> SubscriptionState:
    try:
        after = await _listed(session, url)
    except _Refused as error:
        return SubscriptionState((), TOPICS, refused=refused or str(error))
    return SubscriptionState(
        after.subscriptions,
        after.missing,
        refused=refused,
        changed=abs(len(before.missing) - len(after.missing)),
    )


async def _listed(session: Asks, url: str) -> SubscriptionState:
    found: list[Subscription] = []
    for page in range(1, _MOST_PAGES + 1):
        answer = await session.ask(
            Question(
                WEBHOOKS,
                {"per_page": _A_PAGE, "page": page, "orderby": "id", "order": "asc"},
                accept=_REFUSALS,
            )
        )
        if answer.status != 200:
            raise _refusal(answer, _NO_LIST)
        listed = list_at(answer.json, of=_ANSWER)
        found += [
            _subscription(each) for each in objects_in(listed) if each.get("delivery_url") == url
        ]
        if len(listed) < _A_PAGE:
            break
    delivered = {each.topic for each in found if each.active}
    return SubscriptionState(found, [topic for topic in TOPICS if topic not in delivered])


def _subscription(webhook: Mapping[str, Any]) -> Subscription:
    status = webhook.get("status")
    return Subscription(
        str(webhook.get("topic")).lower(),
        str(webhook.get("id")),
        active=status == "active",
        paused=status == "paused",
    )


async def _write(
    session: Asks,
    method: Method,
    path: str,
    content: Mapping[str, str] | None = None,
    *,
    params: Mapping[str, str] = _NO_PARAMS,
) -> None:
    # Not retried: an answer that was lost may be of a webhook that was made.
    question = Question(
        path,
        params,
        method=method,
        content=content,
        accept=_REFUSALS | {201, 400},
        most_retries=0,
    )
    answer = await session.ask(question)
    if answer.status in _REFUSALS:
        raise _refusal(answer, _NO_WRITE)
    if answer.status == 400:
        raise _Refused(f"the shop refuses the webhook ({error_code(answer)}).")


def _refusal(answer: Answer, words: str) -> Exception:
    code = error_code(answer)
    if code is None:
        # A page of a firewall's or the web server's.
        return error_of(answer, WEBHOOKS)
    return _Refused(f"{_NO_ROUTE if answer.status == 404 else words} ({answer.status} {code})")
