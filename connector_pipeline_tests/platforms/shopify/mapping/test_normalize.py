"""Promises of the mapping from Shopify's pages to catalog items."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.mapping.normalize import normalize
from connector_pipeline_tests.platforms.shopify.scripted import (
    product,
    products_body,
    shop_body,
    variant,
    variants_body,
)

SHOP = Shop(
    merchant_id="m-1",
    platform_name="shopify",
    platform_shop_id="s-1",
    domain="acme.myshopify.com",
)


def page(body: Any, kind: str = "products") -> RawPage:
    return RawPage(kind, body if isinstance(body, bytes) else json.dumps(body).encode())


def rows(pages: Iterable[RawPage], currency: str = "SEK") -> list[CatalogItem | RejectedVariant]:
    return list(normalize(SHOP, currency, pages))


def row(
    variant_fields: dict[str, Any] | None = None, **product_fields: Any
) -> CatalogItem | RejectedVariant:
    """The one item of a product with one variant, with these fields changed."""
    one = product(1, [variant(2, **(variant_fields or {}))], **product_fields)
    (only,) = rows([page(products_body([one]))])
    return only


def item(variant_fields: dict[str, Any] | None = None, **product_fields: Any) -> CatalogItem:
    only = row(variant_fields, **product_fields)
    assert isinstance(only, CatalogItem), only
    return only


def featured(url: str) -> dict[str, Any]:
    return {"preview": {"image": {"url": url}}}


def test_a_variant_becomes_a_row_field_by_field() -> None:
    """Every column has its value from the field that the schema names."""
    assert item() == CatalogItem(
        merchant_id="m-1",
        platform_name="shopify",
        platform_shop_id="s-1",
        domain="acme.myshopify.com",
        product_id="1",
        variant_id="2",
        product_title="Mug",
        variant_title="Red",
        sku="sku",
        price=Decimal("19.95"),
        currency="SEK",
        inventory=4,
        image_url=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        updated_at=datetime(2026, 2, 1, tzinfo=UTC),
        product_status="active",
        sellable=True,
    )


@pytest.mark.parametrize(
    ("title", "expected"),
    [("Default Title", "Default Title"), (None, "Mug"), ("", "Mug"), (" ", " "), ("0", "0")],
)
def test_an_absent_variant_title_is_the_products(title: Any, expected: str) -> None:
    """Shopify's own "Default Title" is a title like any other."""
    assert item({"title": title}).variant_title == expected


@pytest.mark.parametrize("sku", [None, "", "0", " A-1 "])
def test_a_sku_is_kept_as_given(sku: Any) -> None:
    """Null and empty stay different."""
    assert item({"sku": sku}).sku == sku


@pytest.mark.parametrize(
    ("money", "price"),
    [("0.00", Decimal("0.00")), ("1200", Decimal(1200)), ("1.234", Decimal("1.234")), (None, None)],
)
def test_a_price_is_exact_and_null_stays_null(money: Any, price: Decimal | None) -> None:
    """A free variant has the price 0, and JPY and KWD have their own decimals."""
    assert item({"price": money}).price == price


@pytest.mark.parametrize("inventory", [None, 0, -3, 2**31 - 1])
def test_inventory_is_kept_as_given(inventory: Any) -> None:
    """Null means not tracked, and oversold stock is negative."""
    assert item({"inventoryQuantity": inventory}).inventory == inventory


@pytest.mark.parametrize(
    ("own", "products", "expected"),
    [
        ({"url": "v"}, featured("p"), "v"),
        (None, featured("p"), "p"),
        (None, None, None),
        (None, {"preview": None}, None),
        (None, {"preview": {"image": None}}, None),
    ],
)
def test_the_picture_is_the_variants_else_the_products(
    own: Any, products: Any, expected: str | None
) -> None:
    """A null image is the usual case."""
    assert item({"image": own}, featuredMedia=products).image_url == expected


@pytest.mark.parametrize(
    ("products", "variants", "expected"),
    [
        ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", datetime(2026, 1, 3, tzinfo=UTC)),
        ("2026-01-04T00:00:00Z", "2026-01-03T00:00:00Z", datetime(2026, 1, 4, tzinfo=UTC)),
        ("2026-01-04T00:00:00Z", None, datetime(2026, 1, 4, tzinfo=UTC)),
        (None, "2026-01-03T01:00:00+02:00", datetime(2026, 1, 2, 23, tzinfo=UTC)),
        (None, None, None),
    ],
)
def test_the_later_change_counts_in_utc(
    products: Any, variants: Any, expected: datetime | None
) -> None:
    """It may be the change of the product or of the variant."""
    assert item({"updatedAt": variants}, updatedAt=products).updated_at == expected


@pytest.mark.parametrize("status", ["ACTIVE", "DRAFT", "ARCHIVED", "UNLISTED"])
def test_every_status_is_mapped(status: str) -> None:
    """Shopify has four."""
    assert item(status=status).product_status == status.lower()


