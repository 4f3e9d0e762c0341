"""Promises of a whole fetch from a shop that writes other JSON types than WooCommerce documents."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.platforms.woocommerce.shop_reading import (
    ANALYTICS,
    BY_PARENT,
    ENDPOINTS,
    SMALL,
    Reading,
)

SINCE = datetime(2026, 11, 20, 12, tzinfo=UTC)
TAKEN: list[dict[str, str]] = [
    {"variations": "objects"},
    {"variations": "dictionary"},
    {"variations": "gaps"},
    {"variations": "keyed"},
    {"variations": "text"},
    {"variations": "fractions"},
    {"id": "text", "parent_id": "text"},
    {"id": "fraction", "parent_id": "fraction"},
    {"sku": "number", "name": "number"},
    {"manage_stock": "yes", "stock_quantity": "text"},
    {"manage_stock": "one", "stock_quantity": "fraction"},
    {"images": "single", "image": "list"},
    {"images": "false"},
    {"images": "object"},
    {"id": "text", "parent_id": "text", "variations": "keyed", "sku": "number", "images": "object"},
]


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """One sandbox for the module."""
    with SandboxServer(()) as running:
        yield running


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("forms", TAKEN, ids=repr)
async def test_what_has_one_meaning_is_taken(
    server: SandboxServer, forms: dict[str, str], endpoint: str
) -> None:
    """The catalog and the counts are the same as with the documented types."""
    spec = replace(SMALL, domain="odd.example", **ENDPOINTS[endpoint])
    server.store.put(spec).forms = dict(forms)
    reading = Reading(server, spec, batch_size=20)
    await reading.read()
    assert reading.items() == reading.expected()
    assert (reading.report.complete, reading.report.warnings) == (True, [])


@pytest.mark.parametrize("form", ["objects", "keyed", "text"])
async def test_an_increment_takes_them_too(server: SandboxServer, form: str) -> None:
    """Parents of changed variations are asked for by their ids."""
    spec = replace(SMALL, domain="odd.example", **ENDPOINTS[ANALYTICS])
    shop = server.store.put(spec)
    shop.forms = {"variations": form, "id": "text", "parent_id": "text"}
    sold = next(
        each.id
        for product in shop.products()
        if product.status == "publish"
        for each in getattr(product, "variations", ())
    )
    shop.edit_variant(sold, {"stock_quantity": 7}, at=SINCE + timedelta(hours=1))
    reading = Reading(server, spec)
    await reading.read(SINCE)
    assert [row["variant_id"] for row in reading.items()] == [str(sold)]
    assert reading.report.complete


@pytest.mark.parametrize("endpoint", [ANALYTICS, BY_PARENT])
@pytest.mark.parametrize("form", ["null", "bare", "unreadable"])
async def test_a_product_whose_variations_have_no_meaning_is_not_without_variations(
    server: SandboxServer, form: str, endpoint: str
) -> None:
    """It is rejected with its id, so its live items stay, and no item is made of it alone."""
    spec = replace(SMALL, domain="odd.example", awkward=False, **ENDPOINTS[endpoint])
    shop = server.store.put(spec)
    shop.forms = {"variations": form}
    reading = Reading(server, spec)
    await reading.read()
    rows = list(reading.api.normalize(reading.shop, "SEK", reading.pages))
    items = {row.variant_id for row in rows if isinstance(row, CatalogItem)}
    expected = {row["variant_id"] for row in reading.expected()}
    assert items == {each for each in expected if each.endswith("_default")}
    rejected = [row for row in rows if isinstance(row, RejectedVariant)]
    whole = {row.product_id for row in rejected if row.variant_id is None}
    assert whole == {row["product_id"] for row in reading.expected()} - {
        each.removesuffix("_default") for each in items
    }
    assert expected - items <= {row.variant_id for row in rejected}
