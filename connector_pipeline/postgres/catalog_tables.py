"""The table of the schema `catalog`.

The migrations make exactly this; a test compares the two. A change here needs a migration. The
view `catalog.available_items` is in the migrations alone.
"""

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Numeric, Table, Text, text

from connector_pipeline.model.catalog_columns import COMMENTS
from connector_pipeline.model.catalog_item import ProductStatus
from connector_pipeline.postgres.schema import Id, Time, metadata, one_of
from connector_pipeline.postgres.schema_names import CATALOG

catalog_items: Final = Table(
    "catalog_items",
    metadata,
    Column("merchant_id", Id, nullable=False, comment=COMMENTS["merchant_id"]),
    Column("platform_name", Id, primary_key=True, comment=COMMENTS["platform_name"]),
    Column("platform_shop_id", Id, nullable=False, comment=COMMENTS["platform_shop_id"]),
    Column("domain", Id, primary_key=True, comment=COMMENTS["domain"]),
    Column("product_id", Id, nullable=False, comment=COMMENTS["product_id"]),
    Column("variant_id", Id, primary_key=True, comment=COMMENTS["variant_id"]),
    Column("product_title", Text, nullable=False, comment=COMMENTS["product_title"]),
    Column("variant_title", Text, nullable=False, comment=COMMENTS["variant_title"]),
    Column("sku", Text, comment=COMMENTS["sku"]),
    Column("price", Numeric(20, 6), comment=COMMENTS["price"]),
    Column("currency", Text, nullable=False, comment=COMMENTS["currency"]),
    Column("inventory", Integer, comment=COMMENTS["inventory"]),
    Column("image_url", Text, comment=COMMENTS["image_url"]),
    Column("created_at", Time, comment=COMMENTS["created_at"]),
    Column("updated_at", Time, comment=COMMENTS["updated_at"]),
    Column("product_status", Text, nullable=False, comment=COMMENTS["product_status"]),
    Column("first_synced_at", Time, nullable=False, comment=COMMENTS["first_synced_at"]),
    Column("changed_at", Time, nullable=False, comment=COMMENTS["changed_at"]),
    Column("deleted_at", Time, comment=COMMENTS["deleted_at"]),
    Column("sync_id", Id, nullable=False, comment=COMMENTS["sync_id"]),
    Column("sellable", Boolean, comment=COMMENTS["sellable"]),
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
