"""Promises of a fetch of changes, kept against the sandbox's WooCommerce."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_pipeline.platforms.woocommerce.reading.changes import is_older, modified_after
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.platforms.woocommerce.shop_reading import (
    ALL_VARIATIONS,
    ANALYTICS,
    BY_PARENT,
    ENDPOINTS,
    PRODUCTS,
    SMALL,
    Reading,
)

SINCE = datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)
"""Later than all that the sandbox generates."""

SAME_SECOND = SINCE.replace(microsecond=0)
LATER = SAME_SECOND + timedelta(hours=1)
CURRENCY = "/wc/v3/data/currencies/current"


def put(sandbox: SandboxServer, **spec: Any) -> tuple[ShopSpec, SandboxShop]:
    """A shop like SMALL."""
    made = replace(SMALL, **spec)
    return made, sandbox.store.put(made)


def variables(shop: SandboxShop) -> list[WooProduct]:
    """The shop's published products with variations."""
    return [
        each
        for each in shop.products()
        if isinstance(each, WooProduct)
        and each.type == "variable"
        and each.variations
        and each.status == "publish"
    ]


def simple(shop: SandboxShop) -> WooProduct:
    """A published product without variations."""
    for each in shop.products():
        if isinstance(each, WooProduct) and each.type == "simple" and each.status == "publish":
            return each
    raise AssertionError("no simple product")


def ids_of(product: WooProduct) -> set[str]:
    """The variant ids of a product."""
    return {str(each.id) for each in product.variations} or {f"{product.id}_default"}


async def after_full_sync(sandbox: SandboxServer, spec: ShopSpec) -> Reading:
    """A reading with the memory of a full sync, and a log that begins with it."""
    full, reading = Reading(sandbox, spec), Reading(sandbox, spec)
    await full.read()
    reading.report.learned = full.report.learned
    sandbox.requests.clear()
    return reading


def expected(reading: Reading, ids: set[str]) -> list[dict[str, Any]]:
    """The rows of these variants by the shop's own records."""
    return [row for row in reading.expected() if row["variant_id"] in ids]


@pytest.mark.parametrize("endpoint", [ALL_VARIATIONS, ANALYTICS])
@pytest.mark.parametrize("offset", [-300, 0, 120], ids="{:+}m".format)
async def test_exactly_what_changed_is_read(
    sandbox: SandboxServer, endpoint: str, offset: int
) -> None:
    """This holds in any zone of the site, and for each of the two dates.

    See docs/facts/woocommerce.md, Changes since a time and Which dates move.
    """
    spec, shop = put(sandbox, utc_offset_minutes=offset, **ENDPOINTS[endpoint])
    stocked, repriced, renamed, *_ = variables(shop)
    shop.edit_variant(stocked.variations[0].id, {"stock_quantity": 77}, at=LATER)
    shop.edit_variant(repriced.variations[1].id, {"price": "12.34"}, at=LATER)
    shop.edit_product(renamed.id, {"name": "Renamed &amp; Söner"}, at=SAME_SECOND)
    edited = simple(shop)
    shop.edit_product(edited.id, {"price": "5"}, at=LATER)
    trashed = variables(shop)[-1]
    shop.trash_product(trashed.id, at=LATER)
    (added,) = shop.append_products(1, at=LATER)
    shop.edit_product(added, {"status": "publish"}, at=LATER)
    reading = Reading(sandbox, spec)
    await reading.read(SINCE)
    new = shop.product(added)
    assert isinstance(new, WooProduct)
    ids = {str(stocked.variations[0].id)}.union(*map(ids_of, (repriced, renamed, edited, new)))
    assert reading.items() == expected(reading, ids)
    assert len(reading.items()) == len(ids)
    report = reading.report
    assert (report.complete, report.read_in_full, report.warnings) == (True, False, [])
    assert report.details["variations_endpoint"] == endpoint
    assert report.details["parents_of_variations"] == 1


@pytest.mark.parametrize("endpoint", [ALL_VARIATIONS, ANALYTICS])
async def test_a_shop_where_nothing_changed_costs_two_requests_a_list(
    sandbox: SandboxServer, endpoint: str
) -> None:
    """One is for its changes and one for its length.

    The currency costs one more, and so does a list that the shop lacks.
    """
    spec, _ = put(sandbox, **ENDPOINTS[endpoint])
    reading = await after_full_sync(sandbox, spec)
    await reading.read(SINCE)
    not_there = [ALL_VARIATIONS] if endpoint == ANALYTICS else []
    assert reading.paths() == [PRODUCTS, *not_there, endpoint, CURRENCY, PRODUCTS, endpoint]
    assert reading.items() == []
    assert reading.report.complete


