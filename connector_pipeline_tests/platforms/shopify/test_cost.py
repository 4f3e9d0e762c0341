"""Promises about the cost of the documents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.shopify.bulk.queries import (
    CANCEL_BULK,
    LIST_BULK,
    POLL_BULK,
    RUN_BULK,
)
from connector_pipeline.platforms.shopify.cost import (
    MAX_QUERY_COST,
    largest_of_equal_cost,
    requested_cost,
)
from connector_pipeline.platforms.shopify.queries import (
    API_VERSIONS,
    CHANGED_PRODUCTS,
    DOCUMENTS,
    NODES,
    OWNERS,
    PRODUCTS,
    PRODUCTS_BY_ID,
    SHOP,
    VARIANTS,
    VARIANTS_IN_A_SMALL_BUCKET,
    VARIANTS_PER_PAGE,
    VARIANTS_PER_PRODUCT,
)
from connector_pipeline.platforms.shopify.reading.by_id import batches
from connector_pipeline.platforms.shopify.reading.lookup import IDS_AT_ONCE
from connector_pipeline_tests.platforms.shopify.parsed_cost import parsed_cost

GID = "gid://shopify/ProductVariant/1"
# The document that a bulk operation exports is sent as text, and costs nothing.
SENT = {name: document for name, document in DOCUMENTS.items() if name != "CATALOG"}


@pytest.mark.parametrize("name", SENT)
@given(
    first=st.integers(1, 250),
    variants=st.integers(1, VARIANTS_PER_PAGE),
    ids=st.integers(0, 250),
)
def test_every_document_is_priced_as_its_text_is(
    name: str, first: int, variants: int, ids: int
) -> None:
    """A change of a document fails here until its formula is changed too."""
    sizes = {"first": first, "variants": variants, "ids": [GID] * ids}
    assert requested_cost(SENT[name], sizes) == parsed_cost(SENT[name], sizes)


@pytest.mark.parametrize(
    ("document", "variables", "points"),
    [
        (SHOP, {}, 11),
        (PRODUCTS, {"first": 250, "variants": VARIANTS_PER_PRODUCT}, 431),
        (CHANGED_PRODUCTS, {"first": 250, "variants": VARIANTS_PER_PRODUCT}, 431),
        (PRODUCTS, {"first": 250, "variants": VARIANTS_IN_A_SMALL_BUCKET}, 365),
        (VARIANTS, {"variants": VARIANTS_PER_PAGE}, 51),
        (VARIANTS, {"variants": VARIANTS_PER_PRODUCT}, 39),
        (NODES, {"ids": [GID] * 100}, 100),
        (PRODUCTS_BY_ID, {"ids": [GID] * 25, "variants": VARIANTS_PER_PRODUCT}, 976),
        (PRODUCTS_BY_ID, {"ids": [GID] * 55, "variants": 12}, 991),
        (OWNERS, {"ids": [GID] * 100}, 500),
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
    """The costs in the docstrings of both modules of documents are those of the formula."""
    assert requested_cost(document, variables) == points


def test_a_text_that_is_no_document_has_no_price() -> None:
    """With a guessed cost, a query would wait too long or be throttled."""
    with pytest.raises(KeyError):
        requested_cost("{ shop { name } }", {})


@given(first=st.integers(1, 250))
def test_no_page_size_requests_more_than_one_query_may(first: int) -> None:
    """Every SHOPIFY_BATCH_SIZE that the settings allow stays below the limit."""
    cost = requested_cost(PRODUCTS, {"first": first, "variants": VARIANTS_PER_PRODUCT})
    assert cost < MAX_QUERY_COST


def test_no_document_requests_more_than_one_query_may() -> None:
    """The sizes are the largest of the settings and the adapter; `pytest -rP` shows the costs."""
    largest = {"first": 250, "variants": VARIANTS_PER_PRODUCT, "ids": [GID] * IDS_AT_ONCE}
    costs = {
        name: requested_cost(
            document, largest | ({"variants": VARIANTS_PER_PAGE} if name == "VARIANTS" else {})
        )
        for name, document in SENT.items()
        # Its sizes depend on each other: the next test has them.
        if name != "PRODUCTS_BY_ID"
    }
    for name, points in sorted(costs.items(), key=lambda cost: -cost[1]):
        print(f"{name}: {points} points requested")  # noqa: T201  shown by `pytest -rP`
    assert max(costs.values()) == 500 < MAX_QUERY_COST


@given(number=st.integers(0, 600))
def test_products_asked_for_by_id_never_request_more_than_one_query_may(number: int) -> None:
    """Every product is in one question, and no question could have been left out."""
    ids = [str(each) for each in range(number)]
    planned = list(batches(ids))
    assert [each for asked, _ in planned for each in asked] == ids
    for asked, room in planned:
        variables = {"ids": asked, "variants": room}
        assert requested_cost(PRODUCTS_BY_ID, variables) <= MAX_QUERY_COST
    assert len(planned) == -(-number // 55)


@pytest.mark.parametrize(
    ("first", "factor"), [(1, 1), (10, 4), (50, 7), (100, 9), (250, 11), (2048, 15)]
)
def test_a_connection_costs_the_logarithm_of_its_page(first: int, factor: int) -> None:
    """The cost is 2 + children x floor(2 ln size), as Shopify's staff state it."""
    assert requested_cost(LIST_BULK, {"first": first}) == 2 + factor


@given(small=st.integers(1, 2048), more=st.integers(0, 2048))
def test_a_smaller_page_never_costs_more(small: int, more: int) -> None:
    """So halving a page that is too expensive helps."""
    assert requested_cost(VARIANTS, {"variants": small}) <= requested_cost(
        VARIANTS, {"variants": small + more}
    )


@given(size=st.integers(1, 250))
def test_sizes_of_equal_cost_are_used_to_the_full(size: int) -> None:
    """The next larger size would cost more."""
    largest = largest_of_equal_cost(size)
    assert largest >= size

    def price(variants: int) -> int:
        return requested_cost(PRODUCTS, {"first": 250, "variants": variants})

    assert price(largest) == price(size) < price(largest + 1)


def test_a_page_size_that_is_no_number_is_a_mistake_of_ours() -> None:
    """The cost of a page of unknown size is not guessed."""
    with pytest.raises(TypeError):
        requested_cost(VARIANTS, {"variants": "many"})


def test_the_successor_of_a_deprecated_field_is_priced() -> None:
    """A variant's `media` costs more than twice as much as its `image`, as the comment says."""
    with_media = PRODUCTS.replace(
        "image { url }\n}", "media(first: 1) { nodes { preview { image { url } } } }\n}"
    )
    assert with_media != PRODUCTS
    assert parsed_cost(with_media, {"first": 250, "variants": VARIANTS_PER_PRODUCT}) == 915
