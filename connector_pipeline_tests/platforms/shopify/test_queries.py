"""Promises of the GraphQL documents."""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    build_client_schema,
    parse,
    validate,
)
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.shopify.bulk.queries import (
    CANCEL_BULK,
    CATALOG,
    LIST_BULK,
    POLL_BULK,
    RUN_BULK,
)
from connector_pipeline.platforms.shopify.queries import (
    API_VERSIONS,
    CHANGED_PRODUCTS,
    DOCUMENTS,
    MAX_QUERY_COST,
    NODES,
    PRODUCTS,
    SHOP,
    VARIANTS,
    VARIANTS_PER_PAGE,
    VARIANTS_PER_PRODUCT,
    changed_since,
    largest_of_equal_cost,
    requested_cost,
)
from connector_pipeline.platforms.shopify.reading.lookup import IDS_AT_ONCE
from connector_pipeline_tests.shared_files import shopify_schema


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    """Shopify's own schema of version 2026-07."""
    with gzip.open(shopify_schema()) as file:
        return build_client_schema(json.load(file)["data"], assume_valid=True)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_is_valid_in_shopifys_own_schema(schema: GraphQLSchema, name: str) -> None:
    """What we send exists in version 2026-07, with the arguments and types we give."""
    assert validate(schema, parse(DOCUMENTS[name])) == []


@pytest.mark.parametrize(
    ("document", "variables", "points"),
    [
        (SHOP, {}, 11),
        (PRODUCTS, {"first": 250, "variants": VARIANTS_PER_PRODUCT}, 310),
        (CHANGED_PRODUCTS, {"first": 250, "variants": VARIANTS_PER_PRODUCT}, 310),
        (VARIANTS, {"variants": VARIANTS_PER_PAGE}, 36),
        (VARIANTS, {"variants": VARIANTS_PER_PRODUCT}, 28),
        (NODES, {"ids": ["gid://shopify/ProductVariant/1"] * 100}, 100),
        (API_VERSIONS, {}, 1),
        (RUN_BULK, {}, 10),
        (CANCEL_BULK, {}, 10),
        (POLL_BULK, {}, 1),
        (LIST_BULK, {"first": 50}, 9),
    ],
)
def test_documents_cost_what_their_comments_say(
    document: str, variables: dict[str, int], points: int
) -> None:
    """The prices in the module's docstring are those of the formula."""
    assert requested_cost(document, variables) == points


def test_a_bulk_operation_asks_for_what_a_page_asks_for() -> None:
    """Both are mapped by the same code, so neither may know less than the other."""
    assert fields(CATALOG) == fields(PRODUCTS)


def fields(document: str) -> set[str]:
    """The paths of a document's leaves, without connections' wrapping and pages' cursors."""
    parsed = parse(document)
    fragments = {
        each.name.value: each.selection_set
        for each in parsed.definitions
        if isinstance(each, FragmentDefinitionNode)
    }

    def below(selections: SelectionSetNode, path: str) -> Iterator[str]:
        for each in selections.selections:
            if isinstance(each, FragmentSpreadNode):
                yield from below(fragments[each.name.value], path)
            elif isinstance(each, FieldNode) and each.name.value != "pageInfo":
                wrapping = each.name.value in ("edges", "node", "nodes")
                here = path if wrapping else f"{path}.{each.name.value}"
                if each.selection_set is None:
                    yield here
                else:
                    yield from below(each.selection_set, here)

    (operation,) = (
        each for each in parsed.definitions if isinstance(each, OperationDefinitionNode)
    )
    return set(below(operation.selection_set, ""))


@given(first=st.integers(1, 250))
def test_no_page_size_requests_more_than_one_query_may(first: int) -> None:
    """Every SHOPIFY_BATCH_SIZE that settings allow stays under the limit."""
    cost = requested_cost(PRODUCTS, {"first": first, "variants": VARIANTS_PER_PRODUCT})
    assert cost < MAX_QUERY_COST


@pytest.mark.parametrize(
    ("first", "factor"), [(1, 1), (10, 4), (50, 7), (100, 9), (250, 11), (2048, 15)]
)
def test_a_connection_costs_the_logarithm_of_its_page(first: int, factor: int) -> None:
    """2 + children x floor(2 ln size), as Shopify's staff have it."""
    document = f"query {{ products(first: {first}) {{ nodes {{ id }} pageInfo {{ endCursor }} }} }}"
    assert requested_cost(document, {}) == 2 + factor


@given(small=st.integers(1, 2048), more=st.integers(0, 2048))
def test_a_smaller_page_never_costs_more(small: int, more: int) -> None:
    """Halving a page that is too expensive leads somewhere."""
    assert requested_cost(VARIANTS, {"variants": small}) <= requested_cost(
        VARIANTS, {"variants": small + more}
    )


def test_edges_and_inline_fragments_are_priced_by_what_they_hold() -> None:
    """`edges` are free, their nodes are not, and a fragment costs its fields."""
    document = "{ products(first: 10) { edges { node { id ... on Product { a { b } } } } } }"
    assert requested_cost(document, {}) == 2 + 4 * 2


def test_a_page_size_that_is_no_number_is_a_mistake_of_ours() -> None:
    """The cost of a page of unknown size is not guessed."""
    with pytest.raises(TypeError):
        requested_cost(VARIANTS, {"variants": "many"})


def test_no_document_requests_more_than_one_query_may() -> None:
    """At the largest sizes that settings and the adapter know; `pytest -rP` shows the costs."""
    largest = {
        "first": 250,
        "variants": VARIANTS_PER_PRODUCT,
        "ids": ["gid://shopify/ProductVariant/1"] * IDS_AT_ONCE,
    }
    costs = {
        name: requested_cost(
            document, largest | ({"variants": VARIANTS_PER_PAGE} if name == "VARIANTS" else {})
        )
        for name, document in DOCUMENTS.items()
    }
    for name, points in sorted(costs.items(), key=lambda cost: -cost[1]):
        print(f"{name}: {points} points requested")  # noqa: T201  for whoever wants to see them
    assert max(costs.values()) == 310 < MAX_QUERY_COST


def test_the_successor_of_a_deprecated_field_is_priced() -> None:
    """A variant's `media` costs more than twice as much as its `image`, as the comment says."""
    with_media = PRODUCTS.replace(
        "image { url }\n}", "media(first: 1) { nodes { preview { image { url } } } }\n}"
    )
    assert with_media != PRODUCTS
    assert requested_cost(with_media, {"first": 250, "variants": VARIANTS_PER_PRODUCT}) == 794


@given(size=st.integers(1, 250))
def test_sizes_of_equal_cost_are_used_to_the_full(size: int) -> None:
    """One more would cost more."""
    largest = largest_of_equal_cost(size)
    assert largest >= size

    def price(variants: int) -> int:
        return requested_cost(PRODUCTS, {"first": 250, "variants": variants})

    assert price(largest) == price(size) < price(largest + 1)


def test_changes_are_asked_for_from_the_second_on() -> None:
    """In UTC, rounded down: what changed in the same second is not to be missed."""
    stockholm = timezone(timedelta(hours=1))
    since = datetime(2026, 11, 25, 1, 2, 3, 999_999, tzinfo=stockholm)
    assert changed_since(since) == "updated_at:>='2026-11-25T00:02:03Z'"
