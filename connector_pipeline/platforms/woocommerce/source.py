"""WooCommerce as the origin of the catalog: the REST API's fields by the columns they fill.

`mapping/normalize.py` reads them.
"""

from typing import Final

from connector_pipeline.platforms.kit.source import PlatformSource

SOURCE: Final = PlatformSource(
    title="WooCommerce",
    reads=(
        "Products and their variations, by the REST API of each shop (`/wc/v3`, and "
        "`/wc-analytics` where the shop has it). An increment asks for what changed."
    ),
    fields={
        "product_id": ("product.id", "variation.parent_id"),
        "variant_id": ("variation.id", "product.id"),
        "product_title": ("product.name",),
        "variant_title": ("variation.name", "variation.attributes", "product.name"),
        "sku": ("variation.sku", "product.sku"),
        "price": ("variation.price", "product.price"),
        "currency": ("settings.woocommerce_currency",),
        "inventory": (
            "variation.stock_quantity",
            "variation.manage_stock",
            "product.stock_quantity",
            "product.manage_stock",
        ),
        "image_url": ("variation.image", "product.images"),
        "created_at": ("product.date_created_gmt",),
        "updated_at": ("product.date_modified_gmt", "variation.date_modified_gmt"),
        "product_status": ("product.status", "variation.status"),
        "sellable": (
            "product.status",
            "variation.purchasable",
            "variation.stock_status",
            "product.purchasable",
            "product.stock_status",
        ),
    },
)
