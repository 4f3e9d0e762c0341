"""What real shops do on bad days: sellable items, and what the registry remembers of a shop."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003_bad_days"
down_revision = "0002_sync_queue"

_TIME = sa.DateTime(timezone=True)

_AVAILABLE = (
    "merchant_id, platform_name, platform_shop_id, domain, product_id, variant_id, product_title, "
    "variant_title, sku, price, currency, inventory, image_url, created_at, updated_at, "
    "first_synced_at, changed_at, sync_id, sellable"
)


def upgrade() -> None:
    _know_unknown_statuses()
    _add_sellable()
    _extend_shops()


def downgrade() -> None:
    raise NotImplementedError("readers of the catalog may use the column sellable")


def _know_unknown_statuses() -> None:
    name = op.f("catalog_items_product_status_known")
    op.drop_constraint(name, "catalog_items", schema="catalog", type_="check")
    op.create_check_constraint(
        name,
        "catalog_items",
        "product_status IN ('active', 'draft', 'archived', 'unlisted', 'pending', 'private', "
        "'scheduled', 'unknown')",
        schema="catalog",
    )


def _add_sellable() -> None:
    op.add_column(
        "catalog_items",
        sa.Column(
            "sellable",
            sa.Boolean,
            comment="Whether it may be bought now, by the platform's own word. "
            "Null: the platform does not tell.",
        ),
        schema="catalog",
    )
    op.alter_column(
        "catalog_items",
        "product_status",
        comment="The product's state in the shop's administration. Only active may be for sale.",
        schema="catalog",
    )
    available = "deleted_at IS NULL AND product_status = 'active' AND sellable IS NOT FALSE"
    op.execute(
        f"CREATE OR REPLACE VIEW catalog.available_items AS SELECT {_AVAILABLE} "  # noqa: S608
        f"FROM catalog.catalog_items WHERE {available}"
    )
    op.execute(
        "COMMENT ON VIEW catalog.available_items IS "
        "'What may be sold: the items whose product is active, that are not deleted, and that the "
        "platform does not call unsellable.'"
    )
    op.execute(
        "COMMENT ON COLUMN catalog.available_items.sellable IS "
        "'Whether it may be bought now, by the platform''s own word. "
        "Null: the platform does not tell.'"
    )
    op.drop_index(
        "catalog_items_available_merchant_id_idx", table_name="catalog_items", schema="catalog"
    )
    op.create_index(
        "catalog_items_available_merchant_id_idx",
        "catalog_items",
        ["merchant_id"],
        schema="catalog",
        postgresql_where=sa.text(available),
    )
    # The next sync of each shop is a full one: only that fills the column in rows that do not
    # change.
    op.execute("UPDATE connector.shops SET high_water_mark = NULL")


def _extend_shops() -> None:
    for column in (
        sa.Column(
            "path",
            sa.Text,
            server_default="",
            comment="The folder of the domain in which the shop lies, e.g. /shop; usually empty.",
            nullable=False,
        ),
        sa.Column(
            "refused_at",
            _TIME,
            comment="When the platform began to refuse us. Null: it does not.",
        ),
        sa.Column(
            "refused_about",
            sa.Text,
            comment="What the platform refuses: the credentials, or the shop itself.",
        ),
        sa.Column(
            "asked_again",
            sa.Integer,
            server_default="0",
            comment="Of a disconnected shop: how often it was asked again and still refused.",
            nullable=False,
        ),
        sa.Column("ask_again_at", _TIME, comment="Of a disconnected shop: when it is asked again."),
        sa.Column(
            "published_currency",
            sa.Text,
            comment="The currency of the last published full sync. Null: not known.",
        ),
        sa.Column(
            "page_sizes",
            JSONB,
            server_default=sa.text("'{}'"),
            comment="The sizes of pages that the shop manages, by list, where the usual ones fail.",
            nullable=False,
        ),
        sa.Column(
            "learned",
            JSONB,
            server_default=sa.text("'{}'"),
            comment="What the adapter remembers of the shop, as of the last published sync.",
            nullable=False,
        ),
        sa.Column(
            "full_sync_failing_since",
            _TIME,
            comment="When full syncs began to fail. Null: the last one did not fail.",
        ),
        sa.Column("full_sync_failed_at", _TIME, comment="When the last full sync failed."),
        sa.Column(
            "full_sync_failures",
            sa.Integer,
            server_default="0",
            comment="Full syncs that failed since the last one that counted.",
            nullable=False,
        ),
        sa.Column(
            "full_sync_error_code", sa.Text, comment="The last failure's code of a full sync."
        ),
        sa.Column("full_sync_error_message", sa.Text, comment="That failure in words."),
    ):
        op.add_column("shops", column, schema="connector")
