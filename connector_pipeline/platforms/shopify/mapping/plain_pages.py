"""Decodes pages in which nothing is odd directly into rows.

This makes the same rows as `normalize` in a sixth of the time (bench/publish.py). A page with a
single value that `normalize` might reject or read in another way is left to `normalize` as a whole.
The rules are those of `normalize` and CatalogItem, and a property test compares the two.
"""

from typing import Any, Final

import msgspec

from connector_pipeline.model.catalog_item import CatalogRow
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.failed_fields import UNREAD
from connector_pipeline.platforms.shopify.mapping.plain_rows import (
    Image,
    InventoryItem,
    Media,
    OddError,
    Text,
    append_rows,
    product_columns,
)
from connector_pipeline.platforms.shopify.reading.by_id import BY_ID


class _Variant(msgspec.Struct, gc=False):
    id: str
    title: Text | None = None
    sku: Text | None = None
    price: str | None = None
    # `normalize` rejects a float. Decoded as an int alone, 5.0 would become 5.
    inventoryQuantity: int | float | None = None  # noqa: N815  Shopify's name
    inventoryItem: InventoryItem | None = None  # noqa: N815
    availableForSale: bool | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815
    image: Image | None = None


class _Variants(msgspec.Struct):
    nodes: list[_Variant]


class _Product(msgspec.Struct):
    id: str
    title: Text
    status: str
    variants: _Variants
    publishedAt: str | msgspec.UnsetType | None = msgspec.UNSET  # noqa: N815
    createdAt: str | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815
    featuredMedia: Media | None = None  # noqa: N815


class _Products(msgspec.Struct):
    nodes: list[_Product]


class _ProductsData(msgspec.Struct):
    products: _Products


class _ProductsBody(msgspec.Struct):
    data: _ProductsData
    errors: Any = None


class _NodesData(msgspec.Struct):
    nodes: list[_Product | None]


class _NodesBody(msgspec.Struct):
    data: _NodesData
    errors: Any = None


class _VariantsData(msgspec.Struct):
    product: _Product | None


class _VariantsBody(msgspec.Struct):
    data: _VariantsData
    errors: Any = None


_products_body: Final = msgspec.json.Decoder(_ProductsBody)
_nodes_body: Final = msgspec.json.Decoder(_NodesBody)
_variants_body: Final = msgspec.json.Decoder(_VariantsBody)


def plain_rows(shop: Shop, currency: str, page: RawPage) -> list[CatalogRow] | None:
    """The rows of a page of products or variants; None where `normalize` must read it."""
    # NUL is the one character that JSON can escape and Postgres cannot hold.
    if b"\\u0000" in page.body or UNREAD in page.facts:
        return None
    try:
        if page.kind == "products":
            body = _products_body.decode(page.body)
            products = body.data.products.nodes
        elif page.kind == BY_ID:
            body = _nodes_body.decode(page.body)
            products = [each for each in body.data.nodes if each is not None]
        elif page.kind == "variants":
            body = _variants_body.decode(page.body)
            products = [] if body.data.product is None else [body.data.product]
        else:
            return None
        if body.errors:
            return None
        rows: list[CatalogRow] = []
        for product in products:
            columns = product_columns(product, product.title)
            append_rows(rows, shop, currency, columns, product.variants.nodes)
    except (OddError, ValueError, OverflowError, RecursionError):
        # msgspec's errors are ValueErrors: another structure, another type, no JSON at all.
        return None
    return rows