@pytest.mark.parametrize("left_over", [None, 0, 7, -2])
def test_stock_that_is_not_tracked_is_null(left_over: int | None) -> None:
    """Shopify states any quantity for it: null, 0, or one from when it was tracked."""
    untracked = variant(2, inventoryItem={"tracked": False}, inventoryQuantity=left_over)
    tracked = variant(3, inventoryItem={"tracked": True}, inventoryQuantity=left_over)
    not_asked = variant(4, inventoryQuantity=left_over)
    del not_asked["inventoryItem"]
    found = rows([page(products_body([product(1, [untracked, tracked, not_asked])]))])
    assert [one.inventory for one in found if isinstance(one, CatalogItem)] == [
        None,
        left_over,
        left_over,
    ]


@pytest.mark.parametrize(
    ("of_product", "available", "sellable"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"status": "UNLISTED"}, True, True),
        ({"publishedAt": None}, True, False),
        ({"status": "DRAFT"}, True, False),
        ({"status": "ARCHIVED"}, True, False),
        ({}, None, None),
        ({"publishedAt": None}, None, False),
    ],
)
def test_a_variant_is_sellable_if_its_product_is_published_and_it_is_available(
    of_product: dict[str, Any], available: bool | None, sellable: bool | None
) -> None:
    """ACTIVE alone does not mean published. An unlisted product is bought by its link."""
    published = {"publishedAt": "2026-01-01T00:00:00Z"} | of_product
    body = products_body([product(1, [variant(2, availableForSale=available)], **published)])
    (found,) = rows([page(body)])
    assert isinstance(found, CatalogItem)
    assert found.sellable is sellable


def test_pages_from_before_the_fields_were_asked_for_do_not_tell() -> None:
    """A mapping is corrected by reading old snapshots again."""
    old = product(1, [variant(2), variant(3, availableForSale=False)])
    del old["publishedAt"]
    found = rows([page(products_body([old]))])
    assert [one.sellable for one in found if isinstance(one, CatalogItem)] == [None, False]


@pytest.mark.parametrize(
    ("status", "stated"),
    [("SUSPENDED", "unknown"), (None, "unknown"), (["ACTIVE"], "unknown"), ("DRAFT", "draft")],
)
def test_a_reject_says_in_which_status_its_product_is(status: Any, stated: str) -> None:
    """So its last good row does not stay on offer."""
    body = products_body([product(1, [variant(2, price="NaN")], status=status)])
    (found,) = rows([page(body)])
    assert isinstance(found, RejectedVariant)
    assert found.product_status == stated


def test_a_variants_page_is_normalized_on_its_own() -> None:
    """It has its product, and a product that was deleted meanwhile has no items."""
    pages = [
        page(shop_body(), "shop"),
        page(variants_body(product(1, [variant(2), variant(3)])), "variants"),
        page(variants_body(None), "variants"),
    ]
    found = rows(pages)
    assert [one.variant_id for one in found] == ["2", "3"]
    assert all(isinstance(one, CatalogItem) for one in found)


def test_a_variant_that_comes_twice_is_yielded_twice() -> None:
    """Publishing decides which of the two counts."""
    same = page(products_body([product(1, [variant(2)])]))
    assert len(rows([same, same])) == 2


@pytest.mark.parametrize(
    ("variant_fields", "product_fields", "reason"),
    [
        ({"price": 19.95}, {}, "price: is not an amount"),
        ({"price": "NaN"}, {}, "price: is not an amount"),
        ({"price": "1_000"}, {}, "price: is not an amount"),
        ({"price": "\u0661"}, {}, "price: is not an amount"),
        ({"price": "0.1234567"}, {}, "price: has more than six decimals"),
        ({"price": "1." + "0" * 28 + "1"}, {}, "price: is not an amount"),
        ({"inventoryQuantity": 2**31}, {}, "inventory: "),
        ({"inventoryQuantity": 1.5}, {}, "inventory: "),
        ({"inventoryQuantity": True}, {}, "inventory: "),
        ({"title": 0}, {}, "variant_title: "),
        ({"title": "a\x00b"}, {}, "variant_title: contains a NUL"),
        ({"title": "\ud800"}, {}, "variant_title: contains half of a surrogate"),
        ({"sku": 7}, {}, "sku: "),
        ({"image": "x"}, {}, "image_url: "),
        ({"image": {"url": None}}, {}, "image_url: "),
        ({"updatedAt": 1767225600}, {}, "updated_at: is not a time"),
        ({"updatedAt": "2026-01-01T00:00:00"}, {}, "updated_at: is not a time with a time zone"),
        ({"updatedAt": "0001-01-01T00:00:00+14:00"}, {}, "updated_at: is not a time"),
        ({"id": "2"}, {}, "variant_id: "),
        ({}, {"id": "gid://shopify/Product/x"}, "product_id: "),
        ({}, {"title": None}, "product_title: "),
        ({}, {"status": "SUSPENDED"}, "product_status: is not one of ACTIVE, DRAFT, ARCHIVED, "),
        ({}, {"status": ["ACTIVE"]}, "product_status: "),
        ({}, {"createdAt": "yesterday"}, "created_at: "),
        ({}, {"featuredMedia": [1]}, "image_url: "),
        ({}, {"featuredMedia": {"preview": 7}}, "image_url: "),
    ],
)
def test_a_variant_that_cannot_be_a_row_is_kept_with_its_reason(
    variant_fields: dict[str, Any], product_fields: dict[str, Any], reason: str
) -> None:
    """The reason has the field and its problem, the JSON is kept, and the next variant is read."""
    bad = product(1, [variant(2, **variant_fields)], **product_fields)
    rejected, good = rows([page(products_body([bad, product(3, [variant(4)])]))])
    assert isinstance(rejected, RejectedVariant)
    assert rejected.reason.startswith(reason)
    assert rejected.raw["variant"].keys() == variant(2).keys()
    assert rejected.raw["product"]["title"] == bad["title"]
    assert "variants" not in rejected.raw["product"]
    assert isinstance(good, CatalogItem)


