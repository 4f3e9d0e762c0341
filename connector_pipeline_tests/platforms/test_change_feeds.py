"""Looks at change feeds, kept against the sandbox: each change is seen once, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import PlatformUnavailable, ShopDisconnected
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.platforms.kit.webhooks import Changes
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec

SINCE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""Later than all that the sandbox generates."""

WITHOUT_KEY = 1
"""A request to WooCommerce that finds out where the shop answers."""

SHOPIFY = ShopSpec(
    platform="shopify",
    domain="looks.myshopify.com",
    merchant_id="m-looks",
    platform_shop_id="101",
    products=300,
    variants=(1, 3),
)
WOO = ShopSpec(
    platform="woocommerce",
    domain="looks.example",
    merchant_id="m-looks",
    platform_shop_id="wc-looks",
    products=150,
    variants=(0, 4),
    utc_offset_minutes=120,
    orphan_variations=2,
)
BOTH = pytest.mark.parametrize("spec", [SHOPIFY, WOO], ids=["shopify", "woocommerce"])


def at(minutes: float) -> datetime:
    return SINCE + timedelta(minutes=minutes)


class Looking:
    """Looks at one of the sandbox's shops, one after the other as the sensor does."""

    def __init__(self, sandbox: SandboxServer, spec: ShopSpec):
        self.sandbox = sandbox
        self.held: SandboxShop = sandbox.store.put(spec)
        self.shop = Shop(
            merchant_id=spec.merchant_id,
            platform_name=spec.platform,
            platform_shop_id=spec.platform_shop_id,
            domain=spec.domain,
        )
        given: dict[str, Any] = {"allow_private_hosts": True, "retry_delay": 0.001}
        self.adapter: Adapter = (
            ShopifyAdapter(base_url=sandbox.shopify_base_url, **given)
            if spec.platform == "shopify"
            else WooCommerceAdapter(base_url=sandbox.woocommerce_base_url, **given)
        )
        self.cursor: str | None = None

    async def look(self) -> Changes | None:
        tokens = TokenService(url=self.sandbox.token_service_url, retry_delay=0.001)
        async with tokens.open("test") as source:
            changes = await self.adapter.changes(self.shop, source, since=SINCE, cursor=self.cursor)
        if changes is not None:
            self.cursor = changes.cursor
        return changes

    async def seen(self) -> set[str | None]:
        """The tokens of a look that is not too much."""
        changes = await self.look()
        assert changes is not None
        assert not changes.too_many
        return {hint.token for hint in changes.hints}

    def requests(self) -> int:
        """How often the shop was asked since the last call."""
        log = self.sandbox.requests
        count = log.shop(self.shop.platform_name, self.shop.domain).count
        log.clear()
        return count

    def published(self) -> list[int]:
        """The ids of products that a look lists."""
        return [
            each.id
            for each in self.held.products()
            if not isinstance(each, WooProduct) or each.status == "publish"
        ]


def fault(looking: Looking, **how: Any) -> None:
    """Have the shop's platform answer like this."""
    match = {"platform": looking.shop.platform_name}
    looking.sandbox.faults.set([{"kind": "status", "match": match, **how}])


@BOTH
async def test_a_change_is_seen_once_and_nothing_where_nothing_changed(
    sandbox: SandboxServer, spec: ShopSpec
) -> None:
    """One request to Shopify; to WooCommerce one for each list, and one without a key."""
    looking = Looking(sandbox, spec)
    usual = 1 if spec is SHOPIFY else WITHOUT_KEY + 2
    # The first look at WooCommerce has no lengths to compare with, so an increment is to look.
    assert await looking.seen() == (set() if spec is SHOPIFY else {None})
    assert looking.requests() == usual
    first, second = looking.published()[10:12]
    looking.held.edit_product(first, {}, at=at(5))
    assert await looking.seen() == {str(first)}
    assert await looking.seen() == set()
    looking.requests()
    # At the same second, and a little before it: the platform may show it late.
    looking.held.edit_product(second, {}, at=at(5))
    late = looking.published()[20]
    looking.held.edit_product(late, {}, at=at(4))
    assert await looking.seen() == {str(second), str(late)}
    assert await looking.seen() == set()
    assert looking.requests() == 2 * usual
    looking.held.edit_product(first, {}, at=at(6))
    changes = await looking.look()
    assert changes is not None
    assert [(hint.token, hint.changed_at) for hint in changes.hints] == [(str(first), at(6))]


@BOTH
async def test_a_change_of_a_variant_names_its_product(
    sandbox: SandboxServer, spec: ShopSpec
) -> None:
    """On WooCommerce a change of stock moves the variation's date alone."""
    looking = Looking(sandbox, spec)
    await looking.seen()
    product_id = next(each for each in looking.published() if looking.held.variant_ids(each))
    variant_id = looking.held.variant_ids(product_id)[0]
    stock = "inventory_quantity" if spec is SHOPIFY else "stock_quantity"
    looking.held.edit_variant(variant_id, {stock: 3}, at=at(5))
    assert await looking.seen() == {str(product_id)}
    assert await looking.seen() == set()


async def test_a_deletion_is_named_by_shopify(sandbox: SandboxServer) -> None:
    """Its events name the product, once."""
    looking = Looking(sandbox, SHOPIFY)
    await looking.seen()
    gone = looking.published()[7]
    looking.held.remove_product(gone, at=at(3))
    changes = await looking.look()
    assert changes is not None
    [hint] = changes.hints
    assert (hint.token, hint.changed_at) == (f"deleted/{gone}", at(3))
    assert changes.products == {hint.token: str(gone)}
    assert await looking.seen() == set()


