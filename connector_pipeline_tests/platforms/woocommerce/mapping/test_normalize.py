"""Promises of the mapping from WooCommerce's answers to catalog items."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.catalog_item import CatalogItem, ProductStatus, RejectedVariant
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.remarks import Remarks
from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    ANALYTICS_VARIATIONS,
    LATER_VARIATION_FIELDS,
    PRODUCT_FIELDS,
    VARIATION_FIELDS,
    Normalizer,
)

SHOP = Shop(
    merchant_id="merchant-1",
    platform_name="woocommerce",
    platform_shop_id="wc-1",
    domain="shop.example",
)
PRODUCT: dict[str, Any] = {
    "id": 10,
    "name": "Mugg",
    "type": "simple",
    "status": "publish",
    "sku": "MUGG",
    "price": "49.90",
    "manage_stock": True,
    "stock_quantity": 5,
    "images": [{"id": 1, "src": "https://shop.example/mugg.png"}],
    "variations": [],
    "date_created_gmt": "2026-01-01T10:00:00",
    "date_modified_gmt": "2026-02-01T10:00:00",
}
PARENT = {**PRODUCT, "id": 20, "name": "Tröja", "type": "variable", "variations": [21]}
VARIATION: dict[str, Any] = {
    "id": 21,
    "parent_id": 20,
    "name": "Röd, Large",
    "status": "publish",
    "sku": "TROJA-R-L",
    "price": "199",
    "manage_stock": True,
    "stock_quantity": 3,
    "image": {"id": 2, "src": "https://shop.example/rod.png"},
    "attributes": [{"name": "Färg", "option": "Röd"}, {"name": "Storlek", "option": "Large"}],
    "date_modified_gmt": "2026-03-01T10:00:00",
}


def page(kind: str, rows: Any, **facts: Any) -> RawPage:
    """A raw page of these rows."""
    return RawPage(kind, json.dumps(rows).encode(), facts)


def rows_of(
    *pages: RawPage, normalizer: Normalizer | None = None
) -> list[CatalogItem | RejectedVariant]:
    """All items and rejected variants of the pages."""
    normalizer = normalizer or Normalizer(SHOP, "SEK")
    return [row for each in pages for row in normalizer.items(each)]


def of_product(**changed: Any) -> CatalogItem | RejectedVariant:
    """The item or rejected variant of a simple product with these fields changed."""
    (row,) = rows_of(page("products", [PRODUCT | changed]))
    return row


def of_variation(parent: dict[str, Any] = PARENT, **changed: Any) -> CatalogItem | RejectedVariant:
    """The item or rejected variant of a variation with these fields changed."""
    (row,) = rows_of(page("products", [parent]), page("variations", [VARIATION | changed]))
    return row


def item(row: CatalogItem | RejectedVariant) -> CatalogItem:
    """The row, which must be an item."""
    assert isinstance(row, CatalogItem), row
    return row


def rejected(row: CatalogItem | RejectedVariant) -> RejectedVariant:
    """The row, which must be a rejected variant."""
    assert isinstance(row, RejectedVariant), row
    return row


def test_a_simple_product_is_one_item() -> None:
    """Every column has its value, and both titles are the product's."""
    assert item(of_product()) == CatalogItem(
        merchant_id="merchant-1",
        platform_name="woocommerce",
        platform_shop_id="wc-1",
        domain="shop.example",
        product_id="10",
        variant_id="10_default",
        product_title="Mugg",
        variant_title="Mugg",
        sku="MUGG",
        price=Decimal("49.90"),
        currency="SEK",
        inventory=5,
        image_url="https://shop.example/mugg.png",
        created_at=datetime(2026, 1, 1, 10, tzinfo=UTC),
        updated_at=datetime(2026, 2, 1, 10, tzinfo=UTC),
        product_status=ProductStatus.ACTIVE,
    )