def test_a_variant_that_is_no_object_is_kept_too() -> None:
    """It is kept even where there is no id to name it by."""
    rejected, good = rows([page(products_body([product(1, [None, variant(2)])]))])
    assert isinstance(rejected, RejectedVariant)
    assert (rejected.product_id, rejected.variant_id) == ("1", None)
    assert rejected.reason == "variant: is not an object (None)"
    assert isinstance(good, CatalogItem)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "products"),
        (b"\xff", "products"),
        ([], "products"),
        ({"data": None}, "products"),
        ({"data": {"products": []}}, "products"),
        ({"data": {"products": {"nodes": {}}}}, "products"),
        (products_body([None]), "products"),
        (products_body([{"id": "gid://shopify/Product/1"}]), "products"),
        ({"data": {}}, "variants"),
        (variants_body(product(1, [])), "orders"),
    ],
)
def test_a_page_of_another_structure_is_invalid(body: Any, kind: str) -> None:
    """A page that cannot be read as variants is not skipped."""
    with pytest.raises(InvalidResponse):
        rows([page(body, kind)])


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["\ud800", "\x00", "1e5", "Infinity", "-0", "0" * 40, "9" * 40])
    | st.decimals(allow_nan=False, allow_infinity=False).map(str)
    | st.datetimes(timezones=st.timezones()).map(datetime.isoformat)
    | st.datetimes().map(datetime.isoformat)
    | st.lists(st.integers(), max_size=1)
    | st.dictionaries(st.sampled_from(["url", "preview"]), st.text() | st.none(), max_size=2)
)


@given(
    variant_fields=st.dictionaries(st.sampled_from(sorted(variant(0))), _VALUES, max_size=3),
    product_fields=st.dictionaries(
        st.sampled_from(sorted(product(0, []).keys() - {"variants"})), _VALUES, max_size=3
    ),
)
@example(variant_fields={"price": None, "image": {"url": "https://x.example/1"}}, product_fields={})
@example(variant_fields={"inventoryItem": False}, product_fields={})
@example(variant_fields={"inventoryItem": True}, product_fields={})
@example(variant_fields={"inventoryItem": []}, product_fields={})
def test_any_value_in_any_field_is_a_row_or_a_reject_and_rows_say_what_was_sent(
    variant_fields: dict[str, Any], product_fields: dict[str, Any]
) -> None:
    """No value raises an error, is lost, or is changed on the way."""
    sent_variant = variant(2, **variant_fields)
    sent_product = product(1, [sent_variant], **product_fields)
    (found,) = rows([page(products_body([sent_product]))])
    if isinstance(found, RejectedVariant):
        assert found.reason
        return
    assert f"gid://shopify/Product/{found.product_id}" == sent_product["id"]
    assert f"gid://shopify/ProductVariant/{found.variant_id}" == sent_variant["id"]
    assert found.product_title == sent_product["title"]
    assert found.variant_title == (sent_variant["title"] or sent_product["title"])
    assert found.sku == sent_variant["sku"]
    stock = sent_variant["inventoryItem"]
    tracked = stock is None or stock.get("tracked") is not False
    assert found.inventory == (sent_variant["inventoryQuantity"] if tracked else None)
    assert found.product_status == sent_product["status"].lower()
    if found.price is None:
        assert sent_variant["price"] is None
    else:
        assert found.price == Decimal(sent_variant["price"])
    times = [sent["updatedAt"] for sent in (sent_product, sent_variant)]
    known = [datetime.fromisoformat(time) for time in times if time is not None]
    assert found.updated_at == max(known, default=None)
    created = sent_product["createdAt"]
    assert found.created_at == (created and datetime.fromisoformat(created))
    if sent_variant["image"] is not None:
        assert found.image_url == sent_variant["image"]["url"]
