"""Executes a bulk query over a whole shop: JSONL lines, children after parents, not grouped.

graphql-core executes other queries. It is too slow for a million variants, so this module reads the
selections of a bulk query itself, with the same functions for the fields.
"""

import json
import random
from collections.abc import Iterator
from typing import Any, Final, cast

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    parse,
    validate,
)

from connector_pipeline.sandbox.shopify.bulk_operations import BulkPlan
from connector_pipeline.sandbox.shopify.bulk_result import BulkResult
from connector_pipeline.sandbox.shopify.fields import RELATIONS, type_of
from connector_pipeline.sandbox.shopify.leaves import LEAVES, VariantNode
from connector_pipeline.sandbox.shops.records import ShopifyProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop

MOST_CONNECTIONS: Final = 5
PRODUCTS_AT_ONCE: Final = 50
"""The variants of so many products come after all of them, shuffled."""


class InvalidBulkQuery(ValueError):
    """A query that no bulk operation runs. The message is Shopify's."""


def checked_query(schema: GraphQLSchema, query: str) -> DocumentNode:
    """The document of a bulk query. Raises InvalidBulkQuery."""
    try:
        document = parse(query)
    except GraphQLError as error:
        raise InvalidBulkQuery(f"Invalid bulk query: {error.message}") from None
    problems = validate(schema, document)
    if problems:
        raise InvalidBulkQuery(f"Invalid bulk query: {problems[0].message}")
    operation = _operation(document)
    connections = _connections(operation.selection_set, 0)
    if not connections:
        raise InvalidBulkQuery("Bulk queries must contain at least one connection.")
    if len(connections) > MOST_CONNECTIONS or max(connections) > 2:
        raise InvalidBulkQuery("Bulk queries take five connections, two levels deep, at most.")
    return document


def write_result(
    schema: GraphQLSchema,
    shop: SandboxShop,
    document: DocumentNode,
    plan: BulkPlan,
    result: BulkResult,
) -> None:
    """Write every line of the shop's result. The seed of the shop decides their order."""
    records = _records(schema, shop, document)
    if plan.short_by:
        # Only short results are held in memory, to know where their end and their middle are.
        listed = list(records)
        left_out = _left_out([root for root, _ in listed], plan)
        records = iter(listed)
    else:
        left_out = frozenset[int]()
    for number, (root, record) in enumerate(records):
        # Shopify's own writer escapes slashes.
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
        kept = number not in left_out
        result.add(
            line.encode(errors="replace"), root=root, kept=kept, counted=kept or plan.counted
        )
    result.finish()