def test_a_variation_is_joined_with_its_parent() -> None:
    """Title, creation and status are the parent's, and the later change of the two counts."""
    found = item(of_variation())
    assert (found.product_id, found.variant_id) == ("20", "21")
    assert (found.product_title, found.variant_title) == ("Tröja", "Röd, Large")
    assert (found.sku, found.price, found.inventory) == ("TROJA-R-L", Decimal(199), 3)
    assert found.image_url == "https://shop.example/rod.png"
    assert found.created_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert found.updated_at == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("", None),
        (None, None),
        ("0", Decimal(0)),
        ("0.1234", Decimal("0.1234")),
        (".5", Decimal("0.5")),
        ("1.0E-5", Decimal("0.00001")),
        (950, Decimal(950)),
    ],
)
def test_no_price_is_null_and_free_is_zero(written: Any, price: Decimal | None) -> None:
    """See docs/facts/woocommerce.md, Prices."""
    assert item(of_product(price=written)).price == price


@pytest.mark.parametrize(
    "written", ["12,50", "1 000", "free", "NaN", "1e400", "1_0", "\u0661", True, ["1"], "9" * 40]
)
def test_a_price_that_is_no_number_is_rejected(written: Any) -> None:
    """It is neither guessed nor zero."""
    assert "price" in rejected(of_product(price=written)).reason


def test_a_grouped_product_has_no_price_of_its_own() -> None:
    """The API gives it the price of its cheapest member (docs/facts/woocommerce.md, Prices)."""
    assert item(of_product(type="grouped", price="40.00")).price is None


@pytest.mark.parametrize(
    ("manage_stock", "stock_quantity", "inventory"),
    [(True, 5, 5), (True, -4, -4), (True, None, None), ("parent", 77, 77), (False, 9, None)],
)
def test_stock_is_tracked_where_the_shop_says_so(
    manage_stock: Any, stock_quantity: int | None, inventory: int | None
) -> None:
    """See docs/facts/woocommerce.md, Stock."""
    stock = {"manage_stock": manage_stock, "stock_quantity": stock_quantity}
    assert item(of_variation(**stock)).inventory == inventory


@pytest.mark.parametrize(
    ("written", "whole", "remarked"),
    [
        (2.0, 2, False),
        ("2.0", 2, False),
        ("7", 7, False),
        (2.5, 2, True),
        ("2.5", 2, True),
        (0.75, 0, True),
        (-0.25, -1, True),
        ("-1.5", -2, True),
        (3.9999999999999996, 3, True),
    ],
)
def test_goods_by_weight_are_items_with_their_whole_units(
    written: Any, whole: int, remarked: bool
) -> None:
    """A fraction is rounded down, with a remark, and the product is not lost.

    https://github.com/woocommerce/woocommerce/pull/48541 lets merchants sell 2.5 metres of linen.
    """
    remarks = Remarks()
    (row,) = rows_of(
        page("products", [PRODUCT | {"stock_quantity": written}]),
        normalizer=Normalizer(SHOP, "SEK", remarks),
    )
    assert item(row).inventory == whole
    assert [("was rounded down" in one) for one in remarks.warnings()] == [True] * remarked


@pytest.mark.parametrize("written", ["NaN", "two", True, "", [2], "1e999", "2,5"])
def test_a_quantity_that_is_no_number_is_rejected(written: Any) -> None:
    """Nothing is guessed."""
    assert "stock_quantity: is not" in rejected(of_product(stock_quantity=written)).reason


@pytest.mark.parametrize(
    ("said", "sellable"),
    [
        ({"purchasable": True, "stock_status": "instock"}, True),
        ({"purchasable": True, "stock_status": "onbackorder"}, True),
        ({"purchasable": True, "stock_status": "on-request"}, True),
        ({"purchasable": True, "stock_status": "outofstock"}, False),
        ({"purchasable": False, "stock_status": "instock"}, False),
        ({"purchasable": False}, False),
        ({"purchasable": "yes", "stock_status": "instock"}, True),
        ({"purchasable": 1, "stock_status": "onbackorder"}, True),
        ({"purchasable": "no", "stock_status": "instock"}, False),
        ({"purchasable": 0, "stock_status": "instock"}, False),
        ({"stock_status": "outofstock"}, False),
        ({"purchasable": True}, None),
        ({"stock_status": "instock"}, None),
        ({"purchasable": "maybe", "stock_status": "instock"}, None),
        ({}, None),
    ],
)
def test_what_may_be_bought_is_what_the_shop_calls_purchasable_and_in_stock(
    said: dict[str, Any], sellable: bool | None
) -> None:
    """Null where the shop does not tell. A word of a plugin's is in stock, as in WooCommerce."""
    assert item(of_product(**said)).sellable is sellable
    assert item(of_variation(**said)).sellable is sellable


