"""Shopify's webhooks of what happened in a shop: their topics, and payloads in the REST form."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from connector_pipeline.sandbox.shops.records import ShopifyProduct, ShopifyVariant
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.webhooks.happening import Happening, Kind

LOCATION: Final = 655_441_491
"""The only location of a sandbox shop."""

_MOST_VARIANTS: Final = 100
"""A payload has so many variants, those changed last; `variant_gids` names all of them."""

Payload = dict[str, Any]

_PRODUCT_TOPICS: Final = {
    Kind.PRODUCT_CREATED: "PRODUCTS_CREATE",
    Kind.PRODUCT_UPDATED: "PRODUCTS_UPDATE",
}


def messages(shop: SandboxShop, happening: Happening) -> Iterator[tuple[str, Payload]]:
    """The topics, as in GraphQL, and payloads that Shopify sends of it, made now."""
    match happening.kind:
        case Kind.PRODUCT_CREATED | Kind.PRODUCT_UPDATED:
            product = shop.product(happening.id)
            if isinstance(product, ShopifyProduct):
                yield _PRODUCT_TOPICS[happening.kind], product_payload(shop, product)
        case Kind.PRODUCT_DELETED:
            yield "PRODUCTS_DELETE", {"id": happening.id}
        case Kind.STOCK_CHANGED:
            found = shop.variant(happening.id)
            if found is not None and isinstance(variant := found[1], ShopifyVariant):
                yield "INVENTORY_LEVELS_UPDATE", _level_payload(shop, variant, happening.at)
        case Kind.BULK_FINISHED:
            yield "BULK_OPERATIONS_FINISH", _bulk_payload(shop, happening.id)
        case Kind.UNINSTALLED:
            yield "APP_UNINSTALLED", shop_payload(shop)
        case _:
            return


def privacy_payload(shop: SandboxShop, topic: str) -> Payload:
    """The payload of shop/redact, customers/redact or customers/data_request."""
    payload: Payload = {"shop_id": _shop_id(shop), "shop_domain": shop.spec.domain}
    if topic != "shop/redact":
        payload["customer"] = {"id": 191167, "email": "john@example.com", "phone": "555-625-1199"}
    if topic == "customers/redact":
        payload["orders_to_redact"] = [299938, 280263]
    if topic == "customers/data_request":
        payload |= {"orders_requested": [299938], "data_request": {"id": 9999}}
    return payload


def shop_payload(shop: SandboxShop) -> Payload:
    """As app/uninstalled and shop/update have it."""
    return {
        "id": _shop_id(shop),
        "name": shop.spec.domain.split(".")[0],
        "email": "owner@example.com",
        "domain": shop.spec.domain,
        "myshopify_domain": shop.spec.domain,
        "currency": shop.spec.currency,
        "plan_name": "basic",
    }


def product_payload(shop: SandboxShop, product: ShopifyProduct) -> Payload:
    """A product in the form of the REST Admin API, which products/create and update have."""
    newest = sorted(product.variants, key=lambda each: each.updated_at, reverse=True)
    shown = {each.id for each in newest[:_MOST_VARIANTS]}
    images = [
        {"id": product.id + place, "product_id": product.id, "position": place + 1, "src": url}
        for place, url in enumerate(product.image_urls)
    ]
    return {
        "admin_graphql_api_id": f"gid://shopify/Product/{product.id}",
        "body_html": f"<p>{product.title}</p>",
        "created_at": _local(shop, product.created_at),
        "handle": f"product-{product.id}",
        "id": product.id,
        "product_type": "",
        "published_at": _local(shop, product.published_at) if product.published_at else None,
        "template_suffix": None,
        "title": product.title,
        "updated_at": _local(shop, product.updated_at),
        "vendor": "Sandbox",
        "status": product.status.lower(),
        "published_scope": "web",
        "tags": "",
        "variants": [
            _variant_payload(shop, product, each) for each in product.variants if each.id in shown
        ],
        "options": [],
        "images": images,
        "image": images[0] if images else None,
        "media": [],
        "variant_gids": [
            {
                "admin_graphql_api_id": f"gid://shopify/ProductVariant/{each.id}",
                "updated_at": f"{each.updated_at.isoformat()[:19]}.000Z",
            }
            for each in product.variants
        ],
    }


def _variant_payload(
    shop: SandboxShop, product: ShopifyProduct, variant: ShopifyVariant
) -> Payload:
    return {
        "admin_graphql_api_id": f"gid://shopify/ProductVariant/{variant.id}",
        "barcode": None,
        "compare_at_price": None,
        "created_at": _local(shop, variant.created_at),
        "id": variant.id,
        "inventory_policy": variant.inventory_policy.lower(),
        "position": variant.position,
        "price": variant.price,
        "product_id": product.id,
        "sku": variant.sku,
        "taxable": True,
        "title": variant.title,
        "updated_at": _local(shop, variant.updated_at),
        "option1": variant.title,
        "option2": None,
        "option3": None,
        "image_id": None,
        # The schema's InventoryItem of a variant has the variant's number, too.
        "inventory_item_id": variant.id,
        "inventory_quantity": variant.inventory_quantity,
        "old_inventory_quantity": variant.inventory_quantity,
    }


def _level_payload(shop: SandboxShop, variant: ShopifyVariant, at: datetime) -> Payload:
    level = f"gid://shopify/InventoryLevel/{LOCATION}?inventory_item_id={variant.id}"
    return {
        "inventory_item_id": variant.id,
        "location_id": LOCATION,
        "available": variant.inventory_quantity,
        "updated_at": _local(shop, at),
        "admin_graphql_api_id": level,
    }


def _bulk_payload(shop: SandboxShop, number: int) -> Payload:
    operation = shop.bulk.find(f"gid://shopify/BulkOperation/{number}")
    if operation is None:
        return {}
    completed = operation.completed_at
    return {
        "admin_graphql_api_id": operation.gid,
        "completed_at": None if completed is None else _local(shop, completed),
        "created_at": _local(shop, operation.created_at),
        "error_code": None if operation.error_code is None else operation.error_code.lower(),
        "status": operation.status.lower(),
        "type": "query",
    }


def _shop_id(shop: SandboxShop) -> int:
    # The same as the schema's.
    return sum(shop.spec.domain.encode())


def _local(shop: SandboxShop, time: datetime) -> str:
    """A time with the offset of the shop's own zone, as REST payloads have it."""
    zone = timezone(timedelta(minutes=shop.spec.utc_offset_minutes))
    return time.astimezone(zone).isoformat(timespec="seconds")
