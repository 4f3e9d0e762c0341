"""The plain fields of the schema: a function for each, from a record to the value to send."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connector_pipeline.sandbox.shopify.paging import encode_cursor
from connector_pipeline.sandbox.shops.records import ShopifyProduct, ShopifyVariant

Leaf = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class VariantNode:
    """A variant with its product: some of its fields are the product's."""

    product: ShopifyProduct
    variant: ShopifyVariant


class InventoryNode(VariantNode):
    """A variant's inventory item, asked for by its id, which is the variant's here."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class MediaNode:
    """An image of a product or variant, as media."""

    id: int
    url: str
    alt: str


@dataclass(frozen=True, slots=True)
class Counted:
    """A count, exact unless a limit was reached."""

    count: int
    precision: str = "EXACT"


def time_text(time: datetime) -> str:
    """A time as Shopify writes it."""
    return f"{time.isoformat()[:19]}Z"


def _gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"


def product_media(product: ShopifyProduct) -> list[MediaNode]:
    return [
        MediaNode(product.id + place, url, product.title)
        for place, url in enumerate(product.image_urls)
    ]


def variant_media(node: VariantNode) -> list[MediaNode]:
    url = node.variant.image_url
    return [] if url is None else [MediaNode(node.variant.id, url, node.product.title)]


def _display_name(node: VariantNode) -> str:
    return f"{node.product.title} - {node.variant.title}"


def available_for_sale(variant: ShopifyVariant) -> bool:
    """Whether the variant is in stock, not tracked, or sold beyond its stock.

    It does not depend on the product's status or publication.
    """
    in_stock = (variant.inventory_quantity or 0) > 0
    return in_stock or not variant.tracked or variant.inventory_policy == "CONTINUE"


LEAVES: Final[dict[str, dict[str, Leaf]]] = {
    "ApiVersion": {
        "displayName": lambda version: version.handle,
        "handle": lambda version: version.handle,
        "supported": lambda version: version.supported,
    },
    "Shop": {
        "id": lambda shop: _gid("Shop", sum(shop.spec.domain.encode())),
        "name": lambda shop: shop.spec.domain.split(".")[0],
        "myshopifyDomain": lambda shop: shop.trouble.answers_as or shop.spec.domain,
        "currencyCode": lambda shop: shop.spec.currency,
    },
    "Product": {
        "id": lambda product: _gid("Product", product.id),
        "legacyResourceId": lambda product: str(product.id),
        "title": lambda product: product.title,
        "handle": lambda product: f"product-{product.id}",
        "vendor": lambda _: "Sandbox",
        "productType": lambda _: "",
        "status": lambda product: product.status,
        "publishedAt": lambda product: (
            None if product.published_at is None else time_text(product.published_at)
        ),
        "createdAt": lambda product: time_text(product.created_at),
        "updatedAt": lambda product: time_text(product.updated_at),
        "totalInventory": lambda product: sum(
            variant.inventory_quantity or 0 for variant in product.variants
        ),
        "tracksInventory": lambda product: any(variant.tracked for variant in product.variants),
        "hasOnlyDefaultVariant": lambda product: (
            [variant.title for variant in product.variants] == ["Default Title"]
        ),
    },
    "ProductVariant": {
        "id": lambda node: _gid("ProductVariant", node.variant.id),
        "legacyResourceId": lambda node: str(node.variant.id),
        "title": lambda node: node.variant.title,
        "displayName": _display_name,
        "sku": lambda node: node.variant.sku,
        "barcode": lambda _: None,
        "price": lambda node: node.variant.price,
        "compareAtPrice": lambda _: None,
        "position": lambda node: node.variant.position,
        "inventoryQuantity": lambda node: node.variant.inventory_quantity,
        "inventoryPolicy": lambda node: node.variant.inventory_policy,
        "availableForSale": lambda node: available_for_sale(node.variant),
        "createdAt": lambda node: time_text(node.variant.created_at),
        "updatedAt": lambda node: time_text(node.variant.updated_at),
    },
    "InventoryItem": {
        "id": lambda node: _gid("InventoryItem", node.variant.id),
        "sku": lambda node: node.variant.sku,
        "tracked": lambda node: node.variant.tracked,
    },
    "MediaImage": {
        "id": lambda media: _gid("MediaImage", media.id),
        "alt": lambda media: media.alt,
        "mediaContentType": lambda _: "IMAGE",
        "status": lambda _: "READY",
    },
    "Image": {
        "id": lambda media: _gid("ProductImage", media.id),
        "altText": lambda media: media.alt,
        "url": lambda media: media.url,
    },
    "BasicEvent": {
        "id": lambda event: _gid("BasicEvent", event.id),
        "action": lambda event: event.action,
        "createdAt": lambda event: time_text(event.created_at),
        "message": lambda event: f"{event.action} {event.subject_type} {event.subject_id}",
        "subjectId": lambda event: _gid("Product", event.subject_id),
        "subjectType": lambda event: event.subject_type,
    },
    "Count": {
        "count": lambda counted: counted.count,
        "precision": lambda counted: counted.precision,
    },
    "PageInfo": {
        "hasNextPage": lambda page: page.has_next_page,
        "hasPreviousPage": lambda page: page.has_previous_page,
        "startCursor": lambda page: encode_cursor(page.keys[0]) if page.keys else None,
        "endCursor": lambda page: encode_cursor(page.keys[-1]) if page.keys else None,
    },
    "ProductEdge": {"cursor": lambda edge: edge.cursor},
    "ProductVariantEdge": {"cursor": lambda edge: edge.cursor},
    "MediaEdge": {"cursor": lambda edge: edge.cursor},
    "EventEdge": {"cursor": lambda edge: edge.cursor},
}
"""Fields without arguments or selections, by type: a plain function of the source."""
