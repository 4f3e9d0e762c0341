"""The values that a catalog item may hold."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connector_pipeline.model.catalog_item import ITEM_COLUMNS, CatalogItem, ProductStatus

ITEM: dict[str, Any] = {
    "merchant_id": "m-1",
    "platform_name": "shopify",
    "platform_shop_id": "42",
    "domain": "acme.myshopify.com",
    "product_id": "1",
    "variant_id": "2",
    "product_title": "Tea",
    "variant_title": "100 g",
    "sku": None,
    "price": Decimal("9.95"),
    "currency": "SEK",
    "inventory": None,
    "image_url": None,
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "updated_at": None,
    "product_status": ProductStatus.ACTIVE,
    "sellable": None,
}


def item(**changes: Any) -> CatalogItem:
    return CatalogItem(**(ITEM | changes))


def test_the_columns_are_in_the_order_of_the_internal_schema() -> None:
    """COPY and frames rely on this order."""
    assert tuple(ITEM) == ITEM_COLUMNS


@pytest.mark.parametrize("sellable", [1, 0, "true", "yes", ""])
def test_sellable_is_true_false_or_null_and_nothing_like_them(sellable: object) -> None:
    """A platform's other words are the adapters' to read."""
    with pytest.raises(ValidationError):
        item(sellable=sellable)


@pytest.mark.parametrize("price", [1.5, "NaN", "Infinity", "1e30", "0.0000001", "-1e14"])
def test_a_price_that_postgres_would_change_is_refused(price: object) -> None:
    """numeric(20,6) must hold the price exactly, and a float never was exact."""
    with pytest.raises(ValidationError):
        item(price=price)


@given(st.decimals() | st.builds("{}E{}".format, st.integers(), st.integers()))
def test_every_other_price_is_refused_and_none_is_changed(price: Decimal | str) -> None:
    """Prices with a million digits in their exponent, too."""
    try:
        kept = item(price=price).price
    except ValidationError:
        return
    assert kept == Decimal(price)
    assert kept == round(kept, 6)
    assert abs(kept) < Decimal(10) ** 14


@given(
    st.decimals(
        min_value=Decimal("-99999999999999.999999"),
        max_value=Decimal("99999999999999.999999"),
        places=6,
    )
)
def test_every_price_the_column_holds_is_kept_exactly(price: Decimal) -> None:
    """Six decimals, fourteen digits before the point, either sign."""
    assert item(price=str(price)).price == price


@given(st.text())
def test_text_is_kept_byte_for_byte_or_refused(title: str) -> None:
    """The item refuses only text that Postgres cannot hold: NUL, and halves of surrogate pairs."""
    storable = "\x00" not in title and not any(0xD800 <= ord(char) <= 0xDFFF for char in title)
    if storable:
        assert item(product_title=title).product_title == title
    else:
        with pytest.raises(ValidationError):
            item(product_title=title)


@pytest.mark.parametrize("title", ["\x00", "a\ud800b", "\udfff"])
def test_text_that_postgres_cannot_hold_is_refused(title: str) -> None:
    """JSON can send NUL and half of a surrogate pair; Postgres can store neither."""
    with pytest.raises(ValidationError):
        item(sku=title)


@pytest.mark.parametrize("inventory", [2**31, -(2**31) - 1, 1.0, "1", True])
def test_an_inventory_that_the_column_cannot_hold_is_refused(inventory: object) -> None:
    """The column holds 32-bit integers: no fractions, no text, no larger numbers."""
    with pytest.raises(ValidationError):
        item(inventory=inventory)


def test_times_become_utc() -> None:
    """The item holds the same instant, in UTC."""
    given_time = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    found = item(created_at=given_time).created_at
    assert found == given_time
    assert found is not None
    assert found.tzinfo is UTC


def test_a_time_without_zone_is_refused() -> None:
    """A naive time is a guess."""
    with pytest.raises(ValidationError):
        item(created_at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_null_stays_null() -> None:
    """No price is not a price of 0, and unknown stock is not 0 pieces."""
    empty = item(price=None, inventory=None, sku=None)
    assert (empty.price, empty.inventory, empty.sku) == (None, None, None)


IDS = ["merchant_id", "platform_shop_id", "domain", "product_id", "variant_id"]


@pytest.mark.parametrize("field", IDS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "1" * 256,
        "9" * 4_000,
        "é" * 128,
        "😀" * 64,
        "1\n",
        "\x00",
        "1\u3164",
        "1\u200b",
        "1\ufe0f",
    ],
)
def test_an_id_that_no_index_could_hold_or_nobody_tell_from_another_is_refused(
    field: str, text: str
) -> None:
    """It is judged in bytes, and every character shows; the error names the field."""
    with pytest.raises(ValidationError) as refused:
        item(**{field: text})
    assert [problem["loc"] for problem in refused.value.errors()] == [(field,)]


def test_an_id_of_255_bytes_is_kept() -> None:
    """In characters of any length."""
    for text in ("1" * 255, "é" * 127, "😀" * 63):
        assert item(variant_id=text).variant_id == text


@pytest.mark.parametrize("field", ["product_title", "variant_title", "sku", "image_url"])
@pytest.mark.parametrize("text", ["a" * 65_536, "é" * 32_768, "😀" * 16_384, "a" * 10_000_000])
def test_a_text_longer_than_any_title_is_refused(field: str, text: str) -> None:
    """It is judged in bytes, and never cut."""
    with pytest.raises(ValidationError) as refused:
        item(**{field: text})
    assert [problem["loc"] for problem in refused.value.errors()] == [(field,)]
    assert item(**{field: text[:16_383]}).model_dump()[field] == text[:16_383]
