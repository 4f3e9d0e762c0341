"""The quick way from a bulk result to rows gives the rows of `normalize`, in the same order."""

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_pipeline.model.catalog_item import CatalogRow, RejectedVariant, rows_of
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.shopify.bulk.download import BULK
from connector_pipeline.platforms.shopify.mapping import plain_bulk
from connector_pipeline.platforms.shopify.mapping.normalize import Normalizer, normalize
from connector_pipeline.platforms.shopify.mapping.plain_bulk import PlainBulk
from connector_pipeline_tests.platforms.shopify.mapping.test_plain_pages import (
    ODD_PRODUCT_FIELDS,
    ODD_VARIANT_FIELDS,
    ODD_VARIANTS,
    PRODUCT,
    SHOP,
    VARIANT,
)

Line = dict[str, Any]


def of(number: int, **changes: Any) -> Line:
    """A product's line."""
    return PRODUCT | {"id": f"gid://shopify/Product/{number}"} | changes


def child(number: int, parent: int, **changes: Any) -> Line:
    """A variant's line."""
    ids = {
        "id": f"gid://shopify/ProductVariant/{number}",
        "__parentId": f"gid://shopify/Product/{parent}",
    }
    return VARIANT | ids | changes


def page(*lines: Line) -> RawPage:
    """A page of a bulk result."""
    return RawPage(BULK, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def until_refused(rows: Iterable[CatalogRow | RejectedVariant]) -> list[Any]:
    """The rows, and at the end the words of the error that ended them."""

    def each() -> Iterator[Any]:
        try:
            yield from rows
        except InvalidResponse as error:
            yield str(error)

    return list(each())


def both_ways(pages: list[RawPage]) -> tuple[list[Any], list[Any]]:
    """What the adapter makes of the pages, and what `normalize` does."""
    quick = until_refused(ShopifyAdapter().rows(SHOP, "SEK", pages))
    return quick, until_refused(rows_of(normalize(SHOP, "SEK", pages)))


def read_at_once(pages: list[RawPage]) -> list[bool]:
    """Of each page, whether it was read without `normalize`."""
    found: list[bool] = []
    with closing(Normalizer(SHOP, "SEK")) as normalizer:
        bulk = PlainBulk(SHOP, "SEK", normalizer.join)
        for each in pages:
            found.append(bulk.rows(each) is not None)
            if not found[-1]:
                list(normalizer.items(each))
    return found


@pytest.mark.parametrize("kept", [4_096, 0])
def test_a_result_without_oddities_is_read_at_once(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variant may come on a later page than its product, and long after it."""
    monkeypatch.setattr(plain_bulk, "_MOST_PRODUCTS", kept)
    pages = [
        page(of(1), child(11, 1), of(2, title="Rooibos"), child(21, 2, title=None)),
        page(child(22, 2), child(12, 1, image={"url": "https://cdn.shopify.com/2.jpg"})),
        page(of(3)),
    ]
    assert read_at_once(pages) == [True, True, True]
    quick, long = both_ways(pages)
    assert quick == long
    assert [row.variant_id for row in quick] == ["11", "21", "22", "12"]


def test_a_page_with_an_odd_value_is_left_to_normalize_alone() -> None:
    """The pages before and after it are read at once, with its products."""
    pages = [page(of(1), child(11, 1)), page(of(2), child(21, 2, price="1_000"))]
    pages += [page(child(22, 2), child(12, 1))]
    assert read_at_once(pages) == [True, False, True]
    quick, long = both_ways(pages)
    assert quick == long
    assert [type(each) for each in quick] == [CatalogRow, RejectedVariant, CatalogRow, CatalogRow]


ODD_LINES = [
    *({"id": "gid://shopify/ProductVariant/12"} | odd for odd in ODD_VARIANTS),
    {"__parentId": None},
    {"__parentId": "gid://shopify/Product/9"},
    {"__parentId": "gid://shopify/Product/01"},
    {"__parentId": "gid://shopify/Product/" + "9" * 20},
    {"id": "gid://shopify/ProductVariant/" + "9" * 20},
    {"weight": [[[]]]},
    {"title": "x" * 70_000},
]


@pytest.mark.parametrize("odd", ODD_LINES, ids=lambda odd: repr(odd)[:60])
def test_an_odd_line_is_judged_as_normalize_judges_it(odd: Line) -> None:
    """It takes no other line with it."""
    quick, long = both_ways([page(of(1), child(11, 1)), page(child(12, 1) | odd, child(13, 1))])
    assert quick == long


def test_a_product_that_comes_again_counts_from_there() -> None:
    """On pages that are read at once, and after one that is not."""
    pages = [
        page(of(1), child(11, 1), of(1, title="Rooibos"), child(12, 1)),
        page(child(13, 1, price=5), of(1, title="Mate"), child(14, 1)),
        page(child(15, 1)),
        page(of(1, title="Sencha"), child(16, 1)),
        page(child(17, 1, price="0.0000001"), child(18, 1)),
    ]
    quick, long = both_ways(pages)
    assert quick == long
    titles = [each.product_title for each in quick if isinstance(each, CatalogRow)]
    assert titles == ["Grönt te", "Rooibos", "Mate", "Mate", "Sencha", "Sencha"]


def test_a_variant_before_its_product_waits_for_it() -> None:
    """Its page, and that of its product, are left to `normalize`."""
    pages = [page(of(1), child(11, 1)), page(child(21, 2)), page(of(2)), page(child(22, 2))]
    assert read_at_once(pages) == [True, False, False, True]
    quick, long = both_ways(pages)
    assert quick == long
    assert [row.variant_id for row in quick] == ["11", "21", "22"]


_PARENTS = st.integers(1, 3)
_LINES = st.one_of(
    st.builds(lambda parent, title: of(parent, title=title), _PARENTS, st.sampled_from("abc")),
    st.builds(child, st.integers(1, 9), _PARENTS),
    st.builds(child, st.integers(1, 9), _PARENTS),
    st.builds(lambda parent, odd: of(parent) | odd, _PARENTS, ODD_PRODUCT_FIELDS),
    st.builds(lambda parent, odd: child(1, parent) | odd, _PARENTS, ODD_VARIANT_FIELDS),
)


@settings(max_examples=300)
@given(st.lists(st.lists(_LINES, max_size=6), max_size=4))
def test_both_ways_agree_on_every_result(result: list[list[Line]]) -> None:
    """Lines come in any order, several times, on any page, plain and odd."""
    quick, long = both_ways([page(*lines) for lines in result])
    assert quick == long
