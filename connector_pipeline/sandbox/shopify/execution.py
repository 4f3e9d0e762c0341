"""Answers a query: graphql-core parses, validates and executes it, and the bucket pays for it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from graphql import (
    DocumentNode,
    ExecutionContext,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    build_schema,
    execute_sync,  # pyright: ignore[reportUnknownVariableType] - its middleware is untyped
    located_error,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values
from graphql.type import is_interface_type, is_object_type

from connector_pipeline.sandbox.shopify import errors as shopify_errors
from connector_pipeline.sandbox.shopify.bulk import BULK_LEAVES, BULK_RESOLVERS
from connector_pipeline.sandbox.shopify.cost import CostAnalysis, InvalidPage, QueryCost
from connector_pipeline.sandbox.shopify.fields import RELATIONS, RESOLVERS, QueryContext, type_of
from connector_pipeline.sandbox.shopify.leaves import LEAVES, VariantNode
from connector_pipeline.sandbox.shopify.schema import SDL
from connector_pipeline.sandbox.shopify.webhook_fields import (
    WEBHOOK_LEAVES,
    WEBHOOK_RELATIONS,
    WEBHOOK_RESOLVERS,
)
from connector_pipeline.sandbox.shops.shop import SandboxShop

MOST_PER_QUERY: Final = 1000
"""A query may request so many points, on any plan (docs/facts/shopify.md, Rate limits)."""

Answer = dict[str, Any]


def sandbox_schema() -> GraphQLSchema:
    """The schema with its resolvers."""
    schema = build_schema(SDL, assume_valid_sdl=True)
    for name, kind in schema.type_map.items():
        if is_interface_type(kind):
            cast("Any", kind).resolve_type = type_of
        if is_object_type(kind):
            resolvers = (
                RELATIONS,
                RESOLVERS,
                BULK_RESOLVERS,
                WEBHOOK_RELATIONS,
                WEBHOOK_RESOLVERS,
            )
            for field, resolver in (
                pair for each in resolvers for pair in each.get(name, {}).items()
            ):
                cast("GraphQLObjectType", kind).fields[field].resolve = resolver
    return schema


SCHEMA: Final = sandbox_schema()
_LEAVES: Final = {**LEAVES, **BULK_LEAVES, **WEBHOOK_LEAVES}


class _LeafExecution(ExecutionContext):
    """graphql-core with one function call for a plain leaf: a page has ten thousand of them."""

    def execute_field(
        self, parent_type: GraphQLObjectType, source: Any, field_nodes: Any, path: Any
    ) -> Any:
        leaf = _LEAVES.get(parent_type.name, {}).get(field_nodes[0].name.value, Undefined)
        if leaf is Undefined:
            return super().execute_field(parent_type, source, field_nodes, path)
        return cast("Any", leaf)(source)


class _FailingExecution(ExecutionContext):
    """graphql-core for a shop of which one field fails. It makes null what GraphQL makes null."""

    def execute_field(
        self, parent_type: GraphQLObjectType, source: Any, field_nodes: Any, path: Any
    ) -> Any:
        name = field_nodes[0].name.value
        failing = cast("QueryContext", self.context_value).shop.trouble.partial
        if failing and failing.hits(parent_type.name, _record_id(source), name):
            error = GraphQLError(failing.message, extensions={"code": failing.code})
            located = located_error(error, field_nodes, path.as_list())
            return cast("Any", self).handle_field_error(
                located, parent_type.fields[name].type, path
            )
        leaf = _LEAVES.get(parent_type.name, {}).get(name, Undefined)
        if leaf is Undefined:
            return super().execute_field(parent_type, source, field_nodes, path)
        return cast("Any", leaf)(source)


def _record_id(source: Any) -> Any:
    return source.variant.id if isinstance(source, VariantNode) else getattr(source, "id", None)


def answer(
    shop: SandboxShop,
    query: str,
    variables: Mapping[str, Any] | None = None,
    operation_name: str | None = None,
    *,
    origin: str = "",
) -> Answer:
    """Shopify's body for one query: data, errors, extensions.cost, extensions.search.

    Links into the sandbox begin with `origin`.
    """
    document, problems = _document(query)
    if document is None or problems:
        return {"errors": list(problems)}
    operation = _operation(document, operation_name)
    if isinstance(operation, str):
        return {"errors": [{"message": operation}]}
    coerced = get_variable_values(
        SCHEMA, operation.variable_definitions or (), dict(variables or {})
    )
    if isinstance(coerced, list):
        return {"errors": [shopify_errors.invalid_variable(error) for error in coerced]}
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    try:
        if operation.operation is OperationType.MUTATION:
            cost = QueryCost.of_mutation()
        else:
            cost = CostAnalysis(SCHEMA, fragments, coerced).cost(operation)
    except InvalidPage as error:
        return {"errors": [shopify_errors.invalid_page(str(error), error.path)]}
    return _paid(shop, document, operation, dict(variables or {}), cost, origin)


def _paid(
    shop: SandboxShop,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: dict[str, Any],
    cost: QueryCost,
    origin: str,
) -> Answer:
    requested = cost.requested()
    if requested > MOST_PER_QUERY:
        return {"errors": [shopify_errors.max_cost_exceeded(requested, MOST_PER_QUERY)]}
    if not shop.bucket.take(requested):
        return throttled_answer(shop, requested)
    context = QueryContext(shop, [], origin)
    result = execute_sync(
        SCHEMA,
        document,
        context_value=context,
        variable_values=variables,
        operation_name=operation.name.value if operation.name else None,
        execution_context_class=_FailingExecution if shop.trouble.partial else _LeafExecution,
    )
    actual = cost.actual(result.data)
    shop.bucket.refund(requested - actual)
    found: Answer = {"data": result.data}
    if result.errors:
        found["errors"] = [shopify_errors.failed_field(error) for error in result.errors]
    found["extensions"] = _extensions(shop, requested, actual)
    if context.search:
        found["extensions"]["search"] = context.search
    return found


def throttled_answer(shop: SandboxShop, requested: int) -> Answer:
    """The answer, with HTTP 200, if the bucket has fewer points than a query requests."""
    return {
        "errors": [shopify_errors.throttled()],
        "extensions": _extensions(shop, requested, None),
    }


def _extensions(shop: SandboxShop, requested: int, actual: int | None) -> Answer:
    return {
        "cost": {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": shop.bucket.status(),
        }
    }


@lru_cache(maxsize=256)
def _document(query: str) -> tuple[DocumentNode | None, tuple[Answer, ...]]:
    try:
        document = parse(query)
    except GraphQLError as error:
        return None, (shopify_errors.invalid_query(error),)
    problems = validate(SCHEMA, document)
    return document, tuple(shopify_errors.invalid_query(each, document) for each in problems)


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | str:
    operations = [
        node for node in document.definitions if isinstance(node, OperationDefinitionNode)
    ]
    if name:
        for operation in operations:
            if operation.name and operation.name.value == name:
                return operation
        return f'No operation named "{name}"'
    return operations[0] if len(operations) == 1 else "An operation name is required"
