"""One fetch of one of the sandbox's WooCommerce shops, and the rows that it must give."""

import traceback
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.spec import ShopSpec

WOOCOMMERCE_SHOPS = tuple(spec for spec in DEFAULT_SHOPS if spec.platform == "woocommerce")
SMALL = ShopSpec(
    platform="woocommerce",
    domain="small.example",
    merchant_id="merchant-small",
    platform_shop_id="wc-small",
    currency="SEK",
    products=60,
    variants=(0, 4),
    seed=5,
)
PRODUCTS, ALL_VARIATIONS = "/wc/v3/products", "/wc/v3/variations"
ANALYTICS, BY_PARENT = "/wc-analytics/variations", "/wc/v3/products/{id}/variations"
ENDPOINTS: dict[str, dict[str, bool]] = {
    ALL_VARIATIONS: {},
    ANALYTICS: {"root_variations": False},
    BY_PARENT: {"root_variations": False, "analytics_variations": False},
}


WITHOUT_KEY = "per_page=1"
"""The query of the request that finds out where a shop answers; no other has it."""


class Reading:
    """One fetch of one shop, with its pages and its report."""

    def __init__(self, sandbox: SandboxServer, spec: ShopSpec, **settings: Any):
        self.sandbox = sandbox
        self.spec = spec
        self.shop = Shop(
            merchant_id=spec.merchant_id,
            platform_name="woocommerce",
            platform_shop_id=spec.platform_shop_id,
            domain=spec.domain,
            currency=settings.pop("currency", None),
        )
        given = {"batch_size": 100, "max_retries": 1, "retry_delay": 0.001, **settings}
        self.api = WooCommerceAdapter(
            base_url=sandbox.woocommerce_base_url, allow_private_hosts=True, **given
        )
        self.report = FetchReport()
        self.pages: list[RawPage] = []

    async def read(
        self,
        since: datetime | None = None,
        *,
        after_first: Any = None,
        archived: Iterable[RawPage] = (),
    ) -> None:
        """Read every page. `after_first` is called after the first one."""
        tokens = TokenService(url=self.sandbox.token_service_url, retry_delay=0.001)
        async with tokens.open("test-correlation") as source:
            async for page in self.api.fetch(
                self.shop, source, since=since, report=self.report, archived=archived
            ):
                self.pages.append(page)
                if after_first is not None and len(self.pages) == 1:
                    after_first()

    async def fails(self, error: type[ConnectorError], **how: Any) -> str:
        """The text of the error of the fetch, which names the shop and contains no secret."""
        credentials = self.sandbox.store.shop("woocommerce", self.spec.domain).credentials
        secrets = {credentials.consumer_key, credentials.consumer_secret}
        with pytest.raises(error) as caught:
            await self.read(**how)
        credentials = self.sandbox.store.shop("woocommerce", self.spec.domain).credentials
        secrets |= {credentials.consumer_key, credentials.consumer_secret}
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert not [secret for secret in secrets if secret in shown]
        assert type(caught.value) is error
        assert str(caught.value).startswith(f"woocommerce/{self.spec.domain}: ")
        return str(caught.value)

    def items(self) -> list[dict[str, Any]]:
        """The pages as items, in the order of their ids; none of them is rejected."""
        assert self.report.currency is not None
        rows = list(self.api.normalize(self.shop, self.report.currency, self.pages))
        assert [row for row in rows if not isinstance(row, CatalogItem)] == []
        return in_order_of_ids([row.model_dump() for row in rows])

    def expected(self, statuses: tuple[str, ...] = ("publish",)) -> list[dict[str, Any]]:
        """The rows by the shop's own records."""
        shop = self.sandbox.store.shop("woocommerce", self.spec.domain)
        return in_order_of_ids(expected_items(shop, statuses))

    def paths(self) -> list[str]:
        """The paths that were asked for with the key, below the REST root, in order."""
        asked = self.sandbox.requests.requests(service="woocommerce", domain=self.spec.domain)
        return [
            request.path.rpartition("/wp-json")[2]
            for request in asked
            if request.query != WITHOUT_KEY
        ]


def in_order_of_ids(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows by product and variant."""
    return sorted(rows, key=lambda row: (row["product_id"], row["variant_id"]))