@pytest.mark.parametrize("status", ["draft", "pending", "private", "future"])
def test_what_is_not_published_is_not_sellable(status: str) -> None:
    """Drafts are purchasable to the owner of the key, and to nobody else."""
    said = {"purchasable": True, "stock_status": "instock"}
    assert item(of_product(status=status, **said)).sellable is False
    assert item(of_variation(PARENT | {"status": status}, **said)).sellable is False
    assert item(of_variation(status=status, **said)).sellable is False
    assert item(of_variation(status=status, **said)).product_status is not ProductStatus.ACTIVE


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ("publish", ProductStatus.ACTIVE),
        ("draft", ProductStatus.DRAFT),
        ("pending", ProductStatus.PENDING),
        ("private", ProductStatus.PRIVATE),
        ("future", ProductStatus.SCHEDULED),
    ],
)
def test_statuses_become_the_catalogs_words(status: str, found: ProductStatus) -> None:
    """A variation has its parent's status, unless it is disabled itself.

    See docs/facts/woocommerce.md, Attributes and disabled variations.
    """
    assert item(of_product(status=status)).product_status is found
    assert item(of_variation(PARENT | {"status": status})).product_status is found
    disabled = of_variation(PARENT | {"status": status}, status="private")
    assert item(disabled).product_status is ProductStatus.PRIVATE


def test_an_unknown_status_is_rejected() -> None:
    """A plugin's own status is not mapped to one of ours."""
    reason = rejected(of_product(status="archived")).reason
    assert reason == "status: is not one of publish, draft, pending, private, future ('archived')"


@pytest.mark.parametrize("status", ["archived", "trash", None, 5, ["publish"]])
def test_a_reject_says_in_which_status_its_product_is(status: Any) -> None:
    """So its last good row does not stay on offer."""
    assert rejected(of_product(status=status)).product_status is ProductStatus.UNKNOWN
    assert rejected(of_variation(status=status)).product_status is ProductStatus.UNKNOWN
    bad = {"price": "free"}
    assert rejected(of_product(status="draft", **bad)).product_status is ProductStatus.DRAFT
    of_draft = of_variation(PARENT | {"status": "draft"}, **bad)
    assert rejected(of_draft).product_status is ProductStatus.DRAFT
    assert rejected(of_product(**bad)).product_status is ProductStatus.ACTIVE
    assert rejected(of_variation(**bad)).product_status is ProductStatus.ACTIVE


@pytest.mark.parametrize(
    ("written", "price"),
    [
        (3746.1360000000004, "3746.136"),
        (7401.7119999999995, "7401.712"),
        ("7401.7119999999995", "7401.712"),
        (1636.208, "1636.208"),
        ("14.309999999999999", "14.31"),
        (0.30000000000000004, "0.3"),
        ("3746.13600000000042200554", "3746.136"),
        (10009.99 - 10000, "9.99"),
        (1358024679.1320002, "1358024679.132"),
        (-3746.1360000000004, "-3746.136"),
    ],
)
def test_the_noise_of_a_float_is_no_part_of_a_price(written: Any, price: str) -> None:
    """Pricing plugins compute in floats, and PHP writes all of their digits.

    https://github.com/woocommerce/woocommerce/issues/27911
    """
    assert item(of_product(price=written)).price == Decimal(price)
    assert item(of_variation(price=written)).price == Decimal(price)


