"""One sandbox, database and archive for all cells, and a sync in process over them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import Settings
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.sync.outcomes import Outcomes
from connector_pipeline.sync.publishing import Published
from connector_pipeline.sync.run import sync_shops
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices
from connector_pipeline_tests.canaries import Canaries

PATIENT: Final = 60.0
"""Seconds: no answer of the sandbox takes as long, however busy the machine is."""
IMPATIENT: Final = 0.5
"""Seconds that a sync waits for an answer that a fault holds back. A busy machine answers what none
holds back within them."""
RETRIES: Final = 1
DELAY: Final = 0.002
LONGEST: Final = timedelta(minutes=2)

Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Ended:
    """How one sync ended: the manifest and the changes, or the error; its log and its requests.

    `tokens` counts the questions for credentials before the first other one.
    """

    sync_id: str
    error: ConnectorError | None
    manifest: SnapshotManifest | None
    published: Published | None
    requests: int
    tokens: int
    log: Sequence[str]


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class World:
    """Makes shops and syncs them. `closed_port`: nothing listens there.

    `plain_url` leads to a sandbox without TLS, where this one's has it.
    """

    sandbox: SandboxServer
    database: Database
    archive_url: str
    closed_port: int
    canaries: Canaries
    plain_url: str = ""
    shops: dict[str, SandboxShop] = field(default_factory=dict[str, SandboxShop])
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def registry(self) -> ShopRegistry:
        """The registry over the database."""
        return ShopRegistry(database=self.database)

    def shop(self, platform: Any, **spec: Any) -> SandboxShop:
        """A new shop of some pages, registered."""
        number = next(self._numbers)
        made = ShopSpec(
            **{
                "platform": platform,
                "domain": f"f{number}.myshopify.com"
                if platform == "shopify"
                else f"f{number}.example",
                "merchant_id": "merchant-1",
                "platform_shop_id": str(number),
                "products": 9,
                "variants": (1, 3) if platform == "shopify" else (0, 4),
                "awkward": False,
                **spec,
            }
        )
        shop = self.sandbox.store.put(made)
        if platform == "shopify":
            shop.bucket.resize(50_000, 50_000)
        self.registry.add(
            Shop(
                merchant_id=made.merchant_id,
                platform_name=platform,
                platform_shop_id=made.platform_shop_id,
                domain=made.domain,
            )
        )
        for place, secret in enumerate(self.secrets(shop)):
            self.canaries.add(f"secret {place} of {shop.key}", secret)
        return shop

    def secrets(self, shop: SandboxShop) -> tuple[str, ...]:
        """The shop's credentials."""
        issued = shop.credentials
        if shop.spec.platform == "shopify":
            return (issued.access_token,)
        return issued.consumer_key, issued.consumer_secret

    def truth(self, shop: SandboxShop) -> Rows:
        """The rows that a correct reader has of the shop."""
        return {item["variant_id"]: item for item in expected_items(shop)}

    def rows(self, shop: SandboxShop) -> Rows:
        """The catalog's live rows of the shop, with the columns of `truth`."""
        columns = list(next(iter(self.truth(shop).values())))
        with self.database.connect() as connection:
            cursor = connection.execute(
                f"SELECT {', '.join(columns)} FROM catalog.catalog_items "
                "WHERE platform_name = %s AND domain = %s AND deleted_at IS NULL",
                (shop.spec.platform, shop.spec.domain),
            )
            found = [dict(zip(columns, row, strict=True)) for row in cursor]
        return {row["variant_id"]: row for row in found}

    def edit(self, shop: SandboxShop) -> None:
        """A merchant's day: one product's title, a new product, and a deleted one."""
        number = next(self._numbers)
        # Platforms state times to the second.
        now = datetime.now(UTC).replace(microsecond=0)
        # Of those that a reader gets to see: a draft that is deleted is missed by nobody.
        seen = sorted({int(row["product_id"]) for row in self.truth(shop).values()})
        first, last = seen[0], seen[-1]
        title = "title" if shop.spec.platform == "shopify" else "name"
        shop.edit_product(first, {title: f"Edited {number}"}, at=now)
        [added] = shop.append_products(1, at=now)
        if shop.spec.platform == "woocommerce":
            shop.edit_product(added, {"status": "publish"}, at=now)
        shop.remove_product(last, at=now)

    def an_hour_later(self, shop: SandboxShop) -> None:
        """Make the shop's last sync an hour older."""
        with self.database.connect() as connection:
            connection.execute(
                "UPDATE connector.shops SET last_successful_sync_at = "
                "last_successful_sync_at - interval '1 hour' "
                "WHERE platform_name = %s AND domain = %s",
                (shop.spec.platform, shop.spec.domain),
            )

    def adapters(self, *, by_bulk: bool = False, patience: float = PATIENT) -> dict[str, Adapter]:
        """Adapters as of a new run, over the sandbox."""
        shopify = ShopifyAdapter(
            base_url=self.sandbox.shopify_base_url,
            batch_size=4,
            max_retries=RETRIES,
            retry_delay=DELAY,
            read_timeout=patience,
            allow_private_hosts=True,
            bulk_threshold=3 if by_bulk else 20_000,
            bulk_poll_interval=0.002,
            bulk_end_awaited=0.2,
        )
        woocommerce = WooCommerceAdapter(
            base_url=self.sandbox.woocommerce_base_url,
            batch_size=4,
            max_retries=RETRIES,
            retry_delay=DELAY,
            read_timeout=patience,
            allow_private_hosts=True,
        )
        return {"shopify": shopify, "woocommerce": woocommerce}

    def sync(
        self,
        shop: SandboxShop,
        *,
        by_bulk: bool = False,
        patience: float = PATIENT,
        adapters: Mapping[str, Adapter] | None = None,
        archive: RawArchive | None = None,
        token_service_url: str | None = None,
        database: Database | None = None,
        sync_id: str | None = None,
    ) -> Ended:
        """Sync the shop in full, as the op of `sync_shops` does."""
        number = next(self._numbers)
        database = database or self.database
        services = SyncServices(
            database=database,
            registry=ShopRegistry(database=database),
            token_service=TokenService(
                url=token_service_url or self.sandbox.token_service_url,
                timeout=patience,
                retry_count=RETRIES,
                retry_delay=DELAY,
            ),
            raw_archive=archive or RawArchive(url=self.archive_url, keep=2),
            adapters=adapters or self.adapters(by_bulk=by_bulk, patience=patience),
        )
        log = logging.getLogger(f"{__name__}.{number}")
        log.propagate = False
        kept = _Kept()
        log.addHandler(kept)
        log.setLevel(logging.INFO)
        fetched, published = Outcomes[SnapshotManifest](log), Outcomes[Published](log)
        sync_id = sync_id or f"sync-{number}"
        self.sandbox.requests.clear()
        with _lines_of("connector_pipeline") as lines:
            sync_shops(
                services,
                [ShopToSync(shop.key, sync_id=sync_id)],
                run=RunIdentity(f"run-{number}", f"run-{number}"),
                settings=Settings(
                    connector_retry_delay=DELAY,
                    full_sync_every=timedelta(0),
                    connector_shop_deadline=LONGEST,
                ),
                fetched=fetched,
                published=published,
            )
        asked = [each.service for each in self.sandbox.requests.requests(domain=shop.spec.domain)]
        others = (place for place, service in enumerate(asked) if service != "token-service")
        return Ended(
            sync_id,
            fetched.failed.get(shop.key) or published.failed.get(shop.key),
            fetched.succeeded.get(shop.key),
            published.succeeded.get(shop.key),
            len(asked),
            next(others, len(asked)),
            [*kept.lines, *lines],
        )


@contextmanager
def _lines_of(name: str) -> Iterator[list[str]]:
    """The lines that loggers below a name write in the block."""
    handler = _Kept()
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
