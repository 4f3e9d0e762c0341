"""The columns of `catalog.catalog_items` in words, for people and programs that load no SQLAlchemy.

`postgres/catalog_tables.py` makes the table of them; a test compares types and nullability.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A column: its type as Postgres writes it, whether it may be null, and its comment."""

    name: str
    type: str
    comment: str
    nullable: bool = False


CATALOG_COLUMNS: Final = (
    CatalogColumn(
        "merchant_id",
        "text",
        "The merchant that owns the shop.",
    ),
    CatalogColumn(
        "platform_name",
        "text",
        "The platform's name.",
    ),
    CatalogColumn(
        "platform_shop_id",
        "text",
        "The platform's id of the shop.",
    ),
    CatalogColumn(
        "domain",
        "text",
        "The shop's host name, in lower case.",
    ),
    CatalogColumn(
        "product_id",
        "text",
        "The platform's id, as text.",
    ),
    CatalogColumn(
        "variant_id",
        "text",
        "The platform's id, as text; {product_id}_default where the platform gives a "
        "product without variants no second id. Unique within a shop only.",
    ),
    CatalogColumn(
        "product_title",
        "text",
        "As the platform gave it.",
    ),
    CatalogColumn(
        "variant_title",
        "text",
        "As the platform gave it; the product's title where the variant has none.",
    ),
    CatalogColumn(
        "sku",
        "text",
        "As the platform gave it: null and the empty string both occur.",
        nullable=True,
    ),
    CatalogColumn(
        "price",
        "numeric(20, 6)",
        "In units of currency, never cents. Null: no price. 0: free.",
        nullable=True,
    ),
    CatalogColumn(
        "currency",
        "text",
        "The shop's ISO 4217 code.",
    ),
    CatalogColumn(
        "inventory",
        "integer",
        "Units in stock. Null: not tracked. Negative: oversold.",
        nullable=True,
    ),
    CatalogColumn(
        "image_url",
        "text",
        "The variant's image, else the product's.",
        nullable=True,
    ),
    CatalogColumn(
        "created_at",
        "timestamptz",
        "When the product was made, by the platform's clock.",
        nullable=True,
    ),
    CatalogColumn(
        "updated_at",
        "timestamptz",
        "The later change of product and variant, by the platform's clock.",
        nullable=True,
    ),
    CatalogColumn(
        "product_status",
        "text",
        "The product's state in the shop's administration. Only active may be for sale.",
    ),
    CatalogColumn(
        "first_synced_at",
        "timestamptz",
        "When the connector first published the row.",
    ),
    CatalogColumn(
        "changed_at",
        "timestamptz",
        "When the connector last changed the row, deletion and return included. Readers "
        "that follow changes follow this column.",
    ),
    CatalogColumn(
        "deleted_at",
        "timestamptz",
        "When the connector learned that the variant is gone. Null: it is not gone.",
        nullable=True,
    ),
    CatalogColumn(
        "sync_id",
        "text",
        "The sync that last changed the row.",
    ),
    CatalogColumn(
        "sellable",
        "boolean",
        "Whether it may be bought now, by the platform's own word. Null: the platform "
        "does not tell.",
        nullable=True,
    ),
)

COMMENTS: Final = {each.name: each.comment for each in CATALOG_COLUMNS}