async def test_an_order_costs_one_more_request(sandbox: SandboxServer) -> None:
    """It asks for the products by id, for any number of variations."""
    spec, shop = put(sandbox)
    sold = [each for product in variables(shop) for each in product.variations]
    for each in sold:
        shop.edit_variant(each.id, {"stock_quantity": 1, "manage_stock": True}, at=LATER)
    reading = await after_full_sync(sandbox, spec)
    await reading.read(SINCE)
    lengths = [PRODUCTS, ALL_VARIATIONS]
    assert reading.paths() == [PRODUCTS, ALL_VARIATIONS, CURRENCY, PRODUCTS, *lengths]
    assert reading.items() == expected(reading, {str(each.id) for each in sold})


@pytest.mark.parametrize("endpoint", [ALL_VARIATIONS, ANALYTICS])
@pytest.mark.parametrize("batch_size", [3, 100])
async def test_a_bulk_edit_of_everything_is_read_once_each(
    sandbox: SandboxServer, endpoint: str, batch_size: int
) -> None:
    """Products and variations in both lists make one item each, in pages of any size."""
    spec, shop = put(sandbox, former_variables=2, **ENDPOINTS[endpoint])
    for product in list(shop.products()):
        shop.edit_product(product.id, {}, at=LATER)
        for each in getattr(product, "variations", ()):
            shop.edit_variant(each.id, {}, at=LATER)
    reading = Reading(sandbox, spec, batch_size=batch_size)
    await reading.read(SINCE)
    assert reading.items() == reading.expected()
    assert (reading.report.complete, reading.report.warnings) == (True, [])


async def test_variations_of_what_is_not_read_are_left_out(sandbox: SandboxServer) -> None:
    """Those of a draft, and of a product that is no longer variable, make no row."""
    spec, shop = put(sandbox, former_variables=1)
    draft, former, *_ = variables(shop)
    shop.edit_product(draft.id, {"status": "draft"})
    shop.edit_product(former.id, {"type": "simple", "price": "3"})
    for product in (draft, former):
        shop.edit_variant(product.variations[0].id, {"stock_quantity": 9}, at=LATER)
    reading = Reading(sandbox, spec)
    await reading.read(SINCE)
    # The row of the product as it is now is right all the same.
    assert reading.items() == expected(reading, {f"{former.id}_default"})


async def test_several_statuses_are_each_asked(sandbox: SandboxServer) -> None:
    """A changed variation of a draft is read where drafts are read."""
    spec, shop = put(sandbox)
    draft, other, *_ = variables(shop)
    shop.edit_product(draft.id, {"status": "draft"})
    shop.edit_variant(draft.variations[0].id, {"stock_quantity": 9}, at=LATER)
    shop.edit_product(other.id, {"status": "draft"}, at=LATER)
    reading = Reading(sandbox, spec, statuses="publish,draft")
    await reading.read(SINCE)
    ids = {str(draft.variations[0].id)} | ids_of(other)
    rows = [row for row in reading.expected(("publish", "draft")) if row["variant_id"] in ids]
    assert reading.items() == rows


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"modified_after": False}, "older than 5.8"),
        ({"modified_after": False, "root_variations": False}, "older than 5.8"),
        (ENDPOINTS[BY_PARENT], "no list of all its variations"),
    ],
    ids=["ignores-it", "ignores-it-analytics", "per-parent-only"],
)
async def test_a_shop_that_cannot_list_its_changes_is_read_in_full(
    sandbox: SandboxServer, spec: dict[str, Any], words: str
) -> None:
    """The report says that it was read in full, and its details have the reason."""
    made, shop = put(sandbox, **spec)
    shop.edit_product(simple(shop).id, {"price": "5"}, at=LATER)
    reading = Reading(sandbox, made, batch_size=10)
    await reading.read(SINCE)
    assert reading.items() == reading.expected()
    assert (reading.report.read_in_full, reading.report.complete) == (True, True)
    assert words in str(reading.report.details["read_in_full"])
    # One request for each list shows it, without a whole reading.
    full = Reading(sandbox, made, batch_size=10)
    await full.read()
    assert reading.report.requests <= full.report.requests + 2


async def test_a_shop_that_refuses_the_parameter_is_read_in_full(sandbox: SandboxServer) -> None:
    """Some security plugins answer 400 for an unknown parameter such as modified_after."""
    spec, _ = put(sandbox)
    body = {"code": "rest_invalid_param", "message": "x", "data": {"status": 400}}
    match = {"path_contains": "/v3/products"}
    sandbox.faults.set(
        [{"match": match, "kind": "status", "status": 400, "body": body, "skip": 1, "times": 1}]
    )
    reading = Reading(sandbox, spec)
    await reading.read(SINCE)
    assert reading.items() == reading.expected()
    assert reading.report.read_in_full