@pytest.mark.parametrize(
    "written",
    [
        "1.1234567",
        0.0000001,
        100 / 1.19,
        "0.3333333333333333",
        "84.03361344537815",
        "3746.1360004",
        "19.99000000001",
        "1.000000000001",
        "1234567890.1234567",
        5.551115123125783e-17,
    ],
)
def test_a_price_that_really_has_more_decimals_is_rejected(written: Any) -> None:
    """So is noise around nothing: no product becomes free by rounding."""
    assert "price: has more than six decimals" in rejected(of_product(price=written)).reason


@pytest.mark.parametrize(
    ("changed", "title"),
    [
        ({}, "Röd, Large"),
        ({"name": ""}, "Röd, Large"),
        ({"name": "", "attributes": []}, "Tröja"),
        ({"name": "<b>Fet</b> &amp; \u202eRTL  "}, "<b>Fet</b> &amp; \u202eRTL  "),
    ],
)
def test_a_variation_has_the_best_title_there_is(changed: dict[str, Any], title: str) -> None:
    """It is its name byte for byte, else its options, else the product's title."""
    assert item(of_variation(**changed)).variant_title == title


@pytest.mark.parametrize("name", ["Tröja - Röd, Large", "Tröja"])
def test_a_title_does_not_depend_on_the_endpoint(name: str) -> None:
    """wc-analytics names variations in its own way, but an update may not change titles."""
    from_analytics = page("variations", [VARIATION | {"name": name}], endpoint=ANALYTICS_VARIATIONS)
    (row,) = rows_of(page("products", [PARENT]), from_analytics)
    assert item(row).variant_title == item(of_variation()).variant_title == "Röd, Large"


def test_answers_of_old_versions_are_enough() -> None:
    """Before 8.3, the page has the parent_id, and the options stand for the name."""
    old = {name: value for name, value in VARIATION.items() if name not in LATER_VARIATION_FIELDS}
    (row,) = rows_of(page("products", [PARENT]), page("variations", [old], parent_id=20))
    assert (item(row).product_id, item(row).variant_title) == ("20", "Röd, Large")
    (row,) = rows_of(page("products", [PARENT]), page("variations", [old]))
    assert "parent_id" in rejected(row).reason


@pytest.mark.parametrize("image", [None, [], False, {"src": ""}, {"src": None}, {}])
def test_a_variation_without_an_image_has_the_products(image: Any) -> None:
    """If the product has none either, there is none."""
    assert item(of_variation(image=image)).image_url == "https://shop.example/mugg.png"
    assert item(of_variation(PARENT | {"images": []}, image=image)).image_url is None


