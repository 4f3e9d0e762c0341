"""What is remembered of looks: the shops that are watched, their rates, and which is due first."""

from datetime import timedelta

from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import change_looks
from connector_pipeline.state.look_distances import FIRST_RATE, LOST
from connector_pipeline.state.registry import ShopRegistry

PLATFORMS = ["shopify"]


def watched(database: Database) -> dict[float, int]:
    with database.connect() as connection:
        return change_looks.rates(connection, platforms=PLATFORMS, within=timedelta(minutes=5))


def test_shops_are_watched_from_their_first_sync_until_they_leave_the_registry(
    database: Database, registry: ShopRegistry
) -> None:
    """With their rates, rounded; those with live webhooks count for the few that get lost."""
    for name in ("a", "b", "c", "unsynced"):
        shop = Shop(
            merchant_id="m",
            platform_name="shopify",
            platform_shop_id="1",
            domain=f"{name}.myshopify.com",
        )
        registry.add(shop)
    assert watched(database) == {}
    with database.connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET last_successful_sync_at = now()"
            " WHERE domain NOT LIKE 'uns%'"
        )
    [(rate, shops)] = watched(database).items()
    assert abs(rate / FIRST_RATE - 1) < 0.05
    assert shops == 3

    with database.connect() as connection:
        connection.execute("UPDATE connector.change_looks SET changes_an_hour = 2")
        connection.execute(
            "UPDATE connector.shops SET subscribed = true, last_hint_at = CASE domain"
            " WHEN 'a.myshopify.com' THEN now() ELSE now() - interval '2 days' END"
        )
    rarer, usual = sorted(watched(database).items())
    assert (rarer[1], usual[1]) == (1, 2)
    assert abs(rarer[0] / usual[0] - LOST) < 0.001

    registry.remove("shopify/a.myshopify.com")
    assert sum(watched(database).values()) == 2
    with database.connect() as connection:
        connection.execute(
            "UPDATE connector.change_looks SET look_at = now() - CASE domain"
            " WHEN 'c.myshopify.com' THEN interval '2 min' ELSE interval '1 min' END"
        )
        due = change_looks.due(connection, platforms=PLATFORMS, limit=10)
        assert [each.shop.domain for each in due] == ["c.myshopify.com", "b.myshopify.com"]
        assert not change_looks.due(connection, platforms=["woocommerce"], limit=10)
        left = connection.execute("SELECT count(*) FROM connector.change_looks").fetchall()
    assert left == [(2,)]
