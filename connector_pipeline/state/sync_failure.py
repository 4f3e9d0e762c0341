"""How a failed sync is recorded: on its row, its shop, its row in the queue, and as an event.

All of that is recorded in the caller's transaction: together, or not at all.
"""

from typing import Final

import psycopg

from connector_pipeline.model.errors import (
    AccessRefused,
    ConnectorError,
    InvalidSyncRequest,
    NotActive,
    ShopBusy,
    ShopDisconnected,
    SyncAbandoned,
    SyncInterrupted,
)
from connector_pipeline.model.events import Envelope, FetchFailed
from connector_pipeline.model.queue import QueueOutcome
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.state import full_sync_failures, refusals, sync_log, sync_queue
from connector_pipeline.state.asked_again import ask_again_all
from connector_pipeline.state.error_text import stored_text
from connector_pipeline.state.outbox import put_outcome
from connector_pipeline.state.refusals import Refusal

_NOT_OF_FULL_SYNCS: Final = (ShopBusy, SyncInterrupted, AccessRefused, ShopDisconnected)
"""Errors that say nothing of full syncs in particular: an increment ends them just as well."""


def refuse(
    connection: psycopg.Connection,
    sync: Sync,
    shop: Shop,
    error: ConnectorError,
    run_id: str | None,
) -> None:
    """Record a sync that failed before it began. A sync on record stays as another run left it."""
    if sync_log.progress(connection, sync.sync_id) is None:
        sync_log.start(connection, sync, shop, run_id)
        fail(connection, sync.sync_id, error)


def fail(
    connection: psycopg.Connection,
    sync_id: str,
    error: ConnectorError,
    *,
    refusal: Refusal = refusals.UNKNOWN,
) -> ConnectorError:
    """Record that a sync failed, in the queue too, and count the failure on its shop.

    Returns the error as recorded: an AccessRefused takes the place of a ShopDisconnected that is
    not believed yet, by what the run knows of the `refusal`. A believed one marks an active shop
    disconnected. An InvalidSyncRequest or a NotActive leaves the shop as it is, so that its own
    error stays, and a ShopBusy is not counted. Nor
    is what fails for hints alone: their tokens are asked for again, and whether the shop is well
    is for the syncs of the whole shop to say.
    """
    if isinstance(error, ShopDisconnected):
        error = _judged(connection, sync_id, error, refusal)
    message = stored_text(error)
    failed = connection.execute(
        """
        UPDATE connector.syncs
        SET status = 'failed', error_code = %s, error_message = %s,
            finished_at = clock_timestamp(),
            seconds = extract(epoch FROM clock_timestamp() - started_at)
        WHERE sync_id = %s
        RETURNING platform_name, domain, merchant_id, correlation_id, finished_at,
            sync_type, (
                SELECT platform_shop_id FROM connector.shops
                WHERE (platform_name, domain) = (syncs.platform_name, syncs.domain)
            )
        """,
        (error.code, message, sync_id),
    ).fetchone()
    # A shop's row may wait for a sync that was not recorded yet.
    sync_queue.end(connection, sync_id, QueueOutcome.FAILED, error.code)
    if failed is None:
        ask_again_all(connection, sync_id)
        return error
    (
        platform_name,
        domain,
        merchant_id,
        correlation_id,
        finished_at,
        sync_type,
        platform_shop_id,
    ) = failed
    hinted = sync_type == SyncType.HINTED
    if hinted and not isinstance(error, SyncAbandoned):
        ask_again_all(connection, sync_id)
    says_nothing = isinstance(error, InvalidSyncRequest | NotActive)
    if not says_nothing and not (hinted and not _is_refusal(error)):
        _count_failure(connection, (platform_name, domain), error, message)
        if sync_type == SyncType.FULL and not isinstance(error, _NOT_OF_FULL_SYNCS):
            full_sync_failures.keep(connection, (platform_name, domain), error)
    data = FetchFailed(
        merchant_id=merchant_id,
        sync_id=sync_id,
        platform_name=platform_name,
        platform_shop_id=platform_shop_id,
        domain=domain,
        error_code=error.code,
        error=f"{error.code}: {message}",
    )
    event = Envelope[FetchFailed].of(data, correlation_id=correlation_id, timestamp=finished_at)
    put_outcome(connection, f"{platform_name}/{domain}", event)
    return error


def _is_refusal(error: ConnectorError) -> bool:
    return isinstance(error, AccessRefused | ShopDisconnected)


def _judged(
    connection: psycopg.Connection, sync_id: str, error: ShopDisconnected, refusal: Refusal
) -> ConnectorError:
    """The error as the registry believes it. The rows are locked in everybody's order."""
    shop = connection.execute(
        "SELECT platform_name, domain FROM connector.syncs WHERE sync_id = %s FOR UPDATE",
        (sync_id,),
    ).fetchone()
    if shop is None:
        return error
    connection.execute("SELECT FROM connector.sync_queue WHERE sync_id = %s FOR UPDATE", (sync_id,))
    return refusals.judged(connection, shop, error, refusal)


def _count_failure(
    connection: psycopg.Connection, shop: tuple[str, str], error: ConnectorError, message: str
) -> None:
    platform_name, domain = shop
    connection.execute(
        """
        UPDATE connector.shops
        SET consecutive_failures = consecutive_failures + %(counted)s,
            last_error_code = %(code)s, last_error_message = %(message)s
        WHERE platform_name = %(platform_name)s AND domain = %(domain)s
        """,
        {
            "code": error.code,
            "message": message,
            "counted": 0 if isinstance(error, ShopBusy) else 1,
            "platform_name": platform_name,
            "domain": domain,
        },
    )
