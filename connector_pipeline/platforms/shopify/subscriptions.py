"""The webhook subscriptions of one shop: lists, makes and deletes those of our URL.

docs/facts/shopify.md, Webhooks. Shopify deletes one that fails, so that a subscription on record is
one that is sent. Changes of stock come as `products/update`, too, and need no subscription of their
own. The privacy topics and what an app's configuration subscribes to cannot be made or listed here.
"""

from typing import Final

from connector_pipeline.model.errors import InvalidResponse, ShopDisconnected
from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.kit.json_values import (
    is_object,
    list_at,
    object_at,
    objects_in,
    value_at,
)
from connector_pipeline.platforms.kit.webhooks import Subscription, SubscriptionState
from connector_pipeline.platforms.shopify.asking import Asks
from connector_pipeline.platforms.shopify.webhook_queries import (
    SUBSCRIBE,
    SUBSCRIPTIONS,
    UNSUBSCRIBE,
)

TOPICS: Final = {
    "products/create": "PRODUCTS_CREATE",
    "products/update": "PRODUCTS_UPDATE",
    "products/delete": "PRODUCTS_DELETE",
    "shop/update": "SHOP_UPDATE",
    "app/uninstalled": "APP_UNINSTALLED",
    "bulk_operations/finish": "BULK_OPERATIONS_FINISH",
}
"""The topics that are subscribed to, as deliveries name them and as the API does."""

_NAMES: Final = {named: topic for topic, named in TOPICS.items()}
_ANSWER: Final = "Shopify's answer about webhooks"
_A_PAGE: Final = 100
_MOST_PAGES: Final = 20
_TAKEN: Final = "already been taken"
_MAKE_THEM: Final = (
    "Give the app what is missing and have the merchant approve it, then run "
    "`connector-pipeline webhooks subscribe SHOP` again."
)


async def subscriptions(client: Asks, url: str) -> SubscriptionState:
    """The subscriptions that deliver to the URL. Raises what the client raises."""
    found: list[Subscription] = []
    after: str | None = None
    for _ in range(_MOST_PAGES):
        answer = await client.ask(SUBSCRIPTIONS, {"first": _A_PAGE, "after": after})
        page = object_at(answer.json, "data", "webhookSubscriptions", of=_ANSWER)
        found += [
            Subscription(
                _NAMES.get(str(each.get("topic")), str(each.get("topic"))), str(each["id"])
            )
            for each in objects_in(list_at(page, "nodes", of=_ANSWER))
            if each.get("uri") == url and isinstance(each.get("id"), str)
        ]
        if not value_at(page, "pageInfo", "hasNextPage"):
            break
        after = value_at(page, "pageInfo", "endCursor")
        if not isinstance(after, str):
            raise InvalidResponse(f"{_ANSWER} has further pages and no cursor.")
    there = {each.topic for each in found}
    return SubscriptionState(found, [topic for topic in TOPICS if topic not in there])


async def subscribe(client: Asks, url: str) -> SubscriptionState:
    """Make those that are missing, and return the state afterwards.

    A subscription that exists stays as it is: Shopify signs with the app's secret.
    """
    before = await subscriptions(client, url)
    refused: list[str] = []
    for topic in before.missing:
        try:
            answer = await client.ask(SUBSCRIBE, {"topic": TOPICS[topic], "uri": url})
        except ShopDisconnected as denied:
            # The list was given, so the token itself is good.
            refused.append(f"{topic}: {denied.message}")
            continue
        reason = _refusal(answer.json, "webhookSubscriptionCreate")
        if reason is not None and _TAKEN not in reason:
            refused.append(f"{topic}: {reason}")
    if not before.missing:
        return before
    after = await subscriptions(client, url)
    return SubscriptionState(
        after.subscriptions,
        after.missing,
        refused=f"Shopify refuses {'; '.join(refused)}. {_MAKE_THEM}" if refused else None,
        changed=len(before.missing) - len(after.missing),
    )


async def unsubscribe(client: Asks, url: str) -> SubscriptionState:
    """Delete them, and return the state afterwards."""
    before = await subscriptions(client, url)
    for each in before.subscriptions:
        # One that is gone already is no error, and the list afterwards tells.
        await client.ask(UNSUBSCRIBE, {"id": each.subscription_id})
    after = await subscriptions(client, url)
    changed = len(before.subscriptions) - len(after.subscriptions)
    return SubscriptionState(after.subscriptions, after.missing, changed=changed)


def _refusal(body: object, mutation: str) -> str | None:
    """The first error that the mutation reports, in Shopify's words; None: it was done."""
    payload = object_at(body, "data", mutation, of=_ANSWER)
    for error in list_at(payload, "userErrors", of=_ANSWER):
        message = error.get("message") if is_object(error) else error
        return clipped(" ".join(str(message).split()), most_bytes=200).rstrip(".")
    return None
