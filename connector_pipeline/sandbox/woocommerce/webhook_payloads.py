"""WooCommerce's webhooks of what happened in a shop: their topics, and payloads.

The hooks of each topic are those of WC_Webhook::get_default_topic_hooks (trunk, 2026-11-28): a
product deleted for good, without the trash, triggers none, and neither does a deleted variation.
"""

from dataclasses import replace
from typing import Any, Final, cast

from connector_pipeline.sandbox.shops.records import WooProduct, WooVariation
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.webhooks.happening import Happening, Kind
from connector_pipeline.sandbox.woocommerce.bodies import WooBodies

_TOPICS: Final = {
    Kind.PRODUCT_CREATED: "product.created",
    Kind.VARIANT_CREATED: "product.created",
    Kind.PRODUCT_UPDATED: "product.updated",
    Kind.VARIANT_UPDATED: "product.updated",
    Kind.PRODUCT_TRASHED: "product.deleted",
    Kind.PRODUCT_RESTORED: "product.restored",
}


def topic_of(happening: Happening) -> str | None:
    """The topic of it, None where no webhook tells of it."""
    return _TOPICS.get(happening.kind)


def payload(shop: SandboxShop, topic: str, object_id: int, home: str) -> dict[str, Any]:
    """The payload, made when it is sent: it shows the object as it is by then."""
    if topic == "product.deleted":
        return {"id": object_id}
    bodies = WooBodies(shop.spec, home, lambda each: _product(shop, each))
    product = _product(shop, object_id)
    if product is not None:
        return bodies.product(product)
    found = shop.variant(object_id)
    if found is None:
        # WordPress sends what its API answers, also where that is an error.
        return {
            "code": "woocommerce_rest_product_invalid_id",
            "message": "Invalid ID.",
            "data": {"status": 404},
        }
    return bodies.variation_as_product(cast("WooProduct", found[0]), cast("WooVariation", found[1]))


def _product(shop: SandboxShop, product_id: int) -> WooProduct | None:
    product = shop.product(product_id)
    if product is None:
        trashed = shop.trashed(product_id)
        return None if trashed is None else replace(trashed, status="trash")
    return cast("WooProduct", product)
