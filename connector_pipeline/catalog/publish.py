"""Publish one shop's snapshot to the catalog: stage its rows, compare, write those that differ.

The snapshot is staged row by row without a lock. Then, under the shop's lock and in the same
transaction, one pass compares it with the catalog, the guard checks how many items would be
deleted, and only rows that differ are written. A reader sees the whole change or none of it.
`ON CONFLICT DO UPDATE … WHERE` is not used: it locks, and so writes, every row that it meets,
changed or not.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, LiteralString, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row
from pydantic import JsonValue

from connector_pipeline.catalog.examples import (
    Examples,
    ShopAfter,
    changed_items,
    deleted_items,
    new_items,
    rejected_variants,
)
from connector_pipeline.catalog.freshness import NEWER_AT, TIMES_OF_CHANGES
from connector_pipeline.catalog.guard import refusal
from connector_pipeline.catalog.newer_rows import keep_newer_rows, later_hinted_syncs
from connector_pipeline.catalog.publish_lock import (
    LONGEST_PUBLISH,
    STAGING,
    WRITING,
    refuse_late_commit,
    wait_for_lock,
)
from connector_pipeline.catalog.staging import MOST_REJECTS_KEPT, stage, without_leftovers
from connector_pipeline.model.catalog_item import ITEM_COLUMNS, CatalogRow, RejectedVariant
from connector_pipeline.model.errors import SnapshotShrank
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync, SyncType
from connector_pipeline.model.tracing import span
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.state import full_sync_failures, sync_log
from connector_pipeline.state.asked_again import ask_again_for
from connector_pipeline.state.freshness import ChangeTimes
from connector_pipeline.state.sync_log import PublishCounts

_KEY: Final = ("platform_name", "domain", "variant_id")
_CONTENT: Final = [column for column in ITEM_COLUMNS if column not in _KEY]


def _listed(columns: Iterable[str], prefix: str = "") -> LiteralString:
    # The names are the model's own fields, so the statements below are as fixed as literals.
    return cast("LiteralString", ", ".join(prefix + column for column in columns))


_OF_THE_SHOP: Final = "item.platform_name = %(platform_name)s AND item.domain = %(domain)s"
_DIFFERS: Final = (
    f"({_listed(_CONTENT, 'item.')}) IS DISTINCT FROM ({_listed(_CONTENT, 'staged.')})"
)

_FEW: Final = 20_000
"""Up to this many rows are looked up by their ids, which is faster than joining the shop again."""

# Without OFFSET 0 Postgres would compare the rows again for each of the columns.
_COMPARE: Final = f"""
    SELECT
        count(staged_id) AS items,
        count(*) FILTER (WHERE item_id IS NULL) AS new,
        count(*) FILTER (WHERE staged_id IS NOT NULL AND deleted) AS returned,
        count(*) FILTER (WHERE different AND NOT deleted) AS different,
        count(item_id) FILTER (WHERE NOT deleted) AS live,
        count(item_id) FILTER (WHERE NOT deleted AND staged_id IS NULL) AS missing,
        CASE WHEN count(*) FILTER (WHERE different) <= %(few)s
            THEN array_agg(staged_id) FILTER (WHERE different) END AS few_to_update,
        {TIMES_OF_CHANGES}
    FROM (
        SELECT staged.variant_id AS staged_id, item.variant_id AS item_id,
            item.deleted_at IS NOT NULL AS deleted,
            staged.variant_id IS NOT NULL AND item.variant_id IS NOT NULL
                AND (item.deleted_at IS NOT NULL OR {_DIFFERS}) AS different,
            {NEWER_AT}
        FROM pg_temp.staged_items AS staged
        FULL JOIN (SELECT * FROM catalog.catalog_items AS item WHERE {_OF_THE_SHOP}) AS item
            ON item.variant_id = staged.variant_id
        OFFSET 0
    ) AS compared
"""  # noqa: S608

_UPDATE: Final = f"""
    UPDATE catalog.catalog_items AS item
    SET ({_listed(_CONTENT)}, changed_at, deleted_at, sync_id) =
        ROW({_listed(_CONTENT, "staged.")}, %(now)s::timestamptz, NULL::timestamptz, %(sync_id)s)
    FROM pg_temp.staged_items AS staged
    WHERE {_OF_THE_SHOP} AND item.variant_id = staged.variant_id
        AND (item.deleted_at IS NOT NULL OR {_DIFFERS})
