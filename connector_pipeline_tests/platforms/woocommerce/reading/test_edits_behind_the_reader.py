"""Promise: no edit of a merchant during a reading makes a live variant look gone."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sync.absence import absence
from connector_pipeline_tests.platforms.woocommerce.shop_reading import ENDPOINTS, SMALL, Reading

EDITS: Final = ("append", "trash", "remove", "restore", "draft", "publish", "variation", "type")
Edit = tuple[str, int]
edits = st.lists(
    st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 30)), max_size=3), max_size=12
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    """One sandbox for the module."""
    with SandboxServer() as running:
        yield running


class Merchant:
    """A merchant who makes the edits of one step between two requests."""

    def __init__(self, shop: SandboxShop, steps: list[list[Edit]]):
        self.shop = shop
        self.steps = iter(steps)
        self.gone: list[int] = []

    def work(self) -> None:
        """Make the edits of the next step, without those that are impossible by now."""
        for kind, position in next(self.steps, []):
            ids = self.shop.product_ids()
            if kind == "append":
                for product_id in self.shop.append_products(1 + position % 3):
                    self.shop.edit_product(product_id, {"status": "publish"})
            elif kind == "restore":
                if self.gone:
                    self.shop.restore_product(self.gone.pop(position % len(self.gone)))
            elif ids:
                self._edit(kind, ids[position % len(ids)])

    def _edit(self, kind: str, product_id: int) -> None:
        product = self.shop.product(product_id)
        assert isinstance(product, WooProduct)
        if kind == "trash":
            self.shop.trash_product(product_id)
            self.gone.append(product_id)
        elif kind == "remove":
            self.shop.remove_product(product_id)
            self.gone.append(product_id)
        elif kind == "variation" and product.variations:
            self.shop.remove_variant(product.variations[0].id)
        elif kind == "type" and product.variations:
            self.shop.edit_product(
                product_id, {"type": "simple" if product.type == "variable" else "variable"}
            )
        elif kind in ("draft", "publish"):
            self.shop.edit_product(product_id, {"status": kind})


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@given(steps=edits, orphans=st.sampled_from([0, 2]), batch_size=st.integers(1, 7))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_variant_that_the_shop_still_has_is_never_gone(
    sandbox: SandboxServer, endpoint: str, steps: list[list[Edit]], orphans: int, batch_size: int
) -> None:
    """Products are added, trashed, deleted, hidden and changed between any two questions."""
    spec = replace(
        SMALL, products=14, awkward=False, orphan_variations=orphans, **ENDPOINTS[endpoint]
    )
    shop = sandbox.store.put(spec)
    merchant = Merchant(shop, steps)
    asyncio.run(_read_and_look_up(sandbox, spec, merchant, batch_size))


async def _read_and_look_up(
    sandbox: SandboxServer, spec: ShopSpec, merchant: Merchant, batch_size: int
) -> None:
    reading = Reading(sandbox, spec, batch_size=batch_size, max_concurrency=1)
    live = {row["variant_id"]: row["product_id"] for row in reading.expected()}
    served = set(live)
    tokens = TokenService(url=sandbox.token_service_url, retry_delay=0.001)
    async with tokens.open("test-correlation") as source:
        async for page in reading.api.fetch(
            reading.shop, source, since=None, report=reading.report
        ):
            reading.pages.append(page)
            merchant.work()
        currency = reading.report.currency or ""
        missing = absence(live, reading.api.normalize(reading.shop, currency, reading.pages))
        # A list may skip a live product although all its counts agree. So absent variants
        # are looked up, also after a complete snapshot.
        assert reading.api.lists_may_skip
        if not missing.absent or missing.witness is None:
            return
        gone: set[str] = set()
        lookups = reading.api.look_up(
            reading.shop,
            source,
            absent=missing.absent,
            witness=missing.witness,
            report=reading.report,
        )
        try:
            served = {row["variant_id"] for row in reading.expected()}
            async for lookup in lookups:
                # The answer is right for the shop at the time of the question.
                assert not set(lookup.gone) & served
                gone |= set(lookup.gone)
                merchant.work()
                served = {row["variant_id"] for row in reading.expected()}
        except InvalidResponse:
            # The witness itself was deleted meanwhile, so no variant counts as gone.
            return
    assert gone <= set(missing.absent)
    items = reading.api.normalize(reading.shop, currency, reading.pages)
    assert not gone & {item.variant_id for item in items if isinstance(item, CatalogItem)}
