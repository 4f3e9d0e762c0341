"""The fields of the schema that start, show and cancel bulk operations."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from graphql import GraphQLResolveInfo

from connector_pipeline.sandbox.shopify.bulk_operations import BulkOperation
from connector_pipeline.sandbox.shopify.bulk_query import (
    InvalidBulkQuery,
    checked_query,
    write_result,
)
from connector_pipeline.sandbox.shopify.fields import QueryContext, Resolver
from connector_pipeline.sandbox.shopify.leaves import Leaf, time_text
from connector_pipeline.sandbox.shopify.paging import Connection, page_of


@dataclass(frozen=True, slots=True)
class BulkNode:
    """An operation with the domain of its links."""

    operation: BulkOperation
    domain: str


def _problem(field: Sequence[str], message: str, code: str) -> dict[str, Any]:
    return {"field": list(field), "message": message, "code": code}


def _run(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> dict[str, Any]:
    context = cast("QueryContext", info.context)
    shop, query = context.shop, arguments["query"]
    schema = info.schema
    try:
        document = checked_query(schema, query)
    except InvalidBulkQuery as error:
        return {"bulkOperation": None, "userErrors": [_problem(["query"], str(error), "INVALID")]}
    write = partial(write_result, schema, shop, document, shop.bulk.plan)
    operation = shop.bulk.start(query, write, context.origin)
    if operation is None:
        message = "A bulk query operation for this app and shop is already in progress."
        problem = _problem([], message, "OPERATION_IN_PROGRESS") | {"field": None}
        return {"bulkOperation": None, "userErrors": [problem]}
    return {"bulkOperation": BulkNode(operation, shop.spec.domain), "userErrors": []}


def _cancel(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> dict[str, Any]:
    shop = cast("QueryContext", info.context).shop
    operation = shop.bulk.cancel(arguments["id"])
    if operation is None:
        return {
            "bulkOperation": None,
            "userErrors": [{"field": ["id"], "message": "Bulk operation does not exist"}],
        }
    problems: list[dict[str, Any]] = []
    if operation.status != "CANCELING":
        message = f"A bulk operation cannot be canceled when it is {operation.status.lower()}"
        problems.append({"field": None, "message": message})
    return {"bulkOperation": BulkNode(operation, shop.spec.domain), "userErrors": problems}


def _poll(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> BulkNode | None:
    shop = cast("QueryContext", info.context).shop
    operation = shop.bulk.poll(arguments["id"])
    return None if operation is None else BulkNode(operation, shop.spec.domain)


def _list(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Connection:
    shop = cast("QueryContext", info.context).shop
    arguments.pop("sortKey", None)
    # Newest first unless reversed, unlike other connections.
    arguments["reverse"] = not arguments.get("reverse", False)
    by_number = {each.number: each for each in shop.bulk.all()}
    keys = [(number, number) for number in sorted(by_number)]
    return page_of(keys, lambda each: BulkNode(by_number[each], shop.spec.domain), **arguments)


BULK_RESOLVERS: Final[dict[str, dict[str, Resolver]]] = {
    "QueryRoot": {"bulkOperation": _poll, "bulkOperations": _list},
    "Mutation": {"bulkOperationRunQuery": _run, "bulkOperationCancel": _cancel},
}
"""Resolvers as graphql-core calls them."""

BULK_LEAVES: Final[dict[str, dict[str, Leaf]]] = {
    "BulkOperation": {
        "id": lambda node: node.operation.gid,
        "type": lambda _: "QUERY",
        "status": lambda node: node.operation.status,
        "errorCode": lambda node: node.operation.error_code,
        "query": lambda node: node.operation.query,
        "objectCount": lambda node: str(node.operation.object_count),
        "rootObjectCount": lambda node: str(node.operation.root_object_count),
        "fileSize": lambda node: (
            str(node.operation.result.length) if node.operation.url(node.domain) else None
        ),
        "createdAt": lambda node: time_text(node.operation.created_at),
        "completedAt": lambda node: (
            time_text(node.operation.completed_at) if node.operation.completed_at else None
        ),
        "url": lambda node: node.operation.url(node.domain),
        "partialDataUrl": lambda node: node.operation.partial_url(node.domain),
    },
    "BulkOperationEdge": {"cursor": lambda edge: edge.cursor},
}
"""Plain fields: a function of the source."""
