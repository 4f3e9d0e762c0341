"""The fields of the schema that list, make, change and delete webhook subscriptions."""

import re
from typing import Any, Final, cast

from graphql import GraphQLResolveInfo

from connector_pipeline.sandbox.shopify.fields import Plain, QueryContext, Resolver
from connector_pipeline.sandbox.shopify.leaves import Leaf, time_text
from connector_pipeline.sandbox.shopify.paging import Connection, Key, page_of
from connector_pipeline.sandbox.shopify.versions import API_VERSIONS, WEBHOOK_VERSION
from connector_pipeline.sandbox.webhooks.shopify_subscriptions import (
    RefusedSubscription,
    ShopifySubscription,
    ShopifySubscriptions,
)

_GID: Final = re.compile(r"gid://shopify/WebhookSubscription/([0-9]+)", re.ASCII)


def _subscriptions(info: GraphQLResolveInfo) -> ShopifySubscriptions:
    return cast("QueryContext", info.context).shop.subscriptions


def _number(gid: str) -> int:
    found = _GID.fullmatch(gid)
    return int(found[1]) if found else 0


def _find(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> ShopifySubscription | None:
    return _subscriptions(info).find(_number(arguments["id"]))


def _list(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Connection:
    sort = arguments.pop("sortKey")
    topics, form = arguments.pop("topics", None), arguments.pop("format", None)
    uris = [arguments.pop("uri", None), arguments.pop("callbackUrl", None)]
    wanted = {
        each.id: each
        for each in _subscriptions(info).all()
        if (topics is None or each.topic in topics)
        and (form is None or each.format == form)
        and all(uri is None or each.uri == uri for uri in uris)
    }
    keys: list[Key] = sorted(
        (each.created_at if sort == "CREATED_AT" else each.id, each.id) for each in wanted.values()
    )
    return page_of(keys, wanted.__getitem__, **arguments)


def _create(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> dict[str, Any]:
    try:
        made = _subscriptions(info).create(arguments["topic"], arguments["webhookSubscription"])
    except RefusedSubscription as refused:
        return {"webhookSubscription": None, "userErrors": _problems(refused)}
    return {"webhookSubscription": made, "userErrors": []}


def _update(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> dict[str, Any]:
    number = _number(arguments["id"])
    try:
        changed = _subscriptions(info).update(number, arguments["webhookSubscription"])
    except RefusedSubscription as refused:
        return {"webhookSubscription": None, "userErrors": _problems(refused)}
    return {"webhookSubscription": changed, "userErrors": []}


def _delete(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> dict[str, Any]:
    try:
        _subscriptions(info).delete(_number(arguments["id"]))
    except RefusedSubscription as refused:
        return {"deletedWebhookSubscriptionId": None, "userErrors": _problems(refused)}
    return {"deletedWebhookSubscriptionId": arguments["id"], "userErrors": []}


def _problems(refused: RefusedSubscription) -> list[dict[str, Any]]:
    return [{"field": refused.field, "message": str(refused)}]


def _api_version(_: ShopifySubscription, __: Any) -> Any:
    return next(each for each in API_VERSIONS if each.handle == WEBHOOK_VERSION)


WEBHOOK_RESOLVERS: Final[dict[str, dict[str, Resolver]]] = {
    "QueryRoot": {"webhookSubscription": _find, "webhookSubscriptions": _list},
    "Mutation": {
        "webhookSubscriptionCreate": _create,
        "webhookSubscriptionUpdate": _update,
        "webhookSubscriptionDelete": _delete,
    },
}
"""Resolvers as graphql-core calls them."""

WEBHOOK_RELATIONS: Final[dict[str, dict[str, Plain]]] = {
    "WebhookSubscription": {"apiVersion": _api_version},
    "WebhookSubscriptionConnection": {
        "edges": lambda page, _: page.edges(),
        "nodes": lambda page, _: page.nodes,
        "pageInfo": lambda page, _: page,
    },
    "WebhookSubscriptionEdge": {"node": lambda edge, _: edge.node},
}
"""Fields with selections and no arguments, by type."""

WEBHOOK_LEAVES: Final[dict[str, dict[str, Leaf]]] = {
    "WebhookSubscription": {
        "id": lambda each: f"gid://shopify/WebhookSubscription/{each.id}",
        "legacyResourceId": lambda each: str(each.id),
        "topic": lambda each: each.topic,
        "uri": lambda each: each.uri,
        "callbackUrl": lambda each: each.uri,
        "format": lambda each: each.format,
        "filter": lambda each: each.filter,
        "name": lambda each: each.name,
        "includeFields": lambda each: list(each.include_fields),
        "metafieldNamespaces": lambda _: [],
        "createdAt": lambda each: time_text(each.created_at),
        "updatedAt": lambda each: time_text(each.updated_at),
    },
    "WebhookSubscriptionEdge": {"cursor": lambda edge: edge.cursor},
}
"""Plain fields: a function of the source."""
