"""Promises of normalizing bulk results: any order of lines will do, and no line is lost."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.bulk import join as bulk_join
from connector_pipeline.platforms.shopify.bulk.download import BULK
from connector_pipeline.platforms.shopify.mapping.normalize import normalize
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.catalog.snapshots import Publisher
from connector_pipeline_tests.platforms.shopify.scripted import product, products_body, variant

SHOP = Shop(
    merchant_id="m-1",
    platform_name="shopify",
    platform_shop_id="s-1",
    domain="acme.myshopify.com",
)

texts = st.text(max_size=12) | st.sampled_from(['"__parentId":"', "a/b", "\\/", "\u2028", "\x00"])
numbers = st.integers(1, 2**64 - 1)
variant_fields = st.fixed_dictionaries(
    {},
    optional={
        "title": texts | st.none(),
        "sku": texts | st.none(),
        "price": st.sampled_from(["19.95", "0", "-1.00", "mist", None]),
        "inventoryQuantity": st.integers(-5, 5) | st.none() | st.just("many"),
        "updatedAt": st.sampled_from(["2026-03-01T00:00:00Z", "2026-01-01T00:00:00Z", "soon"]),
        "image": st.none() | st.just({"url": "https://cdn.example/v.jpg"}) | st.just(7),
    },
)
product_fields = st.fixed_dictionaries(
    {},
    optional={
        "title": texts,
        "status": st.sampled_from(["ACTIVE", "DRAFT", "ARCHIVED", "UNLISTED", "NEW"]),
        "updatedAt": st.sampled_from(["2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z", None]),
        "featuredMedia": st.none()
        | st.just({"preview": {"image": {"url": "https://cdn.example/p.jpg"}}}),
    },
)


@st.composite
def catalogs(draw: Any) -> list[dict[str, Any]]:
    """Products as a page nests them, each id once."""
    product_ids = draw(st.lists(numbers, max_size=6, unique=True))
    ids = iter(draw(st.lists(numbers, min_size=24, max_size=24, unique=True)))
    return [
        product(
            number,
            [variant(next(ids), **draw(variant_fields)) for _ in range(draw(st.integers(0, 4)))],
            **draw(product_fields),
        )
        for number in product_ids
    ]


def lines_of(products: list[dict[str, Any]]) -> list[bytes]:
    """The same catalog as bulk operations write it, parents first."""
    lines: list[dict[str, Any]] = []
    for each in products:
        variants = each["variants"]["nodes"]
        lines.append({name: value for name, value in each.items() if name != "variants"})
        lines += [{**one, "__parentId": each["id"]} for one in variants]
    return [json.dumps(line).replace("/", "\\/").encode() for line in lines]


def bulk_pages(lines: list[bytes], cuts: int = 1) -> list[RawPage]:
    """The lines in pages of so many."""
    return [
        RawPage(BULK, b"".join(line + b"\n" for line in lines[start : start + cuts]))
        for start in range(0, len(lines), cuts)
    ]


def items(pages: list[RawPage]) -> list[CatalogItem | RejectedVariant]:
    return list(normalize(SHOP, "SEK", pages))


def counted(pages: list[RawPage]) -> Counter[str]:
    """All items and rejected variants of normalizing, without their order."""
    return Counter(repr(item) for item in items(pages))


@given(catalogs(), st.randoms(use_true_random=False), st.integers(1, 7))
def test_any_order_of_lines_gives_the_items_of_the_nested_form(
    products: list[dict[str, Any]], order: random.Random, cuts: int
) -> None:
    """Rejected variants have the same reasons and the same raw JSON, too."""
    lines = lines_of(products)
    order.shuffle(lines)
    nested = RawPage("products", json.dumps(products_body(products)).encode())
    assert counted(bulk_pages(lines, cuts)) == counted([nested])


def test_products_beyond_those_in_memory_are_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The join keeps a few products in memory and the others on disk."""
    monkeypatch.setattr(bulk_join, "_CACHED_PRODUCTS", 3)
    products = [product(number, [variant(1000 + number)]) for number in range(1, 50)]
    lines = lines_of(products)
    parents_first = lines[::2] + lines[1::2]
    found = items(bulk_pages(parents_first))
    assert [item.variant_id for item in found] == [str(1000 + n) for n in range(1, 50)]


def test_a_product_without_variants_makes_no_item() -> None:
    """A page of such a product makes none either."""
    assert items(bulk_pages(lines_of([product(1, [])]))) == []


def test_a_variant_whose_product_never_comes_is_rejected_by_name() -> None:
    """It is rejected after the last line, when no product can come any more."""
    lines = lines_of([product(1, [variant(11)]), product(2, [variant(21), variant(22)])])
    del lines[2]
    found = items(bulk_pages(lines))
    assert [item.variant_id for item in found] == ["11", "21", "22"]
    for orphan in found[1:]:
        assert isinstance(orphan, RejectedVariant)
        assert orphan.product_id == "2"
        assert "never came" in orphan.reason
        assert orphan.raw["product"] == {"id": "gid://shopify/Product/2"}
        assert "__parentId" not in orphan.raw["variant"]