async def test_a_parent_filter_that_is_ignored_is_noticed(sandbox: SandboxServer) -> None:
    """Then the variations of changed products are asked for product by product."""
    spec, shop = put(sandbox)
    renamed, other, *_ = variables(shop)
    shop.edit_product(renamed.id, {"name": "Renamed"}, at=LATER)
    body = [{"id": other.variations[0].id, "parent_id": other.id}]
    sandbox.faults.set(
        [
            {
                "match": {"path_contains": ALL_VARIATIONS},
                "kind": "body",
                "body": body,
                "headers": {"X-WP-Total": "1", "X-WP-TotalPages": "1"},
                # The first request is for changed variations.
                "skip": 1,
                "times": 1,
            }
        ]
    )
    reading = Reading(sandbox, spec)
    await reading.read(SINCE)
    assert reading.items() == expected(reading, ids_of(renamed))
    assert f"/wc/v3/products/{renamed.id}/variations" in reading.paths()


async def test_an_increment_whose_lists_disagree_is_not_complete(sandbox: SandboxServer) -> None:
    """Then the high-water mark stays, and the next increment asks from there again."""
    spec, shop = put(sandbox, products=60)
    # More pages than are asked for ahead of the first one.
    changed = [each.id for each in variables(shop)][:24]
    for product_id in changed:
        shop.edit_product(product_id, {"name": "Renamed"}, at=LATER)
    reading = Reading(sandbox, spec, batch_size=2, max_concurrency=1)
    await reading.read(SINCE, after_first=lambda: shop.trash_product(changed[0], at=LATER))
    assert not reading.report.complete
    assert "Changed products of status publish" in reading.report.warnings[0]


EDITS = ("stock", "price", "name", "draft", "publish", "type", "append", "trash", "variation")


def edit(shop: SandboxShop, kind: str, position: int) -> None:
    """Make one of a merchant's edits to any product, with its dates as they move."""
    ids = shop.product_ids()
    if not ids:
        return
    product = shop.product(ids[position % len(ids)])
    assert isinstance(product, WooProduct)
    variation = (
        product.variations[position % len(product.variations)] if product.variations else None
    )
    if kind == "stock" and variation is not None:
        shop.edit_variant(
            variation.id, {"stock_quantity": position, "manage_stock": True}, at=LATER
        )
    elif kind == "price" and variation is not None:
        shop.edit_variant(variation.id, {"price": str(position)}, at=LATER)
    elif kind == "price":
        shop.edit_product(product.id, {"price": str(position)}, at=LATER)
    elif kind == "name":
        shop.edit_product(product.id, {"name": f"Renamed {position}"}, at=LATER)
    elif kind in ("draft", "publish"):
        shop.edit_product(product.id, {"status": kind}, at=LATER)
    elif kind == "type" and variation is not None:
        changed = "simple" if product.type == "variable" else "variable"
        shop.edit_product(product.id, {"type": changed}, at=LATER)
    elif kind == "append":
        for product_id in shop.append_products(1 + position % 3, at=LATER):
            shop.edit_product(product_id, {"status": "publish"}, at=LATER)
    elif kind == "trash":
        shop.trash_product(product.id, at=LATER)
    elif kind == "variation" and variation is not None and len(product.variations) > 1:
        # Without its last variation the product is an item itself. A deletion has no date.
        shop.remove_variant(variation.id, at=LATER)


@pytest.mark.parametrize("endpoint", [ALL_VARIATIONS, ANALYTICS])
@given(
    edits=st.lists(st.tuples(st.sampled_from(EDITS), st.integers(1, 60)), max_size=15),
    batch_size=st.sampled_from([1, 4, 100]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_increment_on_top_of_a_snapshot_is_the_shop_as_it_is(
    server: SandboxServer, endpoint: str, edits: list[tuple[str, int]], batch_size: int
) -> None:
    """After any edits, every row of the shop is right, and only deletions are open."""
    spec, shop = put(server, products=12, awkward=False, **ENDPOINTS[endpoint])
    before = {row["variant_id"]: row for row in Reading(server, spec).expected()}
    for kind, position in edits:
        edit(shop, kind, position)
    reading = Reading(server, spec, batch_size=batch_size)
    asyncio.run(reading.read(SINCE))
    read = {row["variant_id"]: row for row in reading.items()}
    now = {row["variant_id"]: row for row in reading.expected()}
    merged = before | read
    assert {variant_id: merged.get(variant_id) for variant_id in now} == now
    assert read.keys() <= now.keys()
    assert reading.report.complete
    # Each variant came once.
    assert len(read) == len(reading.items())


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_changes_at_that_very_second_are_asked_for(moment: datetime) -> None:
    """The bound is exclusive, and a shop keeps times to the second."""
    since = moment.replace(tzinfo=UTC)
    after = modified_after(since)
    changed = f"{since:%Y-%m-%dT%H:%M:%S}"
    assert changed > after
    assert not is_older({"date_modified_gmt": changed}, after)
    assert is_older({"date_modified_gmt": after}, after)
    assert is_older({"date_modified_gmt": None}, after)
    other_zone = since.astimezone(tz=None)
    assert modified_after(other_zone) == after
