"""Old rows are deleted, except those that explain the state of a shop or of its catalog."""

from datetime import UTC, datetime, timedelta

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import queue_intake, sync_failure, sync_log, sync_success
from connector_pipeline.state.pruning import prune
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts

NOW = datetime.now(UTC)
KEEP = timedelta(days=90)


def shop(number: int) -> Shop:
    return Shop(
        merchant_id="m",
        platform_name="shopify",
        platform_shop_id=str(number),
        domain=f"kept-{number}.myshopify.com",
    )


def synced(
    database: Database, shop: Shop, sync_id: str, *, days: float, error: Exception | None = None
) -> None:
    sync = Sync(
        sync_id=sync_id,
        partition_key=shop.partition_key,
        sync_type=SyncType.FULL,
        correlation_id=sync_id,
        started_at=NOW - timedelta(days=days),
    )
    with database.connect() as connection:
        sync_log.start(connection, sync, shop, "run")
        if isinstance(error, PlatformUnavailable):
            sync_failure.fail(connection, sync_id, error)
        elif error is None:
            sync_success.succeed(
                connection, sync=sync, shop=shop, counts=PublishCounts(), complete=True
            )


def test_the_last_sync_of_a_shop_and_its_last_good_one_stay(
    registry: ShopRegistry, database: Database
) -> None:
    """However old they are. A sync that crashed and stayed "running" is deleted like the others."""
    first, second = shop(1), shop(2)
    registry.add(first)
    registry.add(second)
    down = PlatformUnavailable("answered 500.")
    synced(database, first, "old", days=200)
    synced(database, first, "good", days=180)
    synced(database, first, "crashed", days=170, error=ValueError())
    synced(database, first, "failed", days=150, error=down)
    synced(database, first, "last", days=120, error=down)
    synced(database, second, "long-ago", days=400)
    synced(database, second, "lately", days=80)
    with database.connect() as connection:
        assert prune(connection, keep=KEEP)["syncs"] == 4
        left = connection.execute("SELECT sync_id FROM connector.syncs").fetchall()
    assert {sync_id for (sync_id,) in left} == {"good", "last", "lately"}


def test_a_row_of_the_queue_is_deleted_days_after_its_end(
    registry: ShopRegistry, database: Database
) -> None:
    """`keep` can shorten that. A row that waits or is taken stays, however old it is."""
    shops = {name: shop(number) for number, name in enumerate(("waits", "taken", "old", "new"))}
    for each in shops.values():
        registry.add(each)
    with database.connect() as connection:
        queue_intake.put_shops(
            connection,
            [each.partition_key for each in shops.values()],
            reason=QueueReason.SWEEP,
            sweep_id="2025-01-01T00:00Z",
        )
        connection.execute(
            """
            UPDATE connector.sync_queue AS row
            SET state = given.state, put_at = now() - interval '1 year',
                ended_at = now() - given.hours * interval '1 hour'
            FROM unnest(%s::text[], %s::text[], %s::int[]) AS given (domain, state, hours)
            WHERE row.domain = given.domain
            """,
            (
                [each.domain for each in shops.values()],
                ["waiting", "taken", "ended", "ended"],
                [None, None, 73, 71],
            ),
        )

        def left() -> set[str]:
            rows = connection.execute("SELECT domain FROM connector.sync_queue").fetchall()
            return {domain for (domain,) in rows}

        assert prune(connection, keep=KEEP)["sync_queue"] == 1
        assert left() == {shops[name].domain for name in ("waits", "taken", "new")}
        assert prune(connection, keep=timedelta(days=1))["sync_queue"] == 1
        assert left() == {shops[name].domain for name in ("waits", "taken")}


def test_a_sync_that_never_started_is_deleted_by_its_age_alone(
    registry: ShopRegistry, database: Database
) -> None:
    """A refused request explains nothing of a shop's catalog. One that waits for its run stays."""
    known = shop(1)
    registry.add(known)
    synced(database, known, "good", days=200)
    with database.connect() as connection:
        connection.execute(
            """
            INSERT INTO connector.syncs (sync_id, platform_name, domain, merchant_id, status,
                correlation_id, requested_at, finished_at)
            SELECT sync_id, 'shopify', domain, 'm', status, sync_id,
                now() - interval '100 days', now() - days * interval '1 day'
            FROM (VALUES
                ('old', %(domain)s, 'failed', 100),
                ('of-no-shop', 'unknown.myshopify.com', 'failed', 100),
                ('lately', %(domain)s, 'failed', 80),
                ('waiting', %(domain)s, 'pending', NULL)
            ) AS refused (sync_id, domain, status, days)
            """,
            {"domain": known.domain},
        )
        assert prune(connection, keep=KEEP)["syncs"] == 2
        left = connection.execute("SELECT sync_id FROM connector.syncs").fetchall()
    assert {sync_id for (sync_id,) in left} == {"good", "lately", "waiting"}
