"""The table of the schema `catalog`.

The migrations make exactly this; a test compares the two. A change here needs a migration. The
view `catalog.available_items` is in the migrations alone.
"""

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Numeric, Table, Text, text

from connector_pipeline.model.catalog_item import ProductStatus
from connector_pipeline.postgres.schema import Id, Time, metadata, one_of
from connector_pipeline.postgres.schema_names import CATALOG

catalog_items: Final = Table(
    "catalog_items",
    metadata,
    Column("merchant_id", Id, nullable=False, comment="The merchant that owns the shop."),
    Column("platform_name", Id, primary_key=True, comment="The platform's name."),
    Column("platform_shop_id", Id, nullable=False, comment="The platform's id of the shop."),
    Column("domain", Id, primary_key=True, comment="The shop's host name, in lower case."),
    Column("product_id", Id, nullable=False, comment="The platform's id, as text."),
    Column(
        "variant_id",
        Id,
        primary_key=True,
        comment="The platform's id, as text; {product_id}_default where the platform gives a "
        "product without variants no second id. Unique within a shop only.",
    ),
    Column("product_title", Text, nullable=False, comment="As the platform gave it."),
    Column(
        "variant_title",
        Text,
        nullable=False,
        comment="As the platform gave it; the product's title where the variant has none.",
    ),
    Column("sku", Text, comment="As the platform gave it: null and the empty string both occur."),
    Column(
        "price",
        Numeric(20, 6),
        comment="In units of currency, never cents. Null: no price. 0: free.",
    ),
    Column("currency", Text, nullable=False, comment="The shop's ISO 4217 code."),
    Column("inventory", Integer, comment="Units in stock. Null: not tracked. Negative: oversold."),
    Column("image_url", Text, comment="The variant's image, else the product's."),
    Column("created_at", Time, comment="When the product was made, by the platform's clock."),
    Column(
        "updated_at",
        Time,
        comment="The later change of product and variant, by the platform's clock.",
    ),
    Column(
        "product_status",
        Text,
        nullable=False,
        comment="The product's state in the shop's administration. Only active may be for sale.",
    ),
    Column(
        "first_synced_at",
        Time,
        nullable=False,
        comment="When the connector first published the row.",
    ),
    Column(
        "changed_at",
        Time,
        nullable=False,
        comment="When the connector last changed the row, deletion and return included. "
        "Readers that follow changes follow this column.",
    ),
    Column(
        "deleted_at",
        Time,
        comment="When the connector learned that the variant is gone. Null: it is not gone.",
    ),
    Column("sync_id", Id, nullable=False, comment="The sync that last changed the row."),
    Column(
        "sellable",
        Boolean,
        comment="Whether it may be bought now, by the platform's own word. "
        "Null: the platform does not tell.",
    ),
    one_of("product_status", ProductStatus),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_a_code"),
    # numeric can hold NaN, and a missing value that passes through a float becomes one.
    CheckConstraint("price <> 'NaN'::numeric", name="price_is_a_number"),
    # One for each documented query of readers (docs/contracts.md): a publish pays for every index.
    Index(
        "catalog_items_available_merchant_id_idx",
        "merchant_id",
        postgresql_where=text(
            "deleted_at IS NULL AND product_status = 'active' AND sellable IS NOT FALSE"
        ),
    ),
    Index(None, "domain", "product_id"),
    Index(None, "changed_at"),
    schema=CATALOG,
    comment="One row per variant of every shop; deleted ones stay as tombstones.",
)
