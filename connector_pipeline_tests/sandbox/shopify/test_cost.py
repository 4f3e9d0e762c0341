"""The costs of a query and of its answer are those of the documented formula."""

import math
from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.sandbox.shopify.cost import (
    CostAnalysis,
    CostField,
    InvalidPage,
    page_factor,
)
from connector_pipeline.sandbox.shopify.execution import SCHEMA


def requested(query: str, **variables: Any) -> int:
    document = parse(query)
    fragments = {
        node.name.value: node for node in document.definitions if node.kind == "fragment_definition"
    }
    operation = next(
        node for node in document.definitions if isinstance(node, OperationDefinitionNode)
    )
    return CostAnalysis(SCHEMA, fragments, variables).cost(operation).requested()


@pytest.mark.parametrize(
    ("size", "factor"), [(0, 1), (1, 1), (2, 1), (10, 4), (50, 7), (100, 9), (250, 11)]
)
def test_a_page_multiplies_its_children_as_documented(size: int, factor: int) -> None:
    """floor(2 ln(max(2, first))): x4 for 10, x7 for 50, x9 for 100, x11 for 250."""
    assert page_factor(size) == factor


@pytest.mark.parametrize(
    ("query", "points"),
    [
        ("{ shop { currencyCode } }", 1),
        ("{ productsCount { count } }", 10),
        ('{ product(id: "1") { variantsCount { count } } }', 2),
        ("{ products(first: 250) { nodes { id variants(first: 100) { nodes { id } } } } }", 134),
        (
            "{ products(first: 250) { pageInfo { hasNextPage } edges { cursor node { id "
            "variants(first: 250) { edges { node { id } } } } } } }",
            156,
        ),
        ("{ products(first: 10) { nodes { ...P } } } fragment P on Product "
         "{ id featuredMedia { preview { image { url } } } }", 18),
        ("{ a: shop { id } b: shop { id } }", 2),
        ('{ nodes(ids: ["1", "2", "3"]) { ... on Product { id } } }', 3),
        ("{ shop @skip(if: true) { id } productsCount { count } }", 10),
        ('{ node(id: "1") { ... on Product { featuredImage { url } } '
         "... on ProductVariant { image { url } inventoryItem { tracked } } } }", 3),
    ],
)  # fmt: skip
def test_a_query_requests_what_the_formula_says(query: str, points: int) -> None:
    """Objects cost 1, scalars 0, connections 2 and a multiple of children, a root count 10."""
    assert requested(query) == points


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("{ products { nodes { id } } }", "first or last"),
        ("{ products(first: 251) { nodes { id } } }", "between 0 and 250"),
        ("{ products(last: -1) { nodes { id } } }", "between 0 and 250"),
        ('{ product(id: "1") { variants(first: 2049) { nodes { id } } } }', "between 0 and 2048"),
        ('{ nodes(ids: ["1"]) { ... on Product { variants(first: 251) { nodes { id } } } } }',
         "between 0 and 250"),
        ("{ product: products(first: 1) { nodes { variants(first: 251) { nodes { id } } } } }",
         "between 0 and 250"),
    ],
)  # fmt: skip
def test_a_page_beyond_its_limit_is_refused(query: str, reason: str) -> None:
    """The limit is 250, and 2,048 for the variants of one product at the root."""
    with pytest.raises(InvalidPage, match=reason):
        requested(query)


@given(st.integers(0, 250), st.integers(0, 250))
def test_nested_pages_cost_the_nested_formula(outer: int, inner: int) -> None:
    """It holds for any two sizes, with one object in a node."""
    query = (
        "query ($o: Int!, $i: Int!) "
        "{ products(first: $o) { nodes { id variants(first: $i) { nodes { id } } } } }"
    )

    def factor(size: int) -> int:
        return math.floor(2 * math.log(max(2, size)))

    assert requested(query, o=outer, i=inner) == 2 + (1 + 2 + factor(inner)) * factor(outer)


@given(st.integers(1, 250), st.lists(st.one_of(st.none(), st.lists(st.none(), max_size=5))))
def test_the_actual_cost_never_exceeds_the_requested_one(
    size: int, nodes: list[list[None] | None]
) -> None:
    """The refund is never negative, however much of the requested comes back."""
    image = CostField("image", "object", ())
    inner = CostField("variants", "connection", (CostField("nodes", "object", (image,)),), page=5)
    outer = CostField(
        "products", "connection", (CostField("nodes", "object", (inner,)),), page=size
    )
    answer = {
        "nodes": [
            {"variants": None if each is None else {"nodes": [{"image": {}} for _ in each]}}
            for each in nodes[:size]
        ]
    }
    assert outer.actual(None) == 0
    assert 2 <= outer.actual(answer) <= outer.requested()