@pytest.mark.parametrize(
    "line",
    [
        b"<html>Busy</html>",
        b"[]",
        b"null",
        b'"gid://shopify/Product/1"',
        b"{",
        b'{"id": "gid://shopify/Collection/1"}',
        b'{"id": "gid://shopify/MediaImage/1", "__parentId": "gid://shopify/Product/1"}',
        b'{"id": "gid://shopify/ProductVariant/1"}',
        b'{"id": "gid://shopify/ProductVariant/1", "__parentId": "gid://shopify/Order/1"}',
        b'{"id": "gid://shopify/Product/1", "price": NaN}',
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_product_and_no_variant_breaks_the_contract(line: bytes) -> None:
    """A result is read whole or not at all."""
    good = lines_of([product(1, [variant(11)])])
    with pytest.raises(InvalidResponse):
        items(bulk_pages([*good, line]))


BAD_IDS: list[Any] = [
    None,
    7,
    {},
    "",
    "gid://shopify/Product/",
    f"gid://shopify/Product/{9 * 10**19}",
]


@pytest.mark.parametrize("bad", [*BAD_IDS, "missing"])
def test_a_line_without_a_usable_id_rejects_its_product_or_variant_alone(bad: Any) -> None:
    """Its reject has the ids that can be read, and the others' items are as without it."""
    own = bad if bad != BAD_IDS[-1] else bad.replace("Product", "ProductVariant")
    products = [product(number, [variant(10 * number + 1)]) for number in (1, 2, 3)]
    lines = [json.loads(line) for line in lines_of(products)]
    for line, name, value in ((lines[1], "id", own), (lines[3], "__parentId", bad)):
        if bad != "missing":
            line[name] = value
        elif name == "id":
            del line[name]
    lines.append({"title": "A product"} if bad == "missing" else {"id": bad, "title": "A product"})
    found = items(bulk_pages([json.dumps(line).encode() for line in lines]))
    good = [each for each in found if isinstance(each, CatalogItem)]
    rejects = [each for each in found if isinstance(each, RejectedVariant)]
    ids = [(each.product_id, each.variant_id) for each in rejects]
    if bad == "missing":
        assert ids == [("1", None), (None, None)]
        assert [each.variant_id for each in good] == ["21", "31"]
    else:
        assert ids == [("1", None), (None, "21"), (None, None)]
        assert [each.variant_id for each in good] == ["31"]
    assert all("a number of 64 bits" in each.reason for each in rejects)


def test_nothing_is_deleted_for_a_line_without_a_usable_id(database: Database) -> None:
    """A product that the result names keeps its rows; without any name, the whole shop does."""
    ShopRegistry(database=database).add(SHOP)
    publisher = Publisher(database)
    products = [product(n, [variant(10 * n + 1), variant(10 * n + 2)]) for n in (1, 2, 3)]
    whole = [json.loads(line) for line in lines_of(products)]
    # A variant of product 1 has no id. Later, product 2 has none. Product 3 was deleted.
    no_variant = [{**line, "id": 7} if at == 1 else line for at, line in enumerate(whole[:6])]
    no_product = [{**line, "id": 7} if at == 3 else line for at, line in enumerate(whole[:4])]

    def live_after(lines: list[dict[str, Any]]) -> set[str]:
        found = items(bulk_pages([json.dumps(line).encode() for line in lines]))
        publisher(
            [each for each in found if isinstance(each, CatalogItem)],
            [each for each in found if isinstance(each, RejectedVariant)],
            shop=SHOP,
        )
        with database.connect() as connection:
            live = "SELECT variant_id FROM catalog.catalog_items WHERE deleted_at IS NULL"
            return {each for (each,) in connection.execute(live)}

    assert live_after(whole) == {"11", "12", "21", "22", "31", "32"}
    assert live_after(no_product) == {"11", "12", "21", "22", "31", "32"}
    assert live_after(no_variant) == {"11", "12", "21", "22"}


@given(st.lists(st.binary(max_size=60) | st.just(b'{"id": "gid:\\/\\/shopify\\/Product\\/1"}')))
def test_no_bytes_raise_anything_but_what_is_promised(lines: list[bytes]) -> None:
    """Any other bytes raise InvalidResponse."""
    try:
        items(bulk_pages(lines))
    except InvalidResponse:
        return


def test_blank_lines_and_a_missing_newline_at_the_end_change_nothing() -> None:
    """JSONL may end with a newline or without one."""
    lines = lines_of([product(1, [variant(11)])])
    body = b"\n" + b"\n\n".join(lines)
    assert [item.variant_id for item in items([RawPage(BULK, body)])] == ["11"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"id":' + b"[]," * 300_000 + b"0}", "too much memory"),
        (b'{"id":"gid://shopify/Product/1","title":NaN}', "NaN is not JSON"),
        (b'{"id":' + b"[" * 200 + b"]" * 200 + b"}", "nested more than 100 deep"),
    ],
)
def test_a_line_that_costs_too_much_is_named(line: bytes, words: str) -> None:
    """A line may be a megabyte long, and its JSON may take much more."""
    with pytest.raises(InvalidResponse, match=words):
        list(normalize(SHOP, "EUR", [RawPage(BULK, line)]))


def test_long_products_are_not_all_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those left out are found again."""
    monkeypatch.setattr(bulk_join, "_CACHED_BYTES", 1000)
    products = range(1, 30)
    lines = [
        *({"id": gid("Product", number), "title": f"{number}" * 300} for number in products),
        *(
            {"id": gid("ProductVariant", number), "__parentId": gid("Product", number)}
            for number in products
        ),
    ]
    join: bulk_join.BulkJoin[str] = bulk_join.BulkJoin(lambda product: product["title"])
    fed = b"\n".join(json.dumps(line).encode() for line in lines)
    titles = [title for title, _ in join.feed(fed)]
    join.close()
    assert titles == [f"{number}" * 300 for number in products]


def gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"
