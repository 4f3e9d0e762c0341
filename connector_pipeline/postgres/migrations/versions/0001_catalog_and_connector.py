"""The schemas catalog and connector as the first release has them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import SetColumnComment

revision = "0001_catalog_and_connector"
down_revision = None

_ID = sa.Text(collation="C")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_catalog()
    _create_connector()


def downgrade() -> None:
    raise NotImplementedError("nothing was before the first migration: drop the database instead")


def _create_catalog() -> None:
    items: list[sa.Column[Any]] = [
        sa.Column("merchant_id", _ID, nullable=False, comment="The merchant that owns the shop."),
        sa.Column("platform_name", _ID, nullable=False, comment="The platform's name."),
        sa.Column(
            "platform_shop_id", _ID, nullable=False, comment="The platform's id of the shop."
        ),
        sa.Column("domain", _ID, nullable=False, comment="The shop's host name, in lower case."),
        sa.Column("product_id", _ID, nullable=False, comment="The platform's id, as text."),
        sa.Column(
            "variant_id",
            _ID,
            nullable=False,
            comment="The platform's id, as text; {product_id}_default where the platform gives a "
            "product without variants no second id. Unique within a shop only.",
        ),
        sa.Column("product_title", sa.Text, nullable=False, comment="As the platform gave it."),
        sa.Column(
            "variant_title",
            sa.Text,
            nullable=False,
            comment="As the platform gave it; the product's title where the variant has none.",
        ),
        sa.Column(
            "sku", sa.Text, comment="As the platform gave it: null and the empty string both occur."
        ),
        sa.Column(
            "price",
            sa.Numeric(precision=20, scale=6),
            comment="In units of currency, never cents. Null: no price. 0: free.",
        ),
        sa.Column("currency", sa.Text, nullable=False, comment="The shop's ISO 4217 code."),
        sa.Column(
            "inventory",
            sa.Integer,
            comment="Units in stock. Null: not tracked. Negative: oversold.",
        ),
        sa.Column("image_url", sa.Text, comment="The variant's image, else the product's."),
        sa.Column(
            "created_at", _TIME, comment="When the product was made, by the platform's clock."
        ),
        sa.Column(
            "updated_at",
            _TIME,
            comment="The later change of product and variant, by the platform's clock.",
        ),
        sa.Column("product_status", sa.Text, nullable=False, comment="Only active is for sale."),
        sa.Column(
            "first_synced_at",
            _TIME,
            nullable=False,
            comment="When the connector first published the row.",
        ),
        sa.Column(
            "changed_at",
            _TIME,
            nullable=False,
            comment="When the connector last changed the row, deletion and return included. "
            "Readers that follow changes follow this column.",
        ),
        sa.Column(
            "deleted_at",
            _TIME,
            comment="When the connector learned that the variant is gone. Null: it is not gone.",
        ),
        sa.Column("sync_id", _ID, nullable=False, comment="The sync that last changed the row."),
    ]
    op.create_table(
        "catalog_items",
        *items,
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
        "catalog_items_available_merchant_id_idx",
        "catalog_items",
        ["merchant_id"],
        schema="catalog",
        postgresql_where=sa.text("deleted_at IS NULL AND product_status = 'active'"),
    )
    op.create_index(
        "catalog_items_changed_at_idx", "catalog_items", ["changed_at"], schema="catalog"
    )
    op.create_index(
        "catalog_items_domain_product_id_idx",
        "catalog_items",
        ["domain", "product_id"],
        schema="catalog",
    )
    # In the view these would be the same in every row.
    available = [item for item in items if item.name not in ("product_status", "deleted_at")]
    names = ", ".join(item.name for item in available)
    op.execute(
        f"CREATE VIEW catalog.available_items AS SELECT {names} "  # noqa: S608 - the names above
        "FROM catalog.catalog_items WHERE deleted_at IS NULL AND product_status = 'active'"
    )
    op.execute(
        "COMMENT ON VIEW catalog.available_items IS "
        "'What may be sold: the items whose product is active and that are not deleted.'"
    )
    view = sa.Table("available_items", sa.MetaData(), schema="catalog")
    for item in available:
        column = sa.Column[Any](item.name, comment=item.comment)
        view.append_column(column)
        op.execute(SetColumnComment(column))


def _create_connector() -> None:
    op.create_table(
        "backfill_shops",
        sa.Column(
            "backfill_id",
            _ID,
            nullable=False,
            comment="The connector's id, and a tag of the backfill's runs.",
        ),
        sa.Column("platform_name", _ID, nullable=False, comment="The shop's platform."),
        sa.Column("domain", _ID, nullable=False, comment="The shop's domain."),
        sa.Column(
            "status",
            sa.Text,
            server_default="waiting",
            nullable=False,
            comment="Whether a run was launched for the shop, and how that ended.",
        ),
        sa.Column("error_code", sa.Text, comment="The name of the error it failed with."),
        sa.Column(
            "requested_at",
            _TIME,
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the backfill was requested.",
        ),
        sa.Column(
            "changed_at",
            _TIME,
            server_default=sa.text("now()"),
            nullable=False,
            comment="When its status last changed.",
        ),
        sa.CheckConstraint(
            "status IN ('waiting', 'launched', 'succeeded', 'failed')",
            name=op.f("backfill_shops_status_known"),
        ),
        sa.PrimaryKeyConstraint(
            "backfill_id", "platform_name", "domain", name=op.f("backfill_shops_pkey")
        ),
        schema="connector",
        comment="Shops that `connector-pipeline backfill` requested.",
    )
    op.create_index(
        "backfill_shops_unfinished_idx",
        "backfill_shops",
        ["status"],
        schema="connector",
        postgresql_where=sa.text("status IN ('waiting', 'launched')"),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.BigInteger,
            sa.Identity(always=True),
            nullable=False,
            comment="Grows, within a shop in the order of commits: events are sent in its order.",
        ),
        sa.Column(
            "partition_key",
            _ID,
            nullable=False,
            comment="The shop, {platform_name}/{domain}: its events are sent in order.",
        ),
        sa.Column("subject", sa.Text, nullable=False, comment="The subject that it is sent to."),
        sa.Column(
            "event_id",
            sa.Uuid,
            nullable=False,
            comment="The message id: the same when an event is sent again, so that "
            "receivers drop it.",
        ),
        sa.Column(
            "payload",
            postgresql.JSONB(),
            nullable=False,
            comment="The event in its envelope.",
        ),
        sa.Column(
            "created_at",
            _TIME,
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was written; old events are deleted, sent or not.",
        ),
        sa.Column(
            "sent_at", _TIME, comment="When the receiver acknowledged it. Null: still to be sent."
        ),
        sa.Column(
            "batches_sent",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="Product batches that were sent before it.",
        ),
        sa.Column(
            "products_sent",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="Products in those batches.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        sa.UniqueConstraint("event_id", name=op.f("outbox_event_id_key")),
        schema="connector",
        comment="Events to be sent, written in the transaction of the change that they report.",
    )
    op.create_index(
        "outbox_partition_key_created_at_idx",
        "outbox",
        ["partition_key", "created_at"],
        schema="connector",
    )
    op.create_index(
        "outbox_unsent_id_idx",
        "outbox",
        ["id"],
        schema="connector",
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "rejected_variants",
        sa.Column(
            "id",
            sa.BigInteger,
            sa.Identity(always=True),
            nullable=False,
            comment="The connector's id.",
        ),
        sa.Column("platform_name", _ID, nullable=False, comment="The shop's platform."),
        sa.Column("domain", _ID, nullable=False, comment="The shop's domain."),
        sa.Column("product_id", _ID, comment="Null: it could not be read either."),
        sa.Column("variant_id", _ID, comment="Null: it could not be read either."),
        sa.Column("reason", sa.Text, nullable=False, comment="Why it could not be normalized."),
        sa.Column(
            "raw",
            sa.Text,
            nullable=False,
            comment="Its JSON in ASCII; jsonb would refuse NUL and half surrogates.",
        ),
        sa.Column("sync_id", _ID, nullable=False, comment="The sync that rejected it."),
        sa.Column("rejected_at", _TIME, nullable=False, comment="When that sync was published."),
        sa.PrimaryKeyConstraint("id", name=op.f("rejected_variants_pkey")),
        schema="connector",
        comment="The variants that the last sync of each shop could not normalize, "
        "with the reason.",
    )
    op.create_index(
        "rejected_variants_platform_name_domain_idx",
        "rejected_variants",
        ["platform_name", "domain"],
        schema="connector",
    )
    op.create_table(
        "run_workers",
        sa.Column("run_id", sa.Text, nullable=False, comment="The Dagster run."),
        sa.Column("host", sa.Text, nullable=False, comment="The host on which its worker runs."),
        sa.Column(
            "pid", sa.Integer, nullable=False, comment="The process id of the worker on that host."
        ),
        sa.Column(
            "process_started",
            sa.Double[float](),
            nullable=False,
            comment="When that process started, in Unix time.",
        ),
        sa.Column(
            "beat_at", _TIME, nullable=False, comment="When its worker last reported that it runs."
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("run_workers_pkey")),
        schema="connector",
        comment="Signs of life from the runs that sync shops.",
    )
    op.create_table(
        "shops",
        sa.Column("platform_name", _ID, nullable=False, comment="The platform's name."),
        sa.Column("domain", _ID, nullable=False, comment="The shop's host name, in lower case."),
        sa.Column("merchant_id", _ID, nullable=False, comment="The merchant that owns the shop."),
        sa.Column(
            "platform_shop_id", _ID, nullable=False, comment="The platform's id of the shop."
        ),
        sa.Column("currency", sa.Text, comment="An operator's override of the shop's currency."),
        sa.Column(
            "state",
            sa.Text,
            server_default="active",
            nullable=False,
            comment="Only active shops are synced on schedule.",
        ),
        sa.Column(
            "registered_at",
            _TIME,
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the shop was added.",
        ),
        sa.Column(
            "updated_at",
            _TIME,
            server_default=sa.text("now()"),
            nullable=False,
            comment="When its registration or state last changed.",
        ),
        sa.Column(
            "last_full_sync_at",
            _TIME,
            comment="When the last full sync started that was published and left no deletion open.",
        ),
        sa.Column(
            "last_successful_sync_at",
            _TIME,
            comment="When the last sync that was published started: changes since are not in it.",
        ),
        sa.Column(
            "high_water_mark",
            _TIME,
            comment="The catalog holds every change on the platform up to this time. "
            "Null: unknown.",
        ),
        sa.Column(
            "consecutive_failures",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="Syncs that failed since the last success.",
        ),
        sa.Column(
            "last_error_code", sa.Text, comment="The last failure's code. Null after a success."
        ),
        sa.Column(
            "last_error_message",
            sa.Text,
            comment="The last failure in words. Null after a success.",
        ),
        sa.Column(
            "refused_credential",
            sa.Text,
            comment="Of a disconnected shop: salted digest of the credential it refused. "
            "Null: the shop had no credential.",
        ),
        sa.Column("last_swept_at", _TIME, comment="When a sweep last launched a run for the shop."),
        sa.CheckConstraint(
            "state IN ('active', 'paused', 'disconnected')", name=op.f("shops_state_known")
        ),
        sa.PrimaryKeyConstraint("platform_name", "domain", name=op.f("shops_pkey")),
        schema="connector",
        comment="The registry: every shop, its state and how its syncs go.",
    )
    op.create_index("shops_merchant_id_idx", "shops", ["merchant_id"], schema="connector")
    op.create_table(
        "sweeps",
        sa.Column(
            "sweep_id",
            _ID,
            nullable=False,
            comment="The time of SYNC_CRON at which it was due, in ISO 8601.",
        ),
        sa.Column(
            "started_at",
            _TIME,
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it launched the first run.",
        ),
        sa.Column("shops", sa.Integer, nullable=False, comment="Active shops when it started."),
        sa.Column(
            "taken", sa.Integer, nullable=False, comment="Shops for which a run was launched."
        ),
        sa.Column(
            "succeeded",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="Shops of these that were published.",
        ),
        sa.Column(
            "failed",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="Shops of these that failed.",
        ),
        sa.PrimaryKeyConstraint("sweep_id", name=op.f("sweeps_pkey")),
        schema="connector",
        comment="One row per sweep over the active shops.",
    )
    op.create_index("sweeps_started_at_idx", "sweeps", ["started_at"], schema="connector")
    op.create_table(
        "sync_requests",
        sa.Column(
            "id",
            sa.BigInteger,
            sa.Identity(always=True),
            nullable=False,
            comment="Order of arrival.",
        ),
        sa.Column(
            "merchant_id", sa.Text, nullable=False, comment="The merchant that owns the shop."
        ),
        sa.Column("platform_name", _ID, nullable=False, comment="The platform's name."),
        sa.Column(
            "platform_shop_id", sa.Text, nullable=False, comment="The platform's id of the shop."
        ),
        sa.Column("domain", _ID, nullable=False, comment="The shop's host name, in lower case."),
        sa.Column(
            "sync_id",
            _ID,
            nullable=False,
            comment="The requester's id; a repeated id asks for the same sync.",
        ),
        sa.Column(
            "sync_type",
            sa.Text,
            server_default="full",
            nullable=False,
            comment="full, incremental or auto.",
        ),
        sa.Column(
            "correlation_id",
            sa.Text,
            comment="Ties logs and events together. Null: the sync_id does.",
        ),
        sa.Column(
            "requested_at",
            _TIME,
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the request arrived.",
        ),
        sa.Column("accepted_at", _TIME, comment="When its row in connector.syncs was made."),
        sa.Column("offered_at", _TIME, comment="When Dagster was last asked for a run."),
        sa.Column("launched_at", _TIME, comment="When its run was seen in Dagster."),
        sa.Column("run_id", sa.Text, comment="The Dagster run."),
        sa.Column(
            "relaunches",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="Runs launched in place of one that died and that Dagster did not retry.",
        ),
        sa.Column("refused_at", _TIME, comment="When the connector refused it for good."),
        sa.Column("refusal", sa.Text, comment="The reason of the refusal."),
        sa.CheckConstraint("merchant_id <> ''", name=op.f("sync_requests_merchant_id_given")),
        sa.CheckConstraint("sync_id ~ '^[!-~]{1,200}$'", name=op.f("sync_requests_sync_id_usable")),
        sa.PrimaryKeyConstraint("id", name=op.f("sync_requests_pkey")),
        sa.UniqueConstraint("sync_id", name=op.f("sync_requests_sync_id_key")),
        schema="connector",
        comment="Requests to sync a shop. Requesters insert as the role sync_requester.",
    )
    op.create_index(
        "sync_requests_requested_at_idx", "sync_requests", ["requested_at"], schema="connector"
    )
    op.create_index(
        "sync_requests_waiting_id_idx",
        "sync_requests",
        ["id"],
        schema="connector",
        postgresql_where=sa.text("launched_at IS NULL AND refused_at IS NULL"),
    )
    op.create_table(
        "syncs",
        sa.Column(
            "sync_id",
            _ID,
            nullable=False,
            comment="The requester's id, or one that the connector made.",
        ),
        sa.Column("platform_name", _ID, nullable=False, comment="The shop's platform."),
        sa.Column("domain", _ID, nullable=False, comment="The shop's domain."),
        sa.Column("merchant_id", _ID, nullable=False, comment="The merchant that owns the shop."),
        sa.Column(
            "sync_type", sa.Text, comment="full or incremental. Null: decided when it starts."
        ),
        sa.Column("status", sa.Text, nullable=False, comment="Where the sync stands."),
        sa.Column(
            "complete",
            sa.Boolean,
            comment="Whether the snapshot agrees with the platform's counts. Null: not published.",
        ),
        sa.Column("items", sa.Integer, comment="Items in the snapshot, duplicates counted once."),
        sa.Column("inserted", sa.Integer, comment="Items new to the catalog."),
        sa.Column("updated", sa.Integer, comment="Items whose content differed."),
        sa.Column(
            "unchanged", sa.Integer, comment="Items that the catalog held already, and the same."
        ),
        sa.Column("revived", sa.Integer, comment="Tombstones whose variant returned."),
        sa.Column("deleted", sa.Integer, comment="Items that became tombstones."),
        sa.Column("rejected", sa.Integer, comment="Variants that could not be normalized."),
        sa.Column(
            "duplicates", sa.Integer, comment="Earlier copies of a variant within the snapshot."
        ),
        sa.Column("pages", sa.Integer, comment="Pages fetched so far."),
        sa.Column("requests", sa.Integer, comment="Requests made so far."),
        sa.Column("seconds", sa.Double[float](), comment="From start to finish."),
        sa.Column("error_code", sa.Text, comment="The name of the error it failed with."),
        sa.Column("error_message", sa.Text, comment="The error it failed with, in words."),
        sa.Column(
            "correlation_id", sa.Text, nullable=False, comment="Ties logs and events together."
        ),
        sa.Column("run_id", sa.Text, comment="The Dagster run."),
        sa.Column(
            "published_by",
            sa.Text,
            comment="The Dagster run that published it; of a retried run, the first attempt.",
        ),
        sa.Column(
            "requested_at", _TIME, comment="When a request asked for it. Null: no request did."
        ),
        sa.Column("started_at", _TIME, comment="When it started. Null: it did not start."),
        sa.Column("progressed_at", _TIME, comment="When pages and requests were last written."),
        sa.Column("fetched_at", _TIME, comment="When the last page was in the archive."),
        sa.Column("finished_at", _TIME, comment="When it succeeded or failed."),
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
        schema="connector",
    )
    op.create_index(
        "syncs_unfinished_sync_id_idx",
        "syncs",
        ["sync_id"],
        schema="connector",
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