def test_dates_that_are_not_set_are_null() -> None:
    """A draft has no creation yet. Of two changes, one may be unknown."""
    draft = {"date_created_gmt": None, "date_modified_gmt": None}
    assert item(of_product(**draft)).created_at is None
    assert item(of_variation(PARENT | draft)).updated_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    only_parents = item(of_variation(date_modified_gmt=None)).updated_at
    assert only_parents == datetime(2026, 2, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("sku", [None, "", " 0 "])
def test_a_sku_is_kept_as_given(sku: str | None) -> None:
    """Null stays null and empty stays empty."""
    assert item(of_product(sku=sku)).sku == sku
    assert item(of_variation(sku=sku)).sku == sku


def test_a_variable_product_without_variations_is_an_item() -> None:
    """It is in the shop, so it is in the catalog."""
    found = item(of_product(type="variable", price=""))
    assert (found.variant_id, found.price) == ("10_default", None)


def test_types_of_extensions_go_by_their_variations() -> None:
    """A subscription with variations is sold as these, and one without as itself."""
    parent = PARENT | {"type": "variable-subscription"}
    assert item(of_variation(parent)).variant_id == "21"
    assert item(of_product(type="subscription")).variant_id == "10_default"


def test_variations_of_no_variable_product_are_left_out_and_counted() -> None:
    """They belong to drafts that are not read, to no product, or to one that is simple now."""
    normalizer = Normalizer(SHOP, "SEK")
    rows = rows_of(
        page("products", [PRODUCT, PARENT]),
        page("variations", [VARIATION | {"parent_id": parent} for parent in (0, 10, 999)]),
        normalizer=normalizer,
    )
    assert [item(row).variant_id for row in rows] == ["10_default"]
    assert normalizer.left_out == 3


def test_variations_of_a_product_that_cannot_be_read_are_rejected_with_it() -> None:
    """If they were left out, they would look deleted."""
    rows = rows_of(page("products", [PARENT | {"status": "odd"}]), page("variations", [VARIATION]))
    product, variation = map(rejected, rows)
    assert (product.product_id, product.variant_id) == ("20", None)
    assert (variation.product_id, variation.variant_id) == ("20", "21")
    assert variation.reason.startswith("its product: status: is not one of")
    assert variation.raw["sku"] == "TROJA-R-L"


@pytest.mark.parametrize("field", PRODUCT_FIELDS)
def test_a_product_field_that_is_missing_is_not_a_null(field: str) -> None:
    """A plugin cut the answer down, and the reason names the field."""
    cut = {name: value for name, value in PRODUCT.items() if name != field}
    (row,) = rows_of(page("products", [cut]))
    assert field in rejected(row).reason


@pytest.mark.parametrize("field", VARIATION_FIELDS)
def test_a_variation_field_that_is_missing_is_not_a_null(field: str) -> None:
    """The same holds for variations."""
    cut = {name: value for name, value in VARIATION.items() if name != field}
    (row,) = rows_of(page("products", [PARENT]), page("variations", [cut]))
    assert field in rejected(row).reason


def test_a_value_that_the_catalog_cannot_hold_is_rejected_by_name() -> None:
    """One bad variation does not lose the others of its page."""
    bad = VARIATION | {"id": 22, "sku": "a\x00b", "name": "\ud800", "stock_quantity": 2**31}
    rows = rows_of(page("products", [PARENT]), page("variations", [bad, VARIATION]))
    assert rejected(rows[0]).variant_id == "22"
    assert "sku: contains a NUL character" in rejected(rows[0]).reason
    assert "variant_title: contains half of a surrogate pair" in rejected(rows[0]).reason
    assert "inventory" in rejected(rows[0]).reason
    assert item(rows[1]).variant_id == "21"


@pytest.mark.parametrize("body", [b"{}", b"null", b"[1]", b"[[]]", b"<html>", b"", b'[{"id": 1'])
@pytest.mark.parametrize("kind", ["products", "variations"])
def test_a_page_that_is_no_list_of_objects_breaks_the_contract(kind: str, body: bytes) -> None:
    """It raises InvalidResponse, and no row is skipped."""
    with pytest.raises(InvalidResponse):
        rows_of(RawPage(kind, body))


def test_a_page_of_another_kind_breaks_the_contract() -> None:
    """Another adapter's snapshot does not pass for an empty one."""
    with pytest.raises(InvalidResponse, match="'orders'"):
        rows_of(RawPage("orders", b"[]"))


def test_real_odd_products_are_what_they_look_like(real_answer: Callable[[str], Any]) -> None:
    """In recorded answers, titles are byte for byte, prices exact, and stock as the shop has it."""
    products = real_answer("products")
    normalizer = Normalizer(SHOP, "SEK")
    rows = rows_of(
        page("products", products),
        page("variations", real_answer("variations")),
        normalizer=normalizer,
    )
    items = {row.variant_id: row for row in map(item, rows)}
    assert (
        normalizer.left_out == 3
    )  # The variations of the product that was variable and is simple now.
    assert items["174_default"].product_title == (
        "<b>Fet</b> & <i>kursiv</i> <script>alert(1)</script> produkt"
    )
    assert items["178_default"].product_title == "Rad\ttab och  dubbla   blanksteg"
    assert (items["180_default"].price, items["181_default"].price) == (None, Decimal(0))
    assert items["182_default"].sku == ""
    assert items["183_default"].image_url is None
    assert (items["184_default"].inventory, items["186_default"].inventory) == (None, -4)
    assert items["199_default"].product_status is ProductStatus.SCHEDULED
    assert items["1890_default"].product_status is ProductStatus.DRAFT
    assert items["1869_default"].price is None
    assert {items[str(number)].sku for number in (357, 358, 359)} == {"VAR3-35"}
    assert items["362"].product_status is ProductStatus.PRIVATE
    assert (items["366"].price, items["365"].price) == (None, Decimal("211.00"))
    assert items["369"].variant_title == "Trevariant 38"
    assert {items[str(number)].inventory for number in (377, 378, 379)} == {77}
    for product in products:
        if f"{product['id']}_default" in items:
            assert items[f"{product['id']}_default"].product_title == product["name"]


@pytest.mark.parametrize(
    "name",
    ["Tea &amp; biscuits", "Tea & biscuits", "&lt;gift&gt;&nbsp;box", "5&#8243; pot", "&amp;amp;"],
)
def test_entities_in_names_stay_as_they_are(name: str) -> None:
    """If they were decoded, `&lt;b&gt;` would become `<b>`. The reader decodes a title."""
    assert item(of_product(name=name)).product_title == name
    found = item(of_variation(PARENT | {"name": name}, name=name))
    assert (found.product_title, found.variant_title) == (name, name)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters())
    | st.sampled_from(
        ["", "publish", "private", "variable", "simple", "parent", "0", "1.50", "1E9"]
    )
    | st.from_regex(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d)?\Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(PRODUCT_FIELDS), json_values))
