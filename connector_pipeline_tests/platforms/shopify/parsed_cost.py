"""Computes Shopify's cost formula from the text of a document.

This is the slow and general form of `cost.requested_cost`, which knows only our documents and
parses none.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Final, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    parse,
)

_ROOT_COUNTS: Final = frozenset({"productsCount", "productVariantsCount"})
_ROOT_COUNT_COST: Final = 10
_MUTATION_COST: Final = 10
_FREE: Final = frozenset({"edges", "pageInfo"})


def parsed_cost(document: str, variables: Mapping[str, object]) -> int:
    """The points a document requests before it runs (docs/facts/shopify.md, Query cost).

    Without a schema a field with a selection is an object, and one with `first` or `last` a
    connection.
    """
    parsed = _parsed(document)
    fragments = {
        node.name.value: node.selection_set
        for node in parsed.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    return sum(
        _MUTATION_COST
        if node.operation is OperationType.MUTATION
        else _cost_of(node.selection_set, fragments, variables, root=True)
        for node in parsed.definitions
        if isinstance(node, OperationDefinitionNode)
    )


@cache
def _parsed(document: str) -> DocumentNode:
    return parse(document)


def _cost_of(
    selections: SelectionSetNode,
    fragments: Mapping[str, SelectionSetNode],
    variables: Mapping[str, object],
    *,
    root: bool = False,
) -> int:
    cost = 0
    for node in selections.selections:
        if isinstance(node, FragmentSpreadNode):
            cost += _cost_of(fragments[node.name.value], fragments, variables)
        elif isinstance(node, InlineFragmentNode):
            cost += _cost_of(node.selection_set, fragments, variables)
        elif isinstance(node, FieldNode) and node.selection_set is not None:
            if root and node.name.value in _ROOT_COUNTS:
                cost += _ROOT_COUNT_COST
                continue
            children = _cost_of(node.selection_set, fragments, variables)
            size = _page_size(node, variables)
            if size is not None:
                cost += 2 + children * math.floor(2 * math.log(max(2, size)))
            elif node.name.value in _FREE:
                cost += children
            else:
                cost += (1 + children) * _ids(node, variables)
    return cost


def _ids(field: FieldNode, variables: Mapping[str, object]) -> int:
    """How many ids a field is asked for: 1 for a field without ids."""
    for argument in field.arguments:
        if argument.name.value == "ids" and isinstance(argument.value, VariableNode):
            return len(cast("list[str]", variables[argument.value.name.value]))
    return 1


def _page_size(field: FieldNode, variables: Mapping[str, object]) -> int | None:
    for argument in field.arguments:
        if argument.name.value in ("first", "last"):
            if isinstance(argument.value, VariableNode):
                return cast("int", variables[argument.value.name.value])
            assert isinstance(argument.value, IntValueNode)
            return int(argument.value.value)
    return None
