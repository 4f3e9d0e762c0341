"""A request goes from the inbox into the queue once, in order, or is refused with the reason."""

from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_request import SyncRequest
from connector_pipeline.platforms.adapters import BUILT_IN, valid_domain
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.grants import REQUESTER_ROLE
from connector_pipeline.state import inbox, queued_runs, sync_failure
from connector_pipeline.state.queued_runs import Capacity
from connector_pipeline.state.registry import ShopRegistry


def request(sync_id: str, shop: str = "acme", **changes: str) -> SyncRequest:
    fields = {
        "merchant_id": "m-1",
        "platform_name": "shopify",
        "platform_shop_id": "101",
        "domain": f"{shop}.myshopify.com",
        "sync_id": sync_id,
    }
    return SyncRequest(**fields | changes)  # type: ignore[arg-type]


class Inbox:
    """The inbox with each step in a transaction of its own, as the sensor does it."""

    def __init__(self, database: Database):
        self.database = database

    def put(self, *requests: SyncRequest) -> int:
        with self.database.connect() as connection:
            return inbox.put(connection, requests)

    def accept(self) -> tuple[int, int]:
        with self.database.connect() as connection:
            return inbox.accept(connection, limit=1_000)

    def waiting(self) -> list[str]:
        """The sync_ids of the requests that wait in the queue, in their order."""
        waiting = self.rows("SELECT sync_id FROM connector.sync_queue WHERE state = 'waiting'")
        return [row["sync_id"] for row in waiting]

    def take(self, *, runs: int = 4, shops_per_run: int = 100) -> list[str]:
        """Take shops for runs that are seen at once. Returns the sync_ids, in their order."""
        with self.database.connect() as connection:
            queued_runs.take(
                connection, capacity=Capacity(runs, runs, runs), shops_per_run=shops_per_run
            )
            launches = queued_runs.unseen(connection)
            queued_runs.seen(
                connection, {each.launch_id: f"run of {each.launch_id}" for each in launches}
            )
            taken = connection.execute(
                "SELECT sync_id FROM connector.sync_queue WHERE launch_id = ANY(%s) ORDER BY id",
                ([launch.launch_id for launch in launches],),
            )
            return [sync_id for (sync_id,) in taken]

    def fail(self, sync_id: str) -> None:
        """End a sync, as its run does where the platform is away."""
        with self.database.connect() as connection:
            sync_failure.fail(connection, sync_id, PlatformUnavailable("answered 503."))

    def rows(self, query: str) -> list[dict[str, Any]]:
        with self.database.connect() as connection:
            found = connection.cursor(row_factory=dict_row).execute(query)  # type: ignore[arg-type]
            return found.fetchall()

    def events(self) -> list[dict[str, Any]]:
        rows = self.rows("SELECT payload FROM connector.outbox ORDER BY id")
        return [row["payload"] for row in rows]


@pytest.fixture
def requests(database: Database) -> Inbox:
    """An empty inbox."""
    return Inbox(database)


