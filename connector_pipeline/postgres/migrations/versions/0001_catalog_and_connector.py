"""The schemas catalog and connector as they first were."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "catalog_items",
        sa.Column(
            "merchant_id", sa.Text(collation="C"), nullable=False, comment="Whose shop it is."
        ),
        sa.Column(
            "platform_name",
            sa.Text(collation="C"),
            nullable=False,
            comment="shopify or woocommerce.",
        ),
        sa.Column(
            "platform_shop_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="The platform's id of the shop.",
        ),
        sa.Column(
            "domain",
            sa.Text(collation="C"),
            nullable=False,
            comment="The shop's host name, in lower case.",
        ),
        sa.Column(
            "product_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="The platform's numeric id, as text.",
        ),
        sa.Column(
            "variant_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="The platform's numeric id, as text; {product_id}_default for a "
            "WooCommerce product without variations. Unique within a shop only.",
        ),
        sa.Column("product_title", sa.Text(), nullable=False, comment="As the platform gave it."),
        sa.Column(
            "variant_title",
            sa.Text(),
            nullable=False,
            comment="As the platform gave it; the product's title where the variant has none.",
        ),
        sa.Column(
            "sku",
            sa.Text(),
            nullable=True,
            comment="As the platform gave it: null and the empty string both occur.",
        ),
        sa.Column(
            "price",
            sa.Numeric(precision=20, scale=6),
            nullable=True,
            comment="In units of currency, never cents. Null: no price. 0: free.",
        ),
        sa.Column("currency", sa.Text(), nullable=False, comment="The shop's ISO 4217 code."),
        sa.Column(
            "inventory",
            sa.Integer(),
            nullable=True,
            comment="Units in stock. Null: not tracked. Negative: oversold.",
        ),
        sa.Column(
            "image_url",
            sa.Text(),
            nullable=True,
            comment="The variant's image, else the product's.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the product was made, by the platform.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="The later of product's and variant's last change, by the platform.",
        ),
        sa.Column("product_status", sa.Text(), nullable=False, comment="Only active is for sale."),
        sa.Column(
            "first_synced_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When we first published the row.",
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When we last changed the row, deletion and return included. Follow this.",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Tombstone: when we learned that it is gone. Null: it lives.",
        ),
        sa.Column(
            "sync_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="The sync that last changed the row.",
        ),
        sa.CheckConstraint(
            "currency ~ '^[A-Z]{3}$'", name=op.f("catalog_items_currency_is_a_code")
        ),
        sa.CheckConstraint("price <> 'NaN'::numeric", name=op.f("catalog_items_price_is_a_number")),
        sa.CheckConstraint(
            "product_status IN ('active', 'draft', 'archived', 'unlisted', "
            "'pending', 'private', 'scheduled')",
            name=op.f("catalog_items_product_status_known"),
        ),
        sa.PrimaryKeyConstraint(
            "platform_name", "domain", "variant_id", name=op.f("catalog_items_pkey")
        ),
        schema="catalog",
        comment="One row per variant of every shop; deleted ones stay as tombstones.",
    )
    op.create_index(
        "catalog_items_changed_at_idx",
        "catalog_items",
        ["changed_at"],
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
    op.create_index(
        "catalog_items_platform_name_domain_product_id_idx",
        "catalog_items",
        ["platform_name", "domain", "product_id"],
        unique=False,
        schema="catalog",
    )
    op.create_table(
        "rejected_variants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Ours."),
        sa.Column(
            "platform_name", sa.Text(collation="C"), nullable=False, comment="The shop's platform."
        ),
        sa.Column("domain", sa.Text(collation="C"), nullable=False, comment="The shop's domain."),
        sa.Column(
            "product_id",
            sa.Text(collation="C"),
            nullable=True,
            comment="Null where even that could not be read.",
        ),
        sa.Column(
            "variant_id",
            sa.Text(collation="C"),
            nullable=True,
            comment="Null where even that could not be read.",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why it could not be normalized."),
        sa.Column(
            "raw",
            sa.Text(),
            nullable=False,
            comment="Its JSON in ASCII; jsonb would refuse NUL and half surrogates.",
        ),
        sa.Column(
            "sync_id", sa.Text(collation="C"), nullable=False, comment="The sync that met it."
        ),
        sa.Column(
            "rejected_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When that sync was published.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("rejected_variants_pkey")),
        schema="connector",
        comment="What the last sync of each shop could not normalize, with the reason.",
    )
    op.create_index(
        "rejected_variants_platform_name_domain_idx",
        "rejected_variants",
        ["platform_name", "domain"],
        unique=False,
        schema="connector",
    )
    op.create_table(
        "shops",
        sa.Column(
            "platform_name",
            sa.Text(collation="C"),
            nullable=False,
            comment="shopify or woocommerce.",
        ),
        sa.Column(
            "domain",
            sa.Text(collation="C"),
            nullable=False,
            comment="The shop's host name, in lower case.",
        ),
        sa.Column(
            "merchant_id", sa.Text(collation="C"), nullable=False, comment="Whose shop it is."
        ),
        sa.Column(
            "platform_shop_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="The platform's id of the shop.",
        ),
        sa.Column(
            "currency",
            sa.Text(),
            nullable=True,
            comment="An operator's override of the shop's currency.",
        ),
        sa.Column(
            "state",
            sa.Text(),
            server_default="active",
            nullable=False,
            comment="Only active shops are synced on schedule.",
        ),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was added.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When its registration or state last changed.",
        ),
        sa.Column(
            "last_full_sync_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the last complete full sync that was published started.",
        ),
        sa.Column(
            "last_successful_sync_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the last sync that was published started: changes since are not in it.",
        ),
        sa.Column(
            "consecutive_failures",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Syncs that failed since the last success.",
        ),
        sa.Column(
            "last_error_code",
            sa.Text(),
            nullable=True,
            comment="The last failure's code; null after a success.",
        ),
        sa.Column(
            "last_error_message",
            sa.Text(),
            nullable=True,
            comment="The last failure in words; null after a success.",
        ),
        sa.CheckConstraint(
            "state IN ('active', 'paused', 'disconnected')", name=op.f("shops_state_known")
        ),
        sa.PrimaryKeyConstraint("platform_name", "domain", name=op.f("shops_pkey")),
        schema="connector",
        comment="The registry: every shop, its state and how its syncs go.",
    )
    op.create_index(
        "shops_merchant_id_idx", "shops", ["merchant_id"], unique=False, schema="connector"
    )
    op.create_table(
        "syncs",
        sa.Column(
            "sync_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="The requester's, or made by us.",
        ),
        sa.Column(
            "platform_name", sa.Text(collation="C"), nullable=False, comment="The shop's platform."
        ),
        sa.Column("domain", sa.Text(collation="C"), nullable=False, comment="The shop's domain."),
        sa.Column(
            "merchant_id", sa.Text(collation="C"), nullable=False, comment="Whose shop it is."
        ),
        sa.Column("sync_type", sa.Text(), nullable=False, comment="full or incremental."),
        sa.Column("status", sa.Text(), nullable=False, comment="Where the sync stands."),
        sa.Column(
            "items",
            sa.Integer(),
            nullable=True,
            comment="Items in the snapshot, duplicates counted once.",
        ),
        sa.Column("inserted", sa.Integer(), nullable=True, comment="Items new to the catalog."),
        sa.Column("updated", sa.Integer(), nullable=True, comment="Items whose content differed."),
        sa.Column(
            "unchanged",
            sa.Integer(),
            nullable=True,
            comment="Items that were in the catalog as they are.",
        ),
        sa.Column(
            "revived", sa.Integer(), nullable=True, comment="Tombstones whose variant returned."
        ),
        sa.Column("deleted", sa.Integer(), nullable=True, comment="Items that became tombstones."),
        sa.Column(
            "rejected",
            sa.Integer(),
            nullable=True,
            comment="Variants that could not be normalized.",
        ),
        sa.Column(
            "duplicates",
            sa.Integer(),
            nullable=True,
            comment="Earlier copies of a variant within the snapshot.",
        ),
        sa.Column("pages", sa.Integer(), nullable=True, comment="Pages fetched so far."),
        sa.Column("requests", sa.Integer(), nullable=True, comment="Requests made so far."),
        sa.Column("seconds", sa.Double[float](), nullable=True, comment="From start to finish."),
        sa.Column(
            "error_code", sa.Text(), nullable=True, comment="Why it failed, by the error's name."
        ),
        sa.Column("error_message", sa.Text(), nullable=True, comment="Why it failed, in words."),
        sa.Column(
            "correlation_id", sa.Text(), nullable=False, comment="Ties logs and events together."
        ),
        sa.Column("run_id", sa.Text(), nullable=True, comment="The Dagster run."),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was asked for, if by a request.",
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=False, comment="When it started."
        ),
        sa.Column(
            "progressed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When pages and requests were last written.",
        ),
        sa.Column(
            "fetched_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the last page was in the archive.",
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it succeeded or failed.",
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'succeeded', 'failed')",
            name=op.f("syncs_status_known"),
        ),
        sa.CheckConstraint(
            "sync_type IN ('full', 'incremental')", name=op.f("syncs_sync_type_known")
        ),
        sa.PrimaryKeyConstraint("sync_id", name=op.f("syncs_pkey")),
        schema="connector",
        comment="One row per attempt to bring a shop's catalog up to date.",
    )
    op.create_index(
        "syncs_platform_name_domain_started_at_idx",
        "syncs",
        ["platform_name", "domain", "started_at"],
        unique=False,
        schema="connector",
    )


def downgrade() -> None:
    op.drop_index(
        "syncs_platform_name_domain_started_at_idx", table_name=op.f("syncs"), schema="connector"
    )
    op.drop_table("syncs", schema="connector")
    op.drop_index("shops_merchant_id_idx", table_name=op.f("shops"), schema="connector")
    op.drop_table("shops", schema="connector")
    op.drop_index(
        "rejected_variants_platform_name_domain_idx",
        table_name=op.f("rejected_variants"),
        schema="connector",
    )
    op.drop_table("rejected_variants", schema="connector")
    op.drop_index(
        "catalog_items_platform_name_domain_product_id_idx",
        table_name=op.f("catalog_items"),
        schema="catalog",
    )
    op.drop_index(
        "catalog_items_merchant_id_idx", table_name=op.f("catalog_items"), schema="catalog"
    )
    op.drop_index(
        "catalog_items_changed_at_idx", table_name=op.f("catalog_items"), schema="catalog"
    )
    op.drop_table("catalog_items", schema="catalog")
