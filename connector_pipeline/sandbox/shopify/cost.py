"""The cost of a query: the requested one before it runs, the actual one by its answer.

docs/facts/shopify.md, Query cost: a connection costs 2 + children x floor(2 ln(max(2, first))), an
object 1, a scalar, `edges`, `nodes` and `pageInfo` themselves 0, a root count 10. For an interface
the dearest possible type counts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    NamedTypeNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    is_leaf_type,
)
from graphql.execution.values import get_argument_values, get_directive_values
from graphql.type import GraphQLIncludeDirective, GraphQLSkipDirective

CONNECTION_BASE: Final = 2
ROOT_COUNT: Final = 10
MUTATION: Final = 10
LARGEST_PAGE: Final = 250
LARGEST_SINGLE_PRODUCT_PAGE: Final = 2048

Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType


def page_factor(size: int) -> int:
    """The factor of the children of a page of `size`: 4 for 10, 9 for 100, 11 for 250."""
    return math.floor(2 * math.log(max(2, size)))


class InvalidPage(ValueError):
    """A connection with no page size, or with too large a one. `path` leads to the field."""

    def __init__(self, message: str, path: list[str | int]):
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class CostField:
    """One selected field that can cost something, by its key in the answer.

    `kind` is object, connection, count or free (edges, pageInfo). `page` is a connection's size,
    `times` the number of objects that a list of ids asks for.
    """

    key: str
    kind: str
    children: tuple["CostField", ...]
    page: int = 0
    times: int = 1

    def requested(self) -> int:
        below = sum(child.requested() for child in self.children)
        if self.kind == "connection":
            return CONNECTION_BASE + below * page_factor(self.page)
        return self._own() * self.times + below * self.times

    def actual(self, value: Any) -> int:
        """The cost of an answer: null is free, and a page counts with its real length."""
        if value is None:
            return 0
        if self.kind == "connection":
            return self._actual_connection(cast("dict[str, Any]", value))
        if isinstance(value, list):
            items = cast("list[Any]", value)
            return sum(self.actual(item) for item in items)
        found = cast("dict[str, Any]", value)
        return self._own() + sum(child.actual(found.get(child.key)) for child in self.children)

    def _own(self) -> int:
        return {"count": ROOT_COUNT, "object": 1}.get(self.kind, 0)

    def _actual_connection(self, value: dict[str, Any]) -> int:
        size = max((len(_items(value.get(child.key))) for child in self.children), default=0)
        if size == 0:
            return CONNECTION_BASE
        total = sum(
            child.actual(item) for child in self.children for item in _items(value.get(child.key))
        )
        # Never above the requested cost: a mean is no larger than the dearest child.
        return CONNECTION_BASE + math.ceil(total / size) * page_factor(size)


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class QueryCost:
    """The cost of one operation with its variables."""

    fields: tuple[CostField, ...]
    fixed: int = 0

    @classmethod
    def of_mutation(cls) -> "QueryCost":
        """A mutation costs 10, whatever it returns."""
        return cls((), MUTATION)

    def requested(self) -> int:
        return self.fixed + sum(field.requested() for field in self.fields)

    def actual(self, data: Mapping[str, Any] | None) -> int:
        return self.fixed + sum(field.actual((data or {}).get(field.key)) for field in self.fields)


class CostAnalysis:
    """Computes the cost of an operation from its text. It executes nothing."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: dict[str, Any],
    ):
        self._schema = schema
        self._fragments = fragments
        self._variables = variables

    def cost(self, operation: OperationDefinitionNode) -> QueryCost:
        """Raises InvalidPage for a connection without first and last, or beyond its limit."""
        root = cast("GraphQLObjectType", self._schema.query_type)
        return QueryCost(self._fields(root, [operation.selection_set], _Place((), ())))

    def _fields(
        self, parent: Composite, selections: Sequence[SelectionSetNode], place: "_Place"
    ) -> tuple[CostField, ...]:
        if isinstance(parent, GraphQLObjectType):
            return self._object_fields(parent, selections, place)
        # graphql-ruby takes the dearest possible type: only one of them can come back.
        options = [
            self._object_fields(possible, selections, place)
            for possible in self._schema.get_possible_types(parent)
        ]
        return max(options, key=lambda fields: sum(field.requested() for field in fields))

    def _object_fields(
        self, parent: GraphQLObjectType, selections: Sequence[SelectionSetNode], place: "_Place"
    ) -> tuple[CostField, ...]:
        grouped: dict[str, list[FieldNode]] = {}
        for selection in selections:
            self._collect(parent, selection, grouped)
        found: list[CostField] = []
        for key, nodes in grouped.items():
            field = self._field(parent, key, nodes, place)
            if field is not None:
                found.append(field)
        return tuple(found)

    def _collect(
        self,
        parent: GraphQLObjectType,
        selection_set: SelectionSetNode,
        grouped: dict[str, list[FieldNode]],
    ) -> None:
        for node in selection_set.selections:
            if not self._included(node):
                continue
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                grouped.setdefault(key, []).append(node)
                continue
            fragment = (
                self._fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
            )
            if isinstance(fragment, FragmentDefinitionNode | InlineFragmentNode):
                # graphql-core types it as always there; an inline fragment may have none.
                condition = cast("NamedTypeNode | None", fragment.type_condition)
                if condition is None or self._applies(condition.name.value, parent):
                    self._collect(parent, fragment.selection_set, grouped)

    def _applies(self, condition: str, parent: GraphQLObjectType) -> bool:
        wanted = self._schema.get_type(condition)
        if isinstance(wanted, GraphQLInterfaceType | GraphQLUnionType):
            return self._schema.is_sub_type(wanted, parent)
        return wanted is parent

    def _included(self, node: Any) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
        return not (skip and skip["if"]) and not (include and not include["if"])

    def _field(
        self,
        parent: GraphQLObjectType,
        key: str,
        nodes: list[FieldNode],
        above: "_Place",
    ) -> CostField | None:
        name = nodes[0].name.value
        place = _Place((*above.keys, key), (*above.names, name))
        definition = parent.fields.get(name)
        if definition is None or is_leaf_type(get_named_type(definition.type)):
            return None
        kind = cast("Composite", get_named_type(definition.type))
        sets = [node.selection_set for node in nodes if node.selection_set]
        children = self._fields(kind, sets, place)
        arguments = get_argument_values(definition, nodes[0], self._variables)
        if kind.name.endswith("Connection"):
            page = _page_size(arguments, place)
            return CostField(key, "connection", children, page=page)
        if name in ("edges", "pageInfo"):
            return CostField(key, "free", children)
        root_count = parent is self._schema.query_type and kind.name == "Count"
        times = len(arguments["ids"]) if "ids" in arguments else 1
        return CostField(key, "count" if root_count else "object", children, times=times)


@dataclass(frozen=True, slots=True)
class _Place:
    """A field's place in the query: the keys in the answer, and the names of the fields."""

    keys: tuple[str, ...]
    names: tuple[str, ...]


def _page_size(arguments: Mapping[str, Any], place: _Place) -> int:
    # Only product(id:) at the root may ask for all variants of a product at once.
    alone = place.names == ("product", "variants")
    limit = LARGEST_SINGLE_PRODUCT_PAGE if alone else LARGEST_PAGE
    for argument in ("first", "last"):
        size = arguments.get(argument)
        if size is not None:
            if not 0 <= size <= limit:
                raise InvalidPage(
                    f"{argument} must be between 0 and {limit}, and {size} was given.",
                    list(place.keys),
                )
            return int(size)
    raise InvalidPage("you must provide one of first or last", list(place.keys))