"""  # noqa: S608

_UPDATE_FEW: Final = f"""
    {_UPDATE} AND staged.variant_id = ANY(%(few_to_update)s::text[])
        AND item.variant_id = ANY(%(few_to_update)s::text[])
"""

_INSERT: Final = f"""
    INSERT INTO catalog.catalog_items
        ({_listed(ITEM_COLUMNS)}, first_synced_at, changed_at, sync_id)
    SELECT {_listed(ITEM_COLUMNS, "staged.")}, %(now)s, %(now)s, %(sync_id)s
    FROM pg_temp.staged_items AS staged
    WHERE NOT EXISTS (
        SELECT FROM catalog.catalog_items AS item
        WHERE {_OF_THE_SHOP} AND item.variant_id = staged.variant_id
    )
"""  # noqa: S608

# A row that the snapshot lacks is gone in two cases: the snapshot is complete for the whole shop,
# or the platform, asked by id, said that the variant is gone. A rejected variant keeps its last
# good row. A reject without a variant id may be any variant of its product, and one without a
# product id any variant of the shop, so all of those keep their rows.
_GONE: Final = f"""
    {_OF_THE_SHOP} AND item.deleted_at IS NULL AND item.sync_id <> ALL(%(later_hinted)s::text[])
    AND (%(whole_shop)s OR item.variant_id = ANY(%(gone)s::text[]))
    AND NOT EXISTS (
        SELECT FROM pg_temp.staged_items AS staged WHERE staged.variant_id = item.variant_id
    )
    AND NOT EXISTS (
        SELECT FROM pg_temp.staged_rejects AS reject WHERE reject.variant_id = item.variant_id
    )
    AND NOT EXISTS (
        SELECT FROM pg_temp.staged_rejects AS reject
        WHERE reject.variant_id IS NULL AND reject.product_id = item.product_id
    )
    AND NOT EXISTS (
        SELECT FROM pg_temp.staged_rejects AS reject
        WHERE reject.variant_id IS NULL AND reject.product_id IS NULL
    )
"""  # noqa: S608

_COUNT_GONE: Final = f"SELECT count(*) FROM catalog.catalog_items AS item WHERE {_GONE}"  # noqa: S608

_TOMBSTONE: Final = f"""
    UPDATE catalog.catalog_items AS item
    SET deleted_at = %(now)s, changed_at = %(now)s, sync_id = %(sync_id)s
    WHERE {_GONE}
"""  # noqa: S608

# A rejected variant's row keeps its content, and is not offered for sale once the platform states
# another status than active, or one that we do not know.
_WITHDRAW: Final = f"""
    UPDATE catalog.catalog_items AS item
    SET product_status = reject.product_status, changed_at = %(now)s, sync_id = %(sync_id)s
    FROM (
        SELECT product_id, variant_id, min(product_status) AS product_status
        FROM pg_temp.staged_rejects WHERE product_status <> 'active'
        GROUP BY product_id, variant_id
    ) AS reject
    WHERE {_OF_THE_SHOP} AND item.deleted_at IS NULL AND item.product_status = 'active'
        AND NOT EXISTS (
            SELECT FROM pg_temp.staged_items AS staged WHERE staged.variant_id = item.variant_id
        )
"""  # noqa: S608

# Two statements, because a join by one or the other id would compare each row with each reject.
_WITHDRAW_VARIANTS: Final = f"{_WITHDRAW} AND reject.variant_id = item.variant_id"
_WITHDRAW_PRODUCTS: Final = (
    f"{_WITHDRAW} AND reject.variant_id IS NULL AND reject.product_id = item.product_id"
)

_FORGET_ALL_REJECTS: Final = """
    DELETE FROM connector.rejected_variants
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
"""

# An incremental or incomplete snapshot says nothing about variants that it lacks, except those of
# its whole products.
_FORGET_REJECTS_IN_SNAPSHOT: Final = """
    DELETE FROM connector.rejected_variants
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
        AND (
            variant_id IN (
                SELECT variant_id FROM pg_temp.staged_items
                UNION SELECT variant_id FROM pg_temp.staged_rejects
            )
            OR (variant_id IS NULL OR %(whole_products)s) AND product_id IN (
                SELECT product_id FROM pg_temp.staged_items
                UNION SELECT product_id FROM pg_temp.staged_rejects
            )
            OR variant_id IS NULL AND product_id IS NULL
        )