def test_no_value_in_a_product_breaks_the_mapping(changed: dict[str, Any]) -> None:
    """Any JSON in any field gives an item, a parent or a rejected variant."""
    sent = PRODUCT | changed
    for row in rows_of(page("products", [sent])):
        if isinstance(row, CatalogItem):
            assert row.product_id == str(as_text(sent["id"])).removesuffix(".0")
            assert row.product_title == row.variant_title == as_text(sent["name"])
            assert_values_are_as_sent(row, sent)


@given(
    st.dictionaries(st.sampled_from(VARIATION_FIELDS + LATER_VARIATION_FIELDS), json_values),
    st.dictionaries(st.sampled_from(PRODUCT_FIELDS), json_values, max_size=1),
)
@example({"name": 2.5443427273599464e16}, {})
def test_no_value_in_a_variation_breaks_the_mapping(
    changed: dict[str, Any], parent_changed: dict[str, Any]
) -> None:
    """The same holds for variations with any parent."""
    sent = VARIATION | changed
    pages = page("products", [PARENT | parent_changed]), page("variations", [sent], parent_id=20)
    for row in rows_of(*pages):
        if isinstance(row, CatalogItem) and not row.variant_id.endswith("_default"):
            assert row.variant_id == str(as_text(sent["id"])).removesuffix(".0")
            if sent["name"] not in ("", None):
                assert row.variant_title == as_text(sent["name"])
            assert_values_are_as_sent(row, sent)


def as_text(sent: Any) -> Any:
    """Numbers with the digits that are written, because PHP makes numbers of texts of digits."""
    if isinstance(sent, float):
        return str(Decimal(repr(sent)))
    return str(sent) if isinstance(sent, int) and not isinstance(sent, bool) else sent


def assert_values_are_as_sent(row: CatalogItem, sent: dict[str, Any]) -> None:
    """Assert that the values of an item equal those that the platform sent."""
    assert row.sku == as_text(sent["sku"])
    if row.price is None:
        assert sent["price"] in (None, "") or sent.get("type") == "grouped"
    else:
        assert abs(row.price - Decimal(str(sent["price"]))) < Decimal("1e-6")
    if sent["manage_stock"] in (False, "0") or sent["stock_quantity"] is None:
        assert row.inventory is None
    else:
        assert row.inventory == math.floor(Decimal(str(sent["stock_quantity"])))