def test_requesters_may_insert_and_nothing_else(database_url: str, requests: Inbox) -> None:
    """Requesters may not see others' requests, nor change any request's fate."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(REQUESTER_ROLE)))
        for _ in range(2):
            connection.execute(
                "INSERT INTO connector.sync_requests"
                " (merchant_id, platform_name, platform_shop_id, domain, sync_id)"
                " VALUES ('m-1', 'shopify', '101', 'acme.myshopify.com', 's-1')"
                " ON CONFLICT DO NOTHING"
            )
        for forbidden in (
            "SELECT * FROM connector.sync_requests",
            "DELETE FROM connector.sync_requests",
            "UPDATE connector.sync_requests SET sync_type = 'auto'",
            "INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id,"
            " domain, sync_id, accepted_at) VALUES ('m', 's', '1', 'd', 's-2', now())",
            "SELECT * FROM connector.sync_queue",
            "INSERT INTO connector.sync_queue (platform_name, domain, merchant_id, reason,"
            " priority) VALUES ('s', 'd', 'm', 'request', 0)",
            "SELECT * FROM connector.shops",
            "SELECT * FROM catalog.catalog_items",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)  # type: ignore[arg-type]
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(
                "INSERT INTO connector.sync_requests"
                " (merchant_id, platform_name, platform_shop_id, domain, sync_id)"
                " VALUES ('m-1', 'shopify', '101', 'acme.myshopify.com', 'two words')"
            )
    assert requests.accept() == (1, 0)
    assert requests.waiting() == ["s-1"]


def test_an_accepted_request_is_a_pending_sync(requests: Inbox) -> None:
    """A requester who polls connector.syncs finds it before it has started."""
    requests.put(request("s-1", correlation_id="c-1"))
    requests.accept()
    [row] = requests.rows("SELECT * FROM connector.syncs")
    assert (row["status"], row["correlation_id"]) == ("pending", "c-1")
    assert (row["sync_type"], row["started_at"]) == (None, None)
    assert row["requested_at"] is not None


def test_an_accepted_request_waits_in_the_queue_as_it_was_asked(requests: Inbox) -> None:
    """The queue has its type, its ids, and the time from which it has waited."""
    requests.put(
        request("s-1", correlation_id="c-1", sync_type="incremental"), request("s-2", "beta")
    )
    requests.accept()
    first, second = requests.rows(
        "SELECT queue.*, put_at = requested_at AS in_time"
        " FROM connector.sync_queue AS queue JOIN connector.sync_requests USING (sync_id)"
        " ORDER BY queue.id"
    )
    assert (first["platform_name"], first["domain"]) == ("shopify", "acme.myshopify.com")
    assert (first["sync_id"], first["correlation_id"]) == ("s-1", "c-1")
    assert (first["merchant_id"], first["sync_type"]) == ("m-1", "incremental")
    assert (first["reason"], first["state"]) == ("request", "waiting")
    assert first["awaited"]
    assert first["in_time"]
    assert (second["sync_id"], second["correlation_id"], second["sync_type"]) == (
        "s-2",
        "s-2",
        "full",
    )


def test_a_request_that_arrives_again_is_still_one(requests: Inbox) -> None:
    """Before it is in the queue, after that, and once both have deleted it."""
    again = request("s-1")
    assert requests.put(again, again) == 1
    requests.accept()
    assert requests.put(again) == 0
    assert requests.accept() == (0, 0)
    assert requests.take() == ["s-1"]
    assert requests.put(again) == 0
    requests.rows("DELETE FROM connector.sync_requests RETURNING 1")
    requests.rows("DELETE FROM connector.sync_queue RETURNING 1")
    assert requests.put(again) == 0
    assert requests.accept() == (0, 0)
    assert requests.waiting() == []


def test_a_sync_id_that_is_taken_is_refused_without_an_event(
    requests: Inbox, registry: ShopRegistry
) -> None:
    """The sync that has it sends the event of its outcome."""
    requests.rows(
        "INSERT INTO connector.syncs (sync_id, platform_name, domain, merchant_id, status,"
        " correlation_id) VALUES ('s-1', 'shopify', 'other.myshopify.com', 'm-1', 'running', 'c')"
        " RETURNING 1"
    )
    requests.rows(
        "INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id, domain,"
        " sync_id) VALUES ('m-1', 'shopify', '1', 'acme.myshopify.com', 's-1') RETURNING 1"
    )
    assert requests.accept() == (0, 1)
    [row] = requests.rows("SELECT refusal FROM connector.sync_requests")
    assert "already a sync" in row["refusal"]
    assert requests.events() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"platform_name": "etsy"}, f"'etsy' is not a platform we know: {', '.join(BUILT_IN)}"),
        ({"domain": "ACME.myshopify.com"}, "not a Shopify shop's domain"),
        ({"sync_type": "partial"}, "sync_type 'partial'"),
    ],
)
def test_a_request_that_cannot_be_synced_fails_at_once_and_for_good(
    requests: Inbox, changes: dict[str, str], reason: str
) -> None:
    """It is marked with the reason, never comes into the queue, and has one event."""
    requests.put(request("s-1", **changes))
    assert [requests.accept(), requests.accept()] == [(0, 1), (0, 0)]
    assert requests.waiting() == []
    [row] = requests.rows("SELECT refusal FROM connector.sync_requests")
    assert reason in row["refusal"]
    [event] = requests.events()
    assert event["event_type"] == "evt.platform.fetch.failed"
    assert event["data"]["error"].startswith("InvalidSyncRequest: ")
    assert reason in event["data"]["error"]
    [sync] = requests.rows("SELECT status, error_code FROM connector.syncs")
    assert sync == {"status": "failed", "error_code": "InvalidSyncRequest"}


def test_an_unknown_shop_is_registered_by_its_first_request(
    requests: Inbox, registry: ShopRegistry
) -> None:
    """The registration comes before the run."""
    requests.put(request("s-1"))
    requests.accept()
    shop = registry.get("shopify/acme.myshopify.com")
    assert (shop.merchant_id, shop.platform_shop_id, shop.state) == ("m-1", "101", ShopState.ACTIVE)


def test_a_shops_registration_decides_what_becomes_of_its_request(
    requests: Inbox, registry: ShopRegistry
) -> None:
    """A disconnected shop is tried. A paused one, or another merchant's, is refused for good."""
    for sync_id, shop in (("s-1", "gone"), ("s-2", "paused"), ("s-3", "other")):
        registry.add(request(sync_id, shop).shop(valid_domain))
    registry.set_state("shopify/gone.myshopify.com", ShopState.DISCONNECTED)
    registry.set_state("shopify/paused.myshopify.com", ShopState.PAUSED)
    requests.put(
        request("s-1", "gone"), request("s-2", "paused"), request("s-3", "other", merchant_id="m-2")
    )
    assert requests.accept() == (1, 2)
    assert requests.waiting() == ["s-1"]
    assert registry.get("shopify/gone.myshopify.com").state is ShopState.ACTIVE
    paused = registry.get("shopify/paused.myshopify.com")
    assert (paused.state, paused.consecutive_failures) == (ShopState.PAUSED, 0)
    assert registry.get("shopify/other.myshopify.com").merchant_id == "m-1"
    errors = {event["data"]["sync_id"]: event["data"]["error"] for event in requests.events()}
    assert errors.keys() == {"s-2", "s-3"}
    assert "shops resume" in errors["s-2"]
    assert "another merchant" in errors["s-3"]


