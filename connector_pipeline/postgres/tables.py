"""The tables of the schemas `catalog` (for readers) and `connector` (ours).

The migrations make exactly these; a test compares the two. A change here needs a migration. The
view `catalog.available_items` is in the migrations alone.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from connector_pipeline.model.catalog_item import ProductStatus
from connector_pipeline.model.shop import ShopState
from connector_pipeline.model.sync import BackfillStatus, SyncStatus, SyncType

CATALOG: Final = "catalog"
CONNECTOR: Final = "connector"

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    }
)

# Names and ids are compared and sorted by their bytes, the same on every server.
_Id: Final = Text(collation="C")
_Time: Final = DateTime(timezone=True)


def _one_of(column: str, vocabulary: type[StrEnum]) -> CheckConstraint:
    words = ", ".join(f"'{word.value}'" for word in vocabulary)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")


catalog_items: Final = Table(
    "catalog_items",
    metadata,
    Column("merchant_id", _Id, nullable=False, comment="Whose shop it is."),
    Column("platform_name", _Id, primary_key=True, comment="The platform's name."),
    Column("platform_shop_id", _Id, nullable=False, comment="The platform's id of the shop."),
    Column("domain", _Id, primary_key=True, comment="The shop's host name, in lower case."),
    Column("product_id", _Id, nullable=False, comment="The platform's numeric id, as text."),
    Column(
        "variant_id",
        _Id,
        primary_key=True,
        comment="The platform's numeric id, as text; {product_id}_default for a "
        "product without variations. Unique within a shop only.",
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
    Column("created_at", _Time, comment="When the product was made, by the platform."),
    Column(
        "updated_at",
        _Time,
        comment="The later of product's and variant's last change, by the platform.",
    ),
    Column("product_status", Text, nullable=False, comment="Only active is for sale."),
    Column("first_synced_at", _Time, nullable=False, comment="When we first published the row."),
    Column(
        "changed_at",
        _Time,
        nullable=False,
        comment="When we last changed the row, deletion and return included. Follow this.",
    ),
    Column(
        "deleted_at",
        _Time,
        comment="Tombstone: when we learned that it is gone. Null: it lives.",
    ),
    Column("sync_id", _Id, nullable=False, comment="The sync that last changed the row."),
    _one_of("product_status", ProductStatus),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_a_code"),
    # numeric holds NaN, and a missing value that passed through a float becomes one.
    CheckConstraint("price <> 'NaN'::numeric", name="price_is_a_number"),
    # One per documented query of readers (docs/contracts.md) and no other: publish pays for each.
    Index(
        "catalog_items_available_merchant_id_idx",
        "merchant_id",
        postgresql_where=text("deleted_at IS NULL AND product_status = 'active'"),
    ),
    Index(None, "domain", "product_id"),
    Index(None, "changed_at"),
    schema=CATALOG,
    comment="One row per variant of every shop; deleted ones stay as tombstones.",
)

shops: Final = Table(
    "shops",
    metadata,
    Column("platform_name", _Id, primary_key=True, comment="The platform's name."),
    Column("domain", _Id, primary_key=True, comment="The shop's host name, in lower case."),
    Column("merchant_id", _Id, nullable=False, comment="Whose shop it is."),
    Column("platform_shop_id", _Id, nullable=False, comment="The platform's id of the shop."),
    Column("currency", Text, comment="An operator's override of the shop's currency."),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=ShopState.ACTIVE.value,
        comment="Only active shops are synced on schedule.",
    ),
    Column(
        "registered_at",
        _Time,
        nullable=False,
        server_default=text("now()"),
        comment="When it was added.",
    ),
    Column(
        "updated_at",
        _Time,
        nullable=False,
        server_default=text("now()"),
        comment="When its registration or state last changed.",
    ),
    Column(
        "last_full_sync_at",
        _Time,
        comment="When the last full sync started that was published and left no deletion open.",
    ),
    Column(
        "last_successful_sync_at",
        _Time,
        comment="When the last sync that was published started: changes since are not in it.",
    ),
    Column(
        "high_water_mark",
        _Time,
        comment="Every change on the platform up to then is in the catalog. Null: no such time.",
    ),
    Column(
        "consecutive_failures",
        Integer,
        nullable=False,
        server_default="0",
        comment="Syncs that failed since the last success.",
    ),
    Column("last_error_code", Text, comment="The last failure's code; null after a success."),
    Column("last_error_message", Text, comment="The last failure in words; null after a success."),
    Column(
        "refused_credential",
        Text,
        comment="Of a disconnected shop: salted digest of the credential it refused. "
        "Null: there was none.",
    ),
    Column("last_swept_at", _Time, comment="When a sweep last had a run launched for it."),
    _one_of("state", ShopState),
    Index(None, "merchant_id"),
    schema=CONNECTOR,
    comment="The registry: every shop, its state and how its syncs go.",
)

syncs: Final = Table(
    "syncs",
    metadata,
    Column("sync_id", _Id, primary_key=True, comment="The requester's, or made by us."),
    Column("platform_name", _Id, nullable=False, comment="The shop's platform."),
    Column("domain", _Id, nullable=False, comment="The shop's domain."),
    Column("merchant_id", _Id, nullable=False, comment="Whose shop it is."),
    Column("sync_type", Text, comment="full or incremental. Null: not decided before it starts."),
    Column("status", Text, nullable=False, comment="Where the sync stands."),
    Column(
        "complete",
        Boolean,
        comment="Whether the platform's counts vouch for the snapshot. Null: not published.",
    ),
    Column("items", Integer, comment="Items in the snapshot, duplicates counted once."),
    Column("inserted", Integer, comment="Items new to the catalog."),
    Column("updated", Integer, comment="Items whose content differed."),
    Column("unchanged", Integer, comment="Items that were in the catalog as they are."),
    Column("revived", Integer, comment="Tombstones whose variant returned."),
    Column("deleted", Integer, comment="Items that became tombstones."),
    Column("rejected", Integer, comment="Variants that could not be normalized."),
    Column("duplicates", Integer, comment="Earlier copies of a variant within the snapshot."),
    Column("pages", Integer, comment="Pages fetched so far."),
    Column("requests", Integer, comment="Requests made so far."),
    Column("seconds", Double[float](), comment="From start to finish."),
    Column("error_code", Text, comment="Why it failed, by the error's name."),
    Column("error_message", Text, comment="Why it failed, in words."),
    Column("correlation_id", Text, nullable=False, comment="Ties logs and events together."),
    Column("run_id", Text, comment="The Dagster run."),
    Column(
        "published_by",
        Text,
        comment="The Dagster run that published it, by the first of its retries.",
    ),
    Column("requested_at", _Time, comment="When it was asked for, if by a request."),
    Column("started_at", _Time, comment="When it started. Null: it did not."),
    Column("progressed_at", _Time, comment="When pages and requests were last written."),
    Column("fetched_at", _Time, comment="When the last page was in the archive."),
    Column("finished_at", _Time, comment="When it succeeded or failed."),
    _one_of("sync_type", SyncType),
    _one_of("status", SyncStatus),
    Index(None, "platform_name", "domain", "started_at"),
    Index(
        "syncs_unfinished_sync_id_idx",
        "sync_id",
        postgresql_where=text("status IN ('pending', 'running')"),
    ),
    schema=CONNECTOR,
    comment="One row per attempt to bring a shop's catalog up to date.",
)

rejected_variants: Final = Table(
    "rejected_variants",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Ours."),
    Column("platform_name", _Id, nullable=False, comment="The shop's platform."),
    Column("domain", _Id, nullable=False, comment="The shop's domain."),
    Column("product_id", _Id, comment="Null where even that could not be read."),
    Column("variant_id", _Id, comment="Null where even that could not be read."),
    Column("reason", Text, nullable=False, comment="Why it could not be normalized."),
    Column(
        "raw",
        Text,
        nullable=False,
        comment="Its JSON in ASCII; jsonb would refuse NUL and half surrogates.",
    ),
    Column("sync_id", _Id, nullable=False, comment="The sync that met it."),
    Column("rejected_at", _Time, nullable=False, comment="When that sync was published."),
    Index(None, "platform_name", "domain"),
    schema=CONNECTOR,
    comment="What the last sync of each shop could not normalize, with the reason.",
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Grows; within a shop in the order of commits. Send by it.",
    ),
    Column(
        "partition_key",
        _Id,
        nullable=False,
        comment="The shop, {platform_name}/{domain}: its events are sent in order.",
    ),
    Column("subject", Text, nullable=False, comment="Where to send it."),
    Column(
        "event_id",
        Uuid,
        nullable=False,
        comment="The same for a repeat: the message id by which receivers drop one.",
    ),
    Column("payload", JSONB, nullable=False, comment="The event in its envelope."),
    Column(
        "created_at",
        _Time,
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When it was written; old ones are deleted, sent or not.",
    ),
    Column("sent_at", _Time, comment="When its receipt was acknowledged. Null: to be sent."),
    Column(
        "batches_sent",
        Integer,
        nullable=False,
        server_default="0",
        comment="Product batches sent ahead of it, where they are published.",
    ),
    Column(
        "products_sent",
        Integer,
        nullable=False,
        server_default="0",
        comment="Products in those batches.",
    ),
    UniqueConstraint("event_id"),
    Index(None, "partition_key", "created_at"),
    Index("outbox_unsent_id_idx", "id", postgresql_where=text("sent_at IS NULL")),
    schema=CONNECTOR,
    comment="Events to be sent, written in the transaction of what they tell.",
)

sweeps: Final = Table(
    "sweeps",
    metadata,
    Column("sweep_id", _Id, primary_key=True, comment="The time of SYNC_CRON it is of, ISO 8601."),
    Column(
        "started_at",
        _Time,
        nullable=False,
        server_default=text("now()"),
        comment="When it took up its first shops.",
    ),
    Column("shops", Integer, nullable=False, comment="Active shops when it started."),
    Column("taken", Integer, nullable=False, comment="Shops that a run was launched for."),
    Column(
        "succeeded", Integer, nullable=False, server_default="0", comment="Of those, published."
    ),
    Column("failed", Integer, nullable=False, server_default="0", comment="Of those, failed."),
    Index(None, "started_at"),
    schema=CONNECTOR,
    comment="One row per sweep over the active shops.",
)

backfill_shops: Final = Table(
    "backfill_shops",
    metadata,
    Column("backfill_id", _Id, primary_key=True, comment="Ours; a tag of its runs."),
    Column("platform_name", _Id, primary_key=True, comment="The shop's platform."),
    Column("domain", _Id, primary_key=True, comment="The shop's domain."),
    Column(
        "status",
        Text,
        nullable=False,
        server_default=BackfillStatus.WAITING.value,
        comment="Whether a run was launched for it, and how it ended.",
    ),
    Column("error_code", Text, comment="Why it failed, by the error's name."),
    Column(
        "requested_at",
        _Time,
        nullable=False,
        server_default=text("now()"),
        comment="When the backfill was asked for.",
    ),
    Column(
        "changed_at",
        _Time,
        nullable=False,
        server_default=text("now()"),
        comment="When its status last changed.",
    ),
    _one_of("status", BackfillStatus),
    Index(
        "backfill_shops_unfinished_idx",
        "status",
        postgresql_where=text("status IN ('waiting', 'launched')"),
    ),
    schema=CONNECTOR,
    comment="Shops that `connector-pipeline backfill` asked to have synced.",
)

sync_requests: Final = Table(
    "sync_requests",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of arrival."),
    Column("merchant_id", Text, nullable=False, comment="Whose shop it is."),
    Column("platform_name", _Id, nullable=False, comment="The platform's name."),
    Column("platform_shop_id", Text, nullable=False, comment="The platform's id of the shop."),
    Column("domain", _Id, nullable=False, comment="The shop's host name, in lower case."),
    Column("sync_id", _Id, nullable=False, comment="The requester's: one sync, however often."),
    Column(
        "sync_type",
        Text,
        nullable=False,
        server_default="full",
        comment="full, incremental or auto.",
    ),
    Column("correlation_id", Text, comment="Ties logs and events together. Null: the sync_id."),
    Column(
        "requested_at",
        _Time,
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When it arrived.",
    ),
    Column("accepted_at", _Time, comment="When its row in connector.syncs was made."),
    Column("offered_at", _Time, comment="When a run was last asked of Dagster."),
    Column("launched_at", _Time, comment="When its run was seen to exist."),
    Column("run_id", Text, comment="That run."),
    Column(
        "relaunches",
        Integer,
        nullable=False,
        server_default="0",
        comment="Runs in the place of one that died and was not retried.",
    ),
    Column("refused_at", _Time, comment="When it was refused, for good."),
    Column("refusal", Text, comment="Why it was refused."),
    UniqueConstraint("sync_id"),
    CheckConstraint("sync_id ~ '^[!-~]{1,200}$'", name="sync_id_usable"),
    CheckConstraint("merchant_id <> ''", name="merchant_id_given"),
    Index(
        "sync_requests_waiting_id_idx",
        "id",
        postgresql_where=text("launched_at IS NULL AND refused_at IS NULL"),
    ),
    Index(None, "requested_at"),
    schema=CONNECTOR,
    comment="The inbox of sync requests. Insert as the role sync_requester.",
)

run_workers: Final = Table(
    "run_workers",
    metadata,
    Column("run_id", Text, primary_key=True, comment="The Dagster run."),
    Column("host", Text, nullable=False, comment="Where its worker is: what the pid is of."),
    Column("pid", Integer, nullable=False, comment="The worker's process."),
    Column(
        "process_started", Double[float](), nullable=False, comment="When it started, Unix time."
    ),
    Column("beat_at", _Time, nullable=False, comment="When its worker last said that it lives."),
    schema=CONNECTOR,
    comment="Signs of life of the runs that sync shops.",
)
