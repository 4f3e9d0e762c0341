"""What the catalog's readers read: the view available_items, and the indexes of their queries.

A merchant's items are read from the view, so its index holds only what the view shows: tombstones
stay for ever, and would only make it longer. A domain is on one platform, so the platform's name
in front of it told no two products apart.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COLUMNS = (
    "merchant_id",
    "platform_name",
    "platform_shop_id",
    "domain",
    "product_id",
    "variant_id",
    "product_title",
    "variant_title",
    "sku",
    "price",
    "currency",
    "inventory",
    "image_url",
    "created_at",
    "updated_at",
    "first_synced_at",
    "changed_at",
    "sync_id",
)


def upgrade() -> None:
    op.drop_index("catalog_items_merchant_id_idx", table_name="catalog_items", schema="catalog")
    op.drop_index(
        "catalog_items_platform_name_domain_product_id_idx",
        table_name="catalog_items",
        schema="catalog",
    )
    op.create_index(
        "catalog_items_available_merchant_id_idx",
        "catalog_items",
        ["merchant_id"],
        unique=False,
        schema="catalog",
        postgresql_where=sa.text("deleted_at IS NULL AND product_status = 'active'"),
    )
    op.create_index(
        "catalog_items_domain_product_id_idx",
        "catalog_items",
        ["domain", "product_id"],
        unique=False,
        schema="catalog",
    )
    op.execute(
        f"CREATE VIEW catalog.available_items AS SELECT {', '.join(_COLUMNS)} "  # noqa: S608
        "FROM catalog.catalog_items WHERE deleted_at IS NULL AND product_status = 'active'"
    )
    op.execute(
        "COMMENT ON VIEW catalog.available_items IS "
        "'What may be sold: the items whose product is active and that are not deleted.'"
    )
    _comment_as_the_table()


def downgrade() -> None:
    op.execute("DROP VIEW catalog.available_items")
    op.drop_index(
        "catalog_items_domain_product_id_idx", table_name="catalog_items", schema="catalog"
    )
    op.drop_index(
        "catalog_items_available_merchant_id_idx", table_name="catalog_items", schema="catalog"
    )
    op.create_index(
        "catalog_items_platform_name_domain_product_id_idx",
        "catalog_items",
        ["platform_name", "domain", "product_id"],
        unique=False,
        schema="catalog",
    )
    op.create_index(
        "catalog_items_merchant_id_idx",
        "catalog_items",
        ["merchant_id"],
        unique=False,
        schema="catalog",
    )


def _comment_as_the_table() -> None:
    # COMMENT takes no parameters, so Postgres itself quotes the texts.
    statements = op.get_bind().execute(
        sa.text(
            "SELECT format('COMMENT ON COLUMN catalog.available_items.%I IS %L', attname,"
            " col_description(attrelid, attnum)) FROM pg_attribute"
            " WHERE attrelid = 'catalog.catalog_items'::regclass AND attname = ANY (:columns)"
        ),
        {"columns": list(_COLUMNS)},
    )
    for statement in statements.scalars().all():
        op.get_bind().exec_driver_sql(statement)
