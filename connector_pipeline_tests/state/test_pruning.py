"""Old rows are deleted, except those that explain the state of a shop or of its catalog."""

from datetime import UTC, datetime, timedelta

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync, SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import backfills, sweeps, sync_log
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
            sync_log.fail(connection, sync_id, error)
        elif error is None:
            sync_log.succeed(
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
        sweeps.take(connection, "2025-01-01T00:00Z", [first.partition_key], shops=2)
        connection.execute("UPDATE connector.sweeps SET started_at = now() - interval '1 year'")
        backfills.request(connection, "b-1", [first.partition_key, second.partition_key])
        backfills.record_outcomes(connection, "b-1", {first.partition_key: None})
        connection.execute(
            "UPDATE connector.backfill_shops SET changed_at = now() - interval '1 year'"
        )
        counts = prune(connection, keep=KEEP)
        left = connection.execute("SELECT sync_id FROM connector.syncs").fetchall()
        asked = backfills.statuses(connection, "b-1")
    assert {sync_id for (sync_id,) in left} == {"good", "last", "lately"}
    assert counts == {"syncs": 4, "sweeps": 1, "backfill_shops": 1}
    assert asked == {second.partition_key: ("waiting", None)}


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