"""

_KEEP_REJECTS: Final = """
    INSERT INTO connector.rejected_variants
        (platform_name, domain, product_id, variant_id, reason, raw, sync_id, rejected_at)
    SELECT %(platform_name)s, %(domain)s, product_id, variant_id, reason, raw, %(sync_id)s, %(now)s
    FROM pg_temp.staged_rejects WHERE raw IS NOT NULL
    LIMIT greatest(0, %(most_rejects)s - (
        SELECT count(*) FROM connector.rejected_variants
        WHERE platform_name = %(platform_name)s AND domain = %(domain)s
    ))
"""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """How the staged items and the shop's rows compare.

    `items` are staged, and of them `new` have no row, `returned` have a tombstone and `different`
    have a live row with other content. Of the shop's `live` rows `missing` have no staged item.
    `few_to_update` has the ids of those that returned or differ, unless there are none or many.
    `middle_change` and `first_change` are the platform's times of the rows that freshness counts.
    """

    items: int
    new: int
    returned: int
    different: int
    live: int
    missing: int
    few_to_update: list[str] | None
    middle_change: datetime | None
    first_change: datetime | None

    def changed(self) -> ChangeTimes | None:
        if self.middle_change is None or self.first_change is None:
            return None
        return ChangeTimes(self.middle_change, self.first_change)


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
    longer have. The sync counts as the shop's full one by the rule of `sync_log.succeed`.
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
            "few": _FEW,
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
        compared = _compare(connection, values)
        deleted = _count_gone(connection, values) if may_delete and compared.missing else 0
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

        different = compared.different + compared.returned
        few = compared.few_to_update
        values["few_to_update"] = few
        shown = note is not None
        changed = changed_items(connection, values, few) if shown and different else ()
        _write(connection, _UPDATE if few is None else _UPDATE_FEW, values, expected=different)
        _write(connection, _INSERT, values, expected=compared.new)
        _write(connection, _TOMBSTONE, values, expected=deleted)
        withdrawn = _withdraw(connection, values) if staged.withdrawn else 0
        forget_rejects = _FORGET_ALL_REJECTS if whole_shop else _FORGET_REJECTS_IN_SNAPSHOT
        connection.execute(forget_rejects, values)
        kept = connection.execute(_KEEP_REJECTS, values).rowcount if staged.rejected else 0
        if kept < staged.rejected and warn is not None:
            warn(
                f"Of {staged.rejected} rejected variants {staged.rejected - kept} are counted and "
                f"not kept: `catalog rejects` shows at most {MOST_REJECTS_KEPT} of a shop."
            )

        live = compared.live + compared.new + compared.returned - deleted
        counts = PublishCounts(
            items=compared.items,
            inserted=compared.new,
            updated=compared.different + withdrawn,
            unchanged=compared.items - compared.new - different,
            revived=compared.returned,
            deleted=deleted,
            rejected=staged.rejected,
            duplicates=staged.duplicates,
        )
        sync_log.succeed(
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


def _compare(connection: psycopg.Connection, values: dict[str, object]) -> _Comparison:
    # A shop's rows and their hash table fit; the default of 4 MB would spill every join to disk.
    connection.execute("SET LOCAL work_mem = '64MB'")
    with connection.cursor(row_factory=class_row(_Comparison)) as cursor:
        row = cursor.execute(_COMPARE, values).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return row


def _count_gone(connection: psycopg.Connection, values: dict[str, object]) -> int:
    row = connection.execute(_COUNT_GONE, values).fetchone()
    return int(row[0]) if row else 0


def _shrank(shop: Shop, compared: _Comparison, gone: int, *, full: bool) -> SnapshotShrank | None:
    reason = refusal(live=compared.live, gone=gone, items=compared.items, full=full)
    return None if reason is None else SnapshotShrank(reason, partition_key=shop.partition_key)


def _withdraw(connection: psycopg.Connection, values: dict[str, object]) -> int:
    return sum(
        connection.execute(statement, values).rowcount
        for statement in (_WITHDRAW_VARIANTS, _WITHDRAW_PRODUCTS)
    )


def _write(
    connection: psycopg.Connection,
    statement: LiteralString,
    values: dict[str, object],
    *,
    expected: int,
) -> None:
    if expected == 0:
        return
    written = connection.execute(statement, values).rowcount
    if written != expected:
        # Somebody changed the shop's rows without its lock, so the comparison no longer holds.
        raise RuntimeError(f"{expected} rows were to change and {written} did")
