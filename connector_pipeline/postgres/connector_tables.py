"""The tables of the schema `connector` for shops, their syncs and the outcomes of these.

The migrations make exactly these; a test compares the two. A change here needs a migration. The
tables of requests and of the queue are in `request_tables`.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync import SyncStatus
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.schema import Id, Time, metadata, one_of
from connector_pipeline.postgres.schema_names import CONNECTOR

shops: Final = Table(
    "shops",
    metadata,
    Column("platform_name", Id, primary_key=True, comment="The platform's name."),
    Column("domain", Id, primary_key=True, comment="The shop's host name, in lower case."),
    Column("merchant_id", Id, nullable=False, comment="The merchant that owns the shop."),
    Column("platform_shop_id", Id, nullable=False, comment="The platform's id of the shop."),
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
        Time,
        nullable=False,
        server_default=text("now()"),
        comment="When the shop was added.",
    ),
    Column(
        "updated_at",
        Time,
        nullable=False,
        server_default=text("now()"),
        comment="When its registration or state last changed.",
    ),
    Column(
        "last_full_sync_at",
        Time,
        comment="When the last full sync started that was published and left no deletion open.",
    ),
    Column(
        "last_successful_sync_at",
        Time,
        comment="When the last sync that was published started: changes since are not in it.",
    ),
    Column(
        "high_water_mark",
        Time,
        comment="The catalog holds every change on the platform up to this time. Null: unknown.",
    ),
    Column(
        "consecutive_failures",
        Integer,
        nullable=False,
        server_default="0",
        comment="Syncs that failed since the last success.",
    ),
    Column("last_error_code", Text, comment="The last failure's code. Null after a success."),
    Column("last_error_message", Text, comment="The last failure in words. Null after a success."),
    Column(
        "refused_credential",
        Text,
        comment="Of a disconnected shop: salted digest of the credential it refused. "
        "Null: the shop had no credential.",
    ),
    Column("last_swept_at", Time, comment="When a sweep last put the shop into the queue."),
    Column(
        "path",
        Text,
        nullable=False,
        server_default="",
        comment="The folder of the domain in which the shop lies, e.g. /shop; usually empty.",
    ),
    Column(
        "refused_at",
        Time,
        comment="When the platform began to refuse us. Null: it does not.",
    ),
    Column(
        "refused_about",
        Text,
        comment="What the platform refuses: the credentials, or the shop itself.",
    ),
    Column(
        "asked_again",
        Integer,
        nullable=False,
        server_default="0",
        comment="Of a disconnected shop: how often it was asked again and still refused.",
    ),
    Column("ask_again_at", Time, comment="Of a disconnected shop: when it is asked again."),
    Column(
        "published_currency",
        Text,
        comment="The currency of the last published full sync. Null: not known.",
    ),
    Column(
        "page_sizes",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="The sizes of pages that the shop manages, by list, where the usual ones fail.",
    ),
    Column(
        "learned",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="What the adapter remembers of the shop, as of the last published sync.",
    ),
    Column(
        "full_sync_failing_since",
        Time,
        comment="When full syncs began to fail. Null: the last one did not fail.",
    ),
    Column("full_sync_failed_at", Time, comment="When the last full sync failed."),
    Column(
        "full_sync_failures",
        Integer,
        nullable=False,
        server_default="0",
        comment="Full syncs that failed since the last one that counted.",
    ),
    Column("full_sync_error_code", Text, comment="The last failure's code of a full sync."),
    Column("full_sync_error_message", Text, comment="That failure in words."),
    Column(
        "last_hinted_sync_at",
        Time,
        comment="When the last hinted sync that was published started.",
    ),
    Column("last_hint_at", Time, comment="When the last hint about the shop arrived by webhook."),
    Column(
        "subscriptions_checked_at",
        Time,
        comment="When the platform was last asked for the shop's webhooks.",
    ),
    Column(
        "subscribed",
        Boolean,
        comment="Whether all webhooks were active then. Null: nobody subscribed to any.",
    ),
    Column("subscriptions_trouble", Text, comment="What was wrong with them, in words."),
    one_of("state", ShopState),
    Index(None, "merchant_id"),
    schema=CONNECTOR,
    comment="The registry: every shop, its state and how its syncs go.",
)

syncs: Final = Table(
    "syncs",
    metadata,
    Column(
        "sync_id",
        Id,
        primary_key=True,
        comment="The requester's id, or one that the connector made.",
    ),
    Column("platform_name", Id, nullable=False, comment="The shop's platform."),
    Column("domain", Id, nullable=False, comment="The shop's domain."),
    Column("merchant_id", Id, nullable=False, comment="The merchant that owns the shop."),
    Column("sync_type", Text, comment="How much it reads. Null: decided when it starts."),
    Column("status", Text, nullable=False, comment="Where the sync stands."),
    Column(
        "complete",
        Boolean,
        comment="Whether the snapshot agrees with the platform's counts. Null: not published.",
    ),
    Column("items", Integer, comment="Items in the snapshot, duplicates counted once."),
    Column("inserted", Integer, comment="Items new to the catalog."),
    Column("updated", Integer, comment="Items whose content differed."),
    Column("unchanged", Integer, comment="Items that the catalog held already, and the same."),
    Column("revived", Integer, comment="Tombstones whose variant returned."),
    Column("deleted", Integer, comment="Items that became tombstones."),
    Column("rejected", Integer, comment="Variants that could not be normalized."),
    Column("duplicates", Integer, comment="Earlier copies of a variant within the snapshot."),
    Column("pages", Integer, comment="Pages fetched so far."),
    Column("requests", Integer, comment="Requests made so far."),
    Column("seconds", Double[float](), comment="From start to finish."),
    Column("error_code", Text, comment="The name of the error it failed with."),
    Column("error_message", Text, comment="The error it failed with, in words."),
    Column("correlation_id", Text, nullable=False, comment="Ties logs and events together."),
    Column("run_id", Text, comment="The Dagster run."),
    Column(
        "published_by",
        Text,
        comment="The Dagster run that published it; of a retried run, the first attempt.",
    ),
    Column("requested_at", Time, comment="When a request asked for it. Null: no request did."),
    Column("started_at", Time, comment="When it started. Null: it did not start."),
    Column("progressed_at", Time, comment="When pages and requests were last written."),
    Column("fetched_at", Time, comment="When the last page was in the archive."),
    Column("finished_at", Time, comment="When it succeeded or failed."),
    Column(
        "waited_seconds",
        Double[float](),
        comment="Seconds spent waiting so far as the platform asked, or between retries.",
    ),
    Column("hinted", Integer, comment="Of a hinted sync: how many tokens it asked for."),
    Column(
        "freshness_seconds",
        Double[float](),
        comment="From the platform's change of a row to the commit: the median of the rows that "
        "the sync wrote because the platform changed them after the shop's high-water mark, less "
        "an hour, and after its registration or state last changed. 0: by its clock it changed "
        "later. Null: there is no such row.",
    ),
    Column(
        "freshness_worst_seconds", Double[float](), comment="The same, the longest of those rows."
    ),
    one_of("sync_type", SyncType),
    one_of("status", SyncStatus),
    Index(None, "platform_name", "domain", "started_at"),
    Index(
        "syncs_unfinished_sync_id_idx",
        "sync_id",
        postgresql_where=text("status IN ('pending', 'running')"),
    ),
    Index(None, "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    schema=CONNECTOR,
    comment="One row per attempt to bring a shop's catalog up to date.",
)

rejected_variants: Final = Table(
    "rejected_variants",
    metadata,
    Column(
        "id", BigInteger, Identity(always=True), primary_key=True, comment="The connector's id."
    ),
    Column("platform_name", Id, nullable=False, comment="The shop's platform."),
    Column("domain", Id, nullable=False, comment="The shop's domain."),
    Column("product_id", Id, comment="Null: it could not be read either."),
    Column("variant_id", Id, comment="Null: it could not be read either."),
    Column("reason", Text, nullable=False, comment="Why it could not be normalized."),
    Column(
        "raw",
        Text,
        nullable=False,
        comment="Its JSON in ASCII; jsonb would refuse NUL and half surrogates.",
    ),
    Column("sync_id", Id, nullable=False, comment="The sync that rejected it."),
    Column("rejected_at", Time, nullable=False, comment="When that sync was published."),
    Index(None, "platform_name", "domain"),
    schema=CONNECTOR,
    comment="The variants that the last sync of each shop could not normalize, with the reason.",
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Grows, within a shop in the order of commits: events are sent in its order.",
    ),
    Column(
        "partition_key",
        Id,
        nullable=False,
        comment="The shop, {platform_name}/{domain}: its events are sent in order.",
    ),
    Column("subject", Text, nullable=False, comment="The subject that it is sent to."),
    Column(
        "event_id",
        Uuid,
        nullable=False,
        comment="The message id: the same when an event is sent again, so that receivers drop it.",
    ),
    Column("payload", JSONB, nullable=False, comment="The event in its envelope."),
    Column(
        "created_at",
        Time,
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When it was written; old events are deleted, sent or not.",
    ),
    Column("sent_at", Time, comment="When the receiver acknowledged it. Null: still to be sent."),
    Column(
        "batches_sent",
        Integer,
        nullable=False,
        server_default="0",
        comment="Product batches that were sent before it.",
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
    comment="Events to be sent, written in the transaction of the change that they report.",
)
run_workers: Final = Table(
    "run_workers",
    metadata,
    Column("run_id", Text, primary_key=True, comment="The Dagster run."),
    Column("host", Text, nullable=False, comment="The host on which its worker runs."),
    Column("pid", Integer, nullable=False, comment="The process id of the worker on that host."),
    Column(
        "process_started",
        Double[float](),
        nullable=False,
        comment="When that process started, in Unix time.",
    ),
    Column("beat_at", Time, nullable=False, comment="When its worker last reported that it runs."),
    schema=CONNECTOR,
    comment="Signs of life from the runs that sync shops.",
)