def _left_out(roots: list[bool], plan: BulkPlan) -> frozenset[int]:
    """The places of the objects that the plan leaves out."""
    places = list(range(len(roots)))
    match plan.missing:
        case "end":
            chosen = places[-plan.short_by :]
        case "middle":
            begin = max(0, (len(places) - plan.short_by) // 2)
            chosen = places[begin : begin + plan.short_by]
        case "products":
            chosen = [place for place in places if roots[place]][: plan.short_by]
        case "variants":
            chosen = [place for place in places if not roots[place]][: plan.short_by]
        case _:
            chosen = places[: plan.short_by]
    return frozenset(chosen)


def _records(
    schema: GraphQLSchema, shop: SandboxShop, document: DocumentNode
) -> Iterator[tuple[bool, dict[str, Any]]]:
    order = random.Random(shop.spec.seed)  # noqa: S311 - an order, not a secret
    products = _child(_operation(document).selection_set, "products")
    if products is None:
        raise InvalidBulkQuery("This sandbox runs bulk queries over products only.")
    node = _node_of(products)
    kind = cast("GraphQLObjectType", schema.type_map["Product"])
    variants = _child(node, "variants")
    children: list[dict[str, Any]] = []
    for number, product in enumerate(cast("Iterator[ShopifyProduct]", shop.products()), start=1):
        record = _record(schema, kind, product, node)
        yield True, record
        if variants is not None:
            children.extend(_variant_records(schema, product, record["id"], _node_of(variants)))
        if number % PRODUCTS_AT_ONCE == 0:
            order.shuffle(children)
            yield from ((False, child) for child in children)
            children.clear()
    order.shuffle(children)
    yield from ((False, child) for child in children)


def _variant_records(
    schema: GraphQLSchema, product: ShopifyProduct, parent: str, node: SelectionSetNode
) -> Iterator[dict[str, Any]]:
    kind = cast("GraphQLObjectType", schema.type_map["ProductVariant"])
    for variant in product.variants:
        record = _record(schema, kind, VariantNode(product, variant), node)
        yield {**record, "__parentId": parent}


def _record(
    schema: GraphQLSchema, kind: GraphQLObjectType, source: Any, selections: SelectionSetNode
) -> dict[str, Any]:
    leaves, relations = LEAVES.get(kind.name, {}), RELATIONS.get(kind.name, {})
    record: dict[str, Any] = {}
    for each in cast("tuple[FieldNode, ...]", selections.selections):
        name = each.name.value
        if each.selection_set is None:
            record[name] = leaves[name](source)
        elif _is_connection(each):
            continue
        else:
            found = relations[name](source, None)
            record[name] = None
            if found is not None:
                inner = schema.type_map.get(_type_name(kind, name, found))
                record[name] = _record(
                    schema, cast("GraphQLObjectType", inner), found, each.selection_set
                )
    return record


def _type_name(kind: GraphQLObjectType, field: str, value: Any) -> str:
    declared = cast("object", get_named_type(kind.fields[field].type))
    return declared.name if isinstance(declared, GraphQLObjectType) else type_of(value)


def _operation(document: DocumentNode) -> OperationDefinitionNode:
    operations = [
        each for each in document.definitions if isinstance(each, OperationDefinitionNode)
    ]
    if len(operations) != len(document.definitions) or len(operations) != 1:
        raise InvalidBulkQuery("A bulk query is one operation, without fragments here.")
    if operations[0].operation is not OperationType.QUERY:
        raise InvalidBulkQuery("A bulk query is a query.")
    return operations[0]


def _connections(selections: SelectionSetNode, depth: int) -> list[int]:
    """The depth of each connection. Raises InvalidBulkQuery for one without `edges { node }`."""
    found: list[int] = []
    for each in selections.selections:
        if not isinstance(each, FieldNode):
            raise InvalidBulkQuery("Fragments are not taken here.")
        if each.selection_set is None:
            continue
        if _is_connection(each):
            inner = _connections(_node_of(each), depth + 1)
            if inner and not _has_id(_node_of(each)):
                raise InvalidBulkQuery("The parent of a connection must select its id.")
            found += [depth + 1, *inner]
        else:
            found += _connections(each.selection_set, depth)
    return found


def _is_connection(node: FieldNode) -> bool:
    inner = node.selection_set
    return inner is not None and any(
        isinstance(each, FieldNode) and each.name.value in ("edges", "nodes")
        for each in inner.selections
    )


def _has_id(selections: SelectionSetNode) -> bool:
    return any(
        isinstance(each, FieldNode) and each.name.value == "id" for each in selections.selections
    )


def _node_of(connection: FieldNode) -> SelectionSetNode:
    edges = _child(cast("SelectionSetNode", connection.selection_set), "edges")
    node = None if edges is None else _child(cast("SelectionSetNode", edges.selection_set), "node")
    if node is None or node.selection_set is None:
        raise InvalidBulkQuery("Bulk queries take connections as edges { node { … } } only.")
    return node.selection_set


def _child(selections: SelectionSetNode, name: str) -> FieldNode | None:
    for each in selections.selections:
        if isinstance(each, FieldNode) and each.name.value == name and each.selection_set:
            return each
    return None
