"""Short ways to make items, rows and syncs for the tests of publish."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
from psycopg.rows import dict_row

from connector_pipeline.catalog.publish import publish
from connector_pipeline.model.catalog_item import (
    CatalogItem,
    CatalogRow,
    ProductStatus,
    RejectedVariant,
    row_of,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.sync_log import PublishCounts

ACME = Shop(
    merchant_id="m1",
    platform_name="shopify",
    platform_shop_id="101",
    domain="acme.myshopify.com",
)
OTHER = Shop(
    merchant_id="m2",
    platform_name="woocommerce",
    platform_shop_id="202",
    domain="shop.example.com",
)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def item(variant_id: str, *, shop: Shop = ACME, **changes: Any) -> CatalogItem:
    """An item of the shop. Its product's id is the variant's id up to the dash."""
    values: dict[str, Any] = {
        "merchant_id": shop.merchant_id,
        "platform_name": shop.platform_name,
        "platform_shop_id": shop.platform_shop_id,
        "domain": shop.domain,
        "product_id": variant_id.partition("-")[0],
        "variant_id": variant_id,
        "product_title": "Shirt",
        "variant_title": "Small",
        "sku": None,
        "price": Decimal("10.00"),
        "currency": "SEK",
        "inventory": None,
        "image_url": None,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "product_status": "active",
    }
    return CatalogItem.model_validate(values | changes)


def rows(
    items: Iterable[CatalogItem], rejected: Iterable[RejectedVariant] = ()
) -> list[CatalogRow | RejectedVariant]:
    """The items as rows of an adapter, and the rejects after them."""
    return [*map(row_of, items), *rejected]


def rejected(
    variant_id: str | None,
    *,
    product_id: str | None = "p",
    raw: Any = None,
    product_status: ProductStatus | None = None,
) -> RejectedVariant:
    """A rejected variant."""
    return RejectedVariant(
        product_id=product_id,
        variant_id=variant_id,
        reason="price is not a number",
        raw=raw,
        product_status=product_status,
    )


@dataclass
class Publisher:
    """Publishes snapshots of registered shops, each as a sync of its own, a minute apart."""

    database: Database
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def sync(self, shop: Shop = ACME, sync_type: SyncType = SyncType.FULL) -> Sync:
        """The next sync: sync-1, sync-2 and so on."""
        number = next(self.numbers)
        return Sync(
            sync_id=f"sync-{number}",
            partition_key=shop.partition_key,
            sync_type=sync_type,
            correlation_id=f"correlation-{number}",
            started_at=LONG_AGO + timedelta(minutes=number),
        )

    def __call__(
        self,
        items: Iterable[CatalogItem],
        rejects: Iterable[RejectedVariant] = (),
        *,
        shop: Shop = ACME,
        sync_type: SyncType = SyncType.FULL,
        complete: bool = True,
        all_read: bool = False,
        gone: Iterable[str] = (),
        absences_confirmed: bool = False,
        whole_products: bool = False,
        allow_shrink: bool = False,
    ) -> PublishCounts:
        """Publish one snapshot."""
        with self.database.connect() as connection:
            return publish(
                connection,
                shop=shop,
                sync=self.sync(shop, sync_type),
                complete=complete,
                rows=rows(items, rejects),
                all_read=all_read,
                gone=gone,
                absences_confirmed=absences_confirmed,
                whole_products=whole_products,
                allow_shrink=allow_shrink,
            )

    def publish_rows(
        self, made: Iterable[CatalogRow | RejectedVariant], *, shop: Shop = ACME
    ) -> PublishCounts:
        """Publish the rows of an adapter as a full sync."""
        with self.database.connect() as connection:
            return publish(
                connection,
                shop=shop,
                sync=self.sync(shop),
                complete=True,
                rows=made,
                allow_shrink=True,
            )

    def rows(self, shop: Shop = ACME) -> dict[str, dict[str, Any]]:
        """The shop's rows by variant id, tombstones and where each row lies (ctid) included."""
        with self.database.connect() as connection:
            return {row["variant_id"]: row for row in _rows(connection, shop)}

    def live(self, shop: Shop = ACME) -> set[str]:
        """The variant ids that are not deleted."""
        rows = self.rows(shop).values()
        return {row["variant_id"] for row in rows if row["deleted_at"] is None}


def _rows(connection: psycopg.Connection, shop: Shop) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT ctid, xmin, * FROM catalog.catalog_items WHERE platform_name = %s"
            " AND domain = %s",
            (shop.platform_name, shop.domain),
        ).fetchall()


def many(number: int, **changes: Any) -> list[Any]:
    """This many items of ACME."""
    return [item(f"{index}-0", **changes) for index in range(number)]