def test_a_registration_that_changes_while_its_request_waits_decides_once_more(
    requests: Inbox, registry: ShopRegistry
) -> None:
    """The same holds: a shop that became disconnected is tried, a paused one is refused."""
    requests.put(request("s-1", "gone"), request("s-2", "paused"))
    assert requests.accept() == (2, 0)
    registry.set_state("shopify/gone.myshopify.com", ShopState.DISCONNECTED)
    registry.set_state("shopify/paused.myshopify.com", ShopState.PAUSED)
    with requests.database.connect() as connection:
        assert [inbox.refuse_paused(connection), inbox.refuse_paused(connection)] == [1, 0]
    assert requests.take() == ["s-1"]
    assert registry.get("shopify/gone.myshopify.com").state is ShopState.ACTIVE
    paused = registry.get("shopify/paused.myshopify.com")
    assert (paused.state, paused.consecutive_failures) == (ShopState.PAUSED, 0)
    [refused] = requests.rows(
        "SELECT sync_id, refusal FROM connector.sync_requests WHERE refused_at IS NOT NULL"
    )
    assert refused["sync_id"] == "s-2"
    assert "paused" in refused["refusal"]
    [event] = requests.events()
    assert event["data"]["sync_id"] == "s-2"
    assert "shops resume" in event["data"]["error"]
    [row] = requests.rows(
        "SELECT state, outcome, error_code FROM connector.sync_queue WHERE sync_id = 's-2'"
    )
    assert row == {"state": "ended", "outcome": "failed", "error_code": "InvalidSyncRequest"}


def test_one_shops_burst_does_not_hold_up_the_others(requests: Inbox) -> None:
    """One request of a shop is under way at once, the oldest, and others' come between."""
    requests.put(*(request(f"burst-{number}") for number in range(100)), request("calm", "beta"))
    requests.accept()
    assert requests.take() == ["burst-0", "calm"]
    assert requests.take() == []
    requests.fail("burst-0")
    assert requests.take() == ["burst-1"]


def test_a_burst_over_many_shops_drains_in_bounded_steps(requests: Inbox) -> None:
    """There is a bound for each tick, and none is forgotten."""
    requests.put(*(request(f"s-{number}", f"shop-{number}") for number in range(60)))
    requests.accept()
    taken: list[str] = []
    while len(taken) < 60:
        step = requests.take(runs=2, shops_per_run=5)
        assert 0 < len(step) <= 10
        taken += step
    assert taken == [f"s-{number}" for number in range(60)]
    assert requests.take() == []