@pytest.mark.parametrize("way", ["deleted", "trashed", "hidden", "beside a new one"])
async def test_a_deletion_shows_in_the_length_of_woocommerces_list(
    sandbox: SandboxServer, way: str
) -> None:
    """It says that something is gone and not what, once; an increment finds it."""
    looking = Looking(sandbox, WOO)
    await looking.seen()
    gone = looking.published()[7]
    if way == "trashed":
        looking.held.trash_product(gone, at=at(3))
    elif way == "hidden":
        looking.held.edit_product(gone, {"status": "draft"}, at=at(3))
    else:
        looking.held.remove_product(gone, at=at(3))
    expected: set[str | None] = {None}
    if way == "beside a new one":
        expected |= {str(each) for each in looking.held.append_products(1, at=at(3))}
    assert expected <= await looking.seen()
    assert await looking.seen() == set()


async def test_a_new_product_of_woocommerce_is_no_deletion(sandbox: SandboxServer) -> None:
    """The list is longer by as many as were made."""
    looking = Looking(sandbox, WOO)
    await looking.seen()
    made = looking.held.append_products(3, at=at(3))
    listed = {str(each) for each in made if each in set(looking.published())}
    assert await looking.seen() == listed


async def test_the_clock_of_a_woocommerce_may_be_behind(sandbox: SandboxServer) -> None:
    """What is known of our own syncs is by our clock. An hour behind it, a change would be older
    than that, and no look would see it for an hour."""
    looking = Looking(sandbox, WOO)
    await looking.seen()
    product = looking.published()[10]
    looking.held.edit_product(product, {}, at=at(-55))
    assert await looking.seen() == {str(product)}
    assert await looking.seen() == set()


@BOTH
async def test_more_changes_than_a_look_lists_are_too_many_once(
    sandbox: SandboxServer, spec: ShopSpec
) -> None:
    """The next look begins behind them, also where they all have one time."""
    looking = Looking(sandbox, spec)
    await looking.seen()
    for product_id in looking.published():
        looking.held.edit_product(product_id, {}, at=at(5))
    changes = await looking.look()
    assert changes is not None
    assert changes.too_many
    assert await looking.seen() == set()
    last = looking.published()[0]
    looking.held.edit_product(last, {}, at=at(6))
    assert await looking.seen() == {str(last)}


async def test_eleven_changes_in_woocommerce_take_a_second_request(
    sandbox: SandboxServer,
) -> None:
    """The first one lists ten products, and all are news."""
    looking = Looking(sandbox, WOO)
    await looking.seen()
    looking.requests()
    changed = looking.published()[:11]
    for product_id in changed:
        looking.held.edit_product(product_id, {}, at=at(5))
    assert await looking.seen() == {str(each) for each in changed}
    assert looking.requests() == WITHOUT_KEY + 3


async def test_shopify_is_looked_at_without_the_events_that_it_refuses(
    sandbox: SandboxServer,
) -> None:
    """For a day: a refusal takes several requests."""
    looking = Looking(sandbox, SHOPIFY)
    denied = {"message": "Access denied.", "extensions": {"code": "ACCESS_DENIED"}}
    fault(looking, status=200, body={"data": None, "errors": [denied]}, times=2)
    changed = looking.published()[3]
    looking.held.edit_product(changed, {}, at=at(1))
    assert await looking.seen() == {str(changed)}
    looking.requests()
    assert await looking.seen() == set()
    assert looking.requests() == 1


async def test_a_woocommerce_without_a_list_of_all_variations_shows_its_products(
    sandbox: SandboxServer,
) -> None:
    """It is not asked for that list again at each look."""
    spec = replace(WOO, root_variations=False, analytics_variations=False)
    looking = Looking(sandbox, spec)
    await looking.seen()
    looking.requests()
    changed = looking.published()[3]
    looking.held.edit_product(changed, {}, at=at(1))
    assert await looking.seen() == {str(changed)}
    assert looking.requests() == WITHOUT_KEY + 1


async def test_a_list_that_is_not_sorted_is_no_feed(sandbox: SandboxServer) -> None:
    """A host that drops the parameters lists the newest products instead of the newest changes."""
    looking = Looking(sandbox, WOO)
    body = [
        {"id": 5, "status": "publish", "date_modified_gmt": "2026-11-20T08:00:00"},
        {"id": 4, "status": "publish", "date_modified_gmt": "2026-11-21T08:00:00"},
    ]
    fault(looking, status=200, body=body, headers={"X-WP-Total": "2", "X-WP-TotalPages": "1"})
    assert await looking.look() is None


@BOTH
async def test_a_shop_in_trouble_is_asked_once_and_a_refusal_is_said(
    sandbox: SandboxServer, spec: ShopSpec
) -> None:
    """A look is no reason to press a shop; the next one comes soon enough."""
    looking = Looking(sandbox, spec)
    fault(looking, status=500)
    with pytest.raises(PlatformUnavailable):
        await looking.look()
    assert looking.requests() <= 3
    sandbox.faults.clear()
    looking.held.credentials.removed = True
    with pytest.raises(ShopDisconnected):
        await looking.look()


@BOTH
async def test_a_cursor_that_cannot_be_read_begins_anew(
    sandbox: SandboxServer, spec: ShopSpec
) -> None:
    """At the last sync, so nothing is lost."""
    looking = Looking(sandbox, spec)
    changed = looking.published()[3]
    looking.held.edit_product(changed, {}, at=at(1))
    looking.cursor = '{"of": "another version"}' if spec is WOO else "no JSON"
    assert await looking.seen() == {str(changed)} | (set() if spec is SHOPIFY else {None})
