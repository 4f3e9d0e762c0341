"""A shop is erased while its webhooks are recorded: nothing of it is left, and nobody fails."""

from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest

from connector_pipeline.model.hint import Hint
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.webhooks import Delivery
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import deliveries, erase_demands, erasing, sweeps
from connector_pipeline.state.deliveries import ReceivedDelivery
from connector_pipeline.state.registry import ShopRegistry

KEY = "shopify/acme.myshopify.com"
OF_A_PRODUCT = Delivery("products/update", delivery_id="d-1", hints=[Hint("products/update", "1")])
DEMAND = Delivery("shop/redact", erases=True)


@pytest.fixture(autouse=True)
def registered(registry: ShopRegistry) -> None:
    platform_name, domain = KEY.split("/")
    registry.add(
        Shop(merchant_id="m-1", platform_name=platform_name, platform_shop_id="1", domain=domain)
    )


def received(*sent: Delivery) -> list[ReceivedDelivery]:
    platform_name, domain = KEY.split("/")
    return [ReceivedDelivery(platform_name, domain, delivery) for delivery in sent]


def left(database: Database) -> dict[str, int]:
    """How many rows name the shop, by tables."""
    with database.connect() as connection:
        counts = {
            name: connection.execute(
                f"SELECT count(*) FROM connector.{name} WHERE domain = %s".encode(),
                (KEY.partition("/")[2],),
            ).fetchall()[0][0]
            for name in ("shops", "hints", "erase_demands")
        }
    return {name: number for name, number in counts.items() if number}


def ended_or_waits(database: Database, work: Future[object], holder: psycopg.Connection) -> None:
    """Return once the work has ended, or waits for a lock that the holder's transaction has."""
    blocked = "SELECT FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    while not work.done():
        with database.connect() as connection:
            if connection.execute(blocked, (holder.info.backend_pid,)).fetchone() is not None:
                return


def erase(database: Database) -> None:
    with database.connect() as connection:
        erasing.erase(connection, KEY, locks=[])


def test_what_is_being_recorded_is_erased_once_it_is_committed(database: Database) -> None:
    """The two do not wait for each other, although the delivery demands the erasure, too."""
    with database.connect() as connection:
        erase_demands.put(connection, [KEY])
    with ThreadPoolExecutor(1) as pool:
        with database.connect() as receiver:
            assert deliveries.record(receiver, received(OF_A_PRODUCT)) == [True]
            erased = pool.submit(erase, database)
            ended_or_waits(database, erased, receiver)
            assert deliveries.record(receiver, received(DEMAND)) == [True]
        erased.result()
    assert left(database) == {}


def test_what_arrives_during_the_erasure_is_of_no_shop(database: Database) -> None:
    """It waits for the erasure's end, which deletes few rows more, and is then refused."""

    def record() -> list[bool]:
        with database.connect() as connection:
            return deliveries.record(connection, received(OF_A_PRODUCT))

    with ThreadPoolExecutor(1) as pool:
        with database.connect() as eraser:
            erasing.erase(eraser, KEY, locks=[])
            recorded = pool.submit(record)
            ended_or_waits(database, recorded, eraser)
        assert recorded.result() == [False]
    assert left(database) == {}


def test_a_delivery_waits_for_nobody_else(database: Database) -> None:
    """A sweep, a sync or an operator that has the shop's row does not delay its deliveries."""
    with database.connect() as other:
        sweeps.put(other, "2026-01-01T00:00Z", [KEY])
        other.execute("UPDATE connector.shops SET state = 'active', updated_at = now()")
        with database.connect() as connection:
            connection.execute("SET LOCAL lock_timeout = '1ms'")
            assert deliveries.record(connection, received(OF_A_PRODUCT)) == [True]
    assert left(database) == {"shops": 1, "hints": 1}
