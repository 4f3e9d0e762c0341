"""Shopify as the origin of the catalog: the fields of its GraphQL types by the columns they fill.

`queries.py` asks for these fields, and `mapping/normalize.py` reads them.
"""

from typing import Final

from connector_pipeline.platforms.kit.source import PlatformSource

SOURCE: Final = PlatformSource(
    title="Shopify",
    reads=(
        "Products and their variants, by the Admin GraphQL API of each shop. A full sync of a "
        "large shop goes by a bulk operation, and an increment asks for what changed."
    ),
    fields={
        "product_id": ("Product.id",),
        "variant_id": ("ProductVariant.id",),
        "product_title": ("Product.title",),
        "variant_title": ("ProductVariant.title", "Product.title"),
        "sku": ("ProductVariant.sku",),
        "price": ("ProductVariant.price",),
        "currency": ("Shop.currencyCode",),
        "inventory": ("ProductVariant.inventoryQuantity", "InventoryItem.tracked"),
        "image_url": ("ProductVariant.image", "Product.featuredMedia"),
        "created_at": ("Product.createdAt",),
        "updated_at": ("Product.updatedAt", "ProductVariant.updatedAt"),
        "product_status": ("Product.status",),
        "sellable": ("Product.status", "Product.publishedAt", "ProductVariant.availableForSale"),
    },
)
