"""A snapshot's items as product batches, in the form of the predecessor of this project."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.events import (
    LARGEST_BATCH,
    PlatformProduct,
    ProductBatch,
    ProductsFetched,
    batch_id,
)
from connector_pipeline.model.shop import Shop

_AROUND_PRODUCTS: Final = 8 * 1024
"""Bytes for the envelope, the shop's fields and the headers of a message, with room to spare."""

_FIELDS: Final = tuple(PlatformProduct.model_fields)


@dataclass(frozen=True, slots=True)
class SyncedShop:
    """The facts of a sync that its batches have besides the products."""

    shop: Shop
    sync_id: str
    correlation_id: str
    timestamp: datetime


def product(item: CatalogItem) -> dict[str, Any]:
    """The item as a product of a batch, in JSON's types."""
    values = {name: getattr(item, name) for name in _FIELDS}
    values["price"] = None if item.price is None else float(item.price)
    # Not validated: items are valid, and there may be a million.
    return PlatformProduct.model_construct(**values).model_dump(mode="json")


def packed(
    products: Iterable[dict[str, Any]], *, largest: int, first_batch: int = 1
) -> Iterator[tuple[int, list[dict[str, Any]], bool]]:
    """Pack products into batches of at most LARGEST_BATCH products and `largest` bytes.

    Yields number, products and has_more. There is always a last batch, if need be an empty one. A
    product that alone does not fit into a message is left out.
    """
    room = largest - _AROUND_PRODUCTS
    number, batch, size = first_batch, list[dict[str, Any]](), 0
    for each in products:
        length = len(encoded(each)) + 1
        if length > room:
            continue
        if len(batch) == LARGEST_BATCH or size + length > room:
            yield number, batch, True
            number, batch, size = number + 1, [], 0
        batch.append(each)
        size += length
    yield number, batch, False


def batch_event(
    synced: SyncedShop, number: int, products: list[dict[str, Any]], *, has_more: bool
) -> tuple[str, bytes]:
    """Make the event of a batch: its message id and its bytes."""
    shop = synced.shop
    event_id = batch_id(synced.sync_id, number)
    event = ProductsFetched(
        event_id=event_id,
        correlation_id=synced.correlation_id,
        timestamp=synced.timestamp,
        data=ProductBatch.model_construct(
            merchant_id=shop.merchant_id,
            sync_id=synced.sync_id,
            platform_name=shop.platform_name,
            platform_shop_id=shop.platform_shop_id,
            domain=shop.domain,
            products=[],
            batch_num=number,
            has_more=has_more,
        ),
    ).model_dump(mode="json")
    event["data"]["products"] = products
    return str(event_id), encoded(event)


def encoded(value: object) -> bytes:
    """The value as JSON in UTF-8 without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
