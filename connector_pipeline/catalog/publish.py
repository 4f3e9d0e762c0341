"""Publish one shop's snapshot to the catalog: stage its rows, compare, write those that differ.

The snapshot is staged row by row without a lock. Then, under the shop's lock and in the same
transaction, one pass compares it with the catalog, the guard checks how many items would be
deleted, and only rows that differ are written. A reader sees the whole change or none of it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from types import MappingProxyType

import psycopg
from psycopg.pq import TransactionStatus
from pydantic import JsonValue

from connector_pipeline.catalog.absent_items import count_gone, make_tombstones
from connector_pipeline.catalog.comparison import FEW, Comparison, compare
from connector_pipeline.catalog.examples import (
    Examples,
    ShopAfter,
    changed_items,
    deleted_items,
    new_items,
    rejected_variants,
)
from connector_pipeline.catalog.guard import refusal
from connector_pipeline.catalog.newer_rows import keep_newer_rows, later_hinted_syncs
from connector_pipeline.catalog.publish_lock import (
    LONGEST_PUBLISH,
    STAGING,
    WRITING,
    refuse_late_commit,
    wait_for_lock,
)
from connector_pipeline.catalog.rejects import keep_rejects, withdraw
from connector_pipeline.catalog.staging import MOST_REJECTS_KEPT, stage, without_leftovers
from connector_pipeline.catalog.writing import insert, update
from connector_pipeline.model.catalog_item import CatalogRow, RejectedVariant
from connector_pipeline.model.errors import SnapshotShrank
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.model.tracing import span
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.state import full_sync_failures, sync_success
from connector_pipeline.state.asked_again import ask_again_for
from connector_pipeline.state.sync_log import PublishCounts


def publish(
    connection: psycopg.Connection,
    *,
    shop: Shop,
    sync: Sync,
    complete: bool,
    rows: Iterable[CatalogRow | RejectedVariant],
    all_read: bool = False,
    gone: Iterable[str] = (),
    absences_confirmed: bool = False,
    not_yet: Collection[str] = (),
    currency: str | None = None,
    learned: Mapping[str, JsonValue] = MappingProxyType({}),
    whole_products: bool = False,
    allow_shrink: bool = False,
    as_of: datetime | None = None,
    longest: timedelta = LONGEST_PUBLISH,
    published_by: str | None = None,
    warn: Callable[[str], None] | None = None,
    note: Callable[[ShopAfter], None] | None = None,
) -> PublishCounts:
    """Make the catalog's rows of the shop equal to the snapshot, in one transaction.

    Absent items become tombstones as follows. Full and `complete`: all of them. Otherwise those in
    `gone`, the variant ids that the platform said are gone (`absences_confirmed`: these are all
    that are absent). With `whole_products`, an increment forgets the rejects that its products no
    longer have. The sync counts as the shop's full one by the rule of `sync_success.succeed`.
    Publishing the same snapshot again writes no catalog row. No row becomes older than it was,
    except by a full sync (`newer_rows`). The products that came too old, and the tokens `not_yet`,
    are asked for again. The records of the sync, the shop and
    its rejects change in the same transaction. `note` is called with the shop's live rows and with
    examples of what changed, before the commit.

    Takes an idle connection and has committed when it returns; on any exception nothing has
    changed. Two publishes of one shop run one after the other. Raises SnapshotShrank
    for a full sync (`allow_shrink` confirms it; an increment is published without its deletions,
    the shop keeps the error, and `warn` is called with it), PublishTooSlow if the publish took
    longer than `longest`, UnknownShop if the shop left the registry, ValueError for another shop's
    row, and whatever `rows` raises.
    """
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        raise RuntimeError("publish needs a connection without a transaction of its caller's")
    is_full = sync.sync_type is SyncType.FULL
    whole_shop = complete and is_full
    confirmed = [] if whole_shop else list(gone)
    # A full snapshot that is not complete contradicts itself, so its products are not trusted.
    whole_products = whole_products and not is_full
    may_delete = whole_shop or bool(confirmed)
    with without_leftovers(connection), connection.transaction(), ExitStack() as limited:
        limited.enter_context(under(connection, STAGING))
        with span("normalize") as normalizing:
            staged = stage(connection, shop, rows)
            normalizing.set(rejected=staged.rejected, duplicates=staged.duplicates)
        limited.enter_context(span("write"))
        locked_at = wait_for_lock(connection, shop)
        limited.enter_context(under(connection, WRITING))
        values: dict[str, object] = {
            "platform_name": shop.platform_name,
            "domain": shop.domain,
            "sync_id": sync.sync_id,
            "gone": confirmed,
            "whole_shop": whole_shop,
            "whole_products": whole_products,
            "now": locked_at,
            "few": FEW,
            "most_rejects": MOST_REJECTS_KEPT,
        }
        later = later_hinted_syncs(connection, shop, sync.started_at if as_of is None else as_of)
        values["later_hinted"] = later
        newer = keep_newer_rows(connection, shop, later, full=is_full)
        left = ask_again_for(
            connection,
            (shop.platform_name, shop.domain),
            sync.sync_id,
            not_yet,
            products=newer.products,
        )
        if warn is not None:
            for warning in newer.warnings(left):
                warn(warning)
        compared = compare(connection, values)
        deleted = count_gone(connection, values) if may_delete and compared.missing else 0
        shrank = _shrank(shop, compared, deleted, full=is_full)
        if shrank is not None and not allow_shrink:
            if is_full:
                raise shrank
            # The changes are wanted all the same. The deletions wait for a full sync, which an
            # operator confirms.
            values["gone"] = []
            deleted = 0
            key = (shop.platform_name, shop.domain)
            full_sync_failures.keep(connection, key, shrank, by_full=False)
            if warn is not None:
                warn(
                    f"{shrank.message} An increment does not delete so many, and a full sync does "
                    f"only if somebody allows it. {shrank.remedy}"
                )

        different = compared.different + compared.revived
        few = compared.few_to_update
        shown = note is not None
        changed = changed_items(connection, values, few) if shown and different else ()
        update(connection, values, few, expected=different)
        insert(connection, values, expected=compared.new)
        make_tombstones(connection, values, expected=deleted)
        withdrawn = withdraw(connection, values) if staged.withdrawn else 0
        kept = keep_rejects(
            connection, values, whole_shop=whole_shop, any_staged=staged.rejected > 0
        )
        if kept < staged.rejected and warn is not None:
            warn(
                f"Of {staged.rejected} rejected variants {staged.rejected - kept} are counted and "
                f"not kept: `catalog rejects` shows at most {MOST_REJECTS_KEPT} of a shop."
            )

        live = compared.live + compared.new + compared.revived - deleted
        counts = PublishCounts(
            items=compared.items,
            inserted=compared.new,
            updated=compared.different + withdrawn,
            unchanged=compared.items - compared.new - different,
            revived=compared.revived,
            deleted=deleted,
            rejected=staged.rejected,
            duplicates=staged.duplicates,
        )
        sync_success.succeed(
            connection,
            sync=sync,
            shop=shop,
            counts=counts,
            live=live,
            changed=compared.changed(),
            complete=complete,
            all_read=all_read,
            absences_confirmed=absences_confirmed,
            currency=currency,
            learned=learned,
            as_of=as_of,
            published_by=published_by,
        )
        if note is not None:
            examples = Examples(
                new=new_items(connection, values) if compared.new else (),
                changed=changed,
                deleted=deleted_items(connection, values) if deleted else (),
                rejected=rejected_variants(connection) if staged.rejected else (),
            )
            note(ShopAfter(live, examples))
        # Nothing but the commit may come after this.
        refuse_late_commit(connection, shop, locked_at, longest)
    return counts


def _shrank(shop: Shop, compared: Comparison, gone: int, *, full: bool) -> SnapshotShrank | None:
    reason = refusal(live=compared.live, gone=gone, items=compared.items, full=full)
    return None if reason is None else SnapshotShrank(reason, partition_key=shop.partition_key)
