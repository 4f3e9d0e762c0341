"""Generated catalogs are the same everywhere, of any size, and begin with awkward products."""

import subprocess
import sys
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.sandbox.shops.draws import draw, money
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import InvalidSpec, ShopSpec, spec_from_json

DIGEST = """
from hashlib import sha256
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.shop import SandboxShop
print(sha256(repr([expected_items(SandboxShop(s)) for s in DEFAULT_SHOPS]).encode()).hexdigest())
"""


def spec(platform: str, **fields: object) -> ShopSpec:
    return spec_from_json(platform, "shop.example", fields)


def test_every_process_generates_the_same_catalog() -> None:
    """Two processes with different hash seeds agree on every row of every default shop."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_product_does_not_depend_on_the_number_of_products() -> None:
    """A larger shop begins with the smaller one, and products can be asked for in any order."""
    small = SandboxShop(spec("shopify", products=30))
    large = SandboxShop(spec("shopify", products=100_000))
    last = large.product_ids()[-1]
    assert large.product(last) is not None
    assert list(small.products()) == [large.product(number) for number in small.product_ids()]


@pytest.mark.parametrize("platform", ["shopify", "woocommerce"])
def test_ids_are_unique_within_a_shop(platform: str) -> None:
    """Products and variants share no id, and `variant_ids` has those of the generated variants."""
    shop = SandboxShop(spec(platform, products=200, variants=(1, 9), big_products=[300, 2048]))
    ids: Counter[int] = Counter()
    for product in shop.products():
        own = [variant.id for variant in shop_variants(product)]
        assert list(shop.variant_ids(product.id)) == own
        ids.update([product.id, *own])
    assert max(ids.values()) == 1


def shop_variants(product: object) -> tuple[object, ...]:
    return getattr(product, "variants", None) or getattr(product, "variations", ())


def test_awkward_content_opens_every_catalog() -> None:
    """Quotes, tabs, newlines, backslash-N, entities, spaces, length and NFD are all there."""
    for platform in ("shopify", "woocommerce"):
        titles = {
            getattr(product, "title", None) or getattr(product, "name", "")
            for product in SandboxShop(spec(platform, products=24)).products()
        }
        joined = "".join(titles)
        for piece in ('"', "\t", "\n", "\r\n", "\\N", "\\", "&amp;", "<b>", "\u200d"):
            assert piece in joined
        assert any(title != title.strip() for title in titles)
        assert any(len(title) == 255 for title in titles)
        assert any(unicodedata.normalize("NFC", title) != title for title in titles)
        assert any(unicodedata.bidirectional(title[0]) == "AL" for title in titles if title)


def test_values_that_readers_confuse_are_all_there() -> None:
    """A price of 0 and no price, an SKU of "", "0" and null, stock of null and below zero."""
    shopify = expected_items(SandboxShop(spec("shopify", products=24)))
    woo = expected_items(SandboxShop(spec("woocommerce", products=24)))
    assert {None, "", "0"} <= {item["sku"] for item in shopify}
    assert {"", "0"} <= {item["sku"] for item in woo}
    assert any(item["price"] == 0 for item in shopify)
    assert {None, 0} <= {item["price"] for item in woo}
    for items in (shopify, woo):
        assert any(item["inventory"] is None for item in items)
        assert any((item["inventory"] or 0) < 0 for item in items)
        assert any(item["image_url"] is None for item in items)
    assert {item["product_status"] for item in shopify} == {
        "active", "draft", "archived", "unlisted",
    }  # fmt: skip
    assert {item["product_status"] for item in woo} == {"active", "private"}
    assert any(item["variant_title"] == "Default Title" for item in shopify)


@pytest.mark.parametrize(
    ("currency", "amount", "text"),
    [("JPY", 1200, "1200"), ("SEK", 94995, "949.95"), ("KWD", 5, "0.005")],
)
def test_prices_have_the_decimals_of_their_currency(currency: str, amount: int, text: str) -> None:
    """By ISO 4217 yen have none and dinars three."""
    assert money(amount, spec("shopify", currency=currency).decimals) == text


@given(st.integers(), st.lists(st.integers(min_value=0), max_size=4))
def test_draws_are_64_bits_and_repeatable(seed: int, place: list[int]) -> None:
    """Any seed and place give one number, always the same."""
    assert 0 <= draw(seed, *place) < 2**64
    assert draw(seed, *place) == draw(seed, *place)


@pytest.mark.parametrize(
    ("platform", "fields", "reason"),
    [
        ("etsy", {}, "platform"),
        ("shopify", {"variants": [0, 3]}, "variants"),
        ("shopify", {"variants": 2049}, "variants"),
        ("shopify", {"big_products": [2049]}, "big_products"),
        ("woocommerce", {"products": -1}, "not negative"),
        ("woocommerce", {"nonsense": 1}, "unknown: nonsense"),
    ],
)
def test_an_impossible_shop_is_refused_with_its_reason(
    platform: str, fields: dict[str, object], reason: str
) -> None:
    """The message names the wrong field of the spec."""
    with pytest.raises(InvalidSpec, match=reason):
        spec(platform, **fields)
