"""Every sync that ends leaves one event of its outcome, written in the transaction that ends it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from connector_pipeline.catalog.publish import publish
from connector_pipeline.model.errors import PlatformUnavailable, SnapshotShrank
from connector_pipeline.model.events import (
    Envelope,
    FetchCompleted,
    FetchFailed,
    OutcomeType,
    outcome_id,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.outbox import KEPT
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.catalog.snapshots import ACME, LONG_AGO, OTHER, item, rejected, rows

COMPLETED, FAILED = OutcomeType.COMPLETED.value, OutcomeType.FAILED.value


class Syncs:
    """Completes or fails syncs of registered shops, and reads the outbox."""

    def __init__(self, database: Database, registry: ShopRegistry):
        self.database = database
        self.registry = registry
        registry.add(ACME)
        registry.add(OTHER)

    def sync(self, sync_id: str, shop: Shop = ACME) -> Sync:
        """A full sync that has started."""
        sync = Sync(
            sync_id=sync_id,
            partition_key=shop.partition_key,
            sync_type=SyncType.FULL,
            correlation_id=f"correlation of {sync_id}",
            started_at=LONG_AGO,
        )
        SyncRecords(self.registry.database).start(sync, shop, "run-1")
        return sync

    def complete(self, sync_id: str, *, items: int = 1, shop: Shop = ACME) -> None:
        """Publish so many items, a copy of the first and a rejected one."""
        variants = [item(f"{number}-0", shop=shop) for number in range(items)]
        sync = self.sync(sync_id, shop)
        with self.database.connect() as connection:
            publish(
                connection,
                shop=shop,
                sync=sync,
                complete=True,
                rows=rows([*variants, *variants[:1]], [rejected("r")]),
            )

    def fail(self, sync_id: str, words: str = "answered 503.", *, shop: Shop = ACME) -> None:
        """Fail a sync with PlatformUnavailable."""
        self.sync(sync_id, shop)
        SyncRecords(self.registry.database).fail(
            sync_id, PlatformUnavailable(words, remedy="Wait.")
        )

    def execute(self, statement: Any, *values: object) -> None:
        """Change the outbox as a relay would, or as time would."""
        with self.database.connect() as connection:
            connection.execute(statement, values)

    def send_all(self) -> None:
        """Mark all events as sent, as a relay does."""
        self.execute("UPDATE connector.outbox SET sent_at = now() WHERE sent_at IS NULL")

    def events(self) -> list[dict[str, Any]]:
        """All events, in the order in which they are to be sent."""
        with self.database.connect() as connection:
            return (
                connection.cursor(row_factory=dict_row)
                .execute("SELECT * FROM connector.outbox ORDER BY id")
                .fetchall()
            )


@pytest.fixture
def syncs(database: Database, registry: ShopRegistry) -> Syncs:
    """Syncs of the two shops of a fresh database."""
    return Syncs(database, registry)


def test_a_published_sync_has_the_event_that_it_completed(syncs: Syncs) -> None:
    """The event is in the envelope, with the predecessor's fields and count."""
    syncs.complete("sync-1", items=3)
    [event] = syncs.events()
    assert (event["subject"], event["partition_key"]) == (COMPLETED, ACME.partition_key)
    assert event["sent_at"] is None
    payload = event["payload"]
    with syncs.database.connect() as connection:
        row = connection.execute("SELECT finished_at FROM connector.syncs").fetchone()
    sent = Envelope[FetchCompleted].model_validate(payload)
    assert row == (sent.timestamp,)
    assert payload.pop("timestamp").endswith("Z")
    assert payload == {
        "event_id": str(outcome_id("sync-1", OutcomeType.COMPLETED)),
        "event_type": COMPLETED,
        "correlation_id": "correlation of sync-1",
        "source_service": "platform-connector",
        "data": {
            "merchant_id": "m1",
            "sync_id": "sync-1",
            "platform_name": ACME.platform_name,
            "platform_shop_id": ACME.platform_shop_id,
            "domain": ACME.domain,
            # The copy counts once and the rejected one does not.
            "total_products": 3,
            "sync_type": "full",
            "items": 3,
            "inserted": 3,
            "updated": 0,
            "unchanged": 0,
            "revived": 0,
            "deleted": 0,
            "rejected": 1,
            "duplicates": 1,
        },
    }
    assert event["event_id"] == UUID(payload["event_id"])


def test_a_failed_sync_has_an_event_with_the_reason(syncs: Syncs) -> None:
    """The error's code, its message and its remedy, although a platform sent odd characters."""
    syncs.fail("sync-1", "answered \x00\ud800.")
    [event] = syncs.events()
    assert event["subject"] == FAILED
    sent = Envelope[FetchFailed].model_validate(event["payload"])
    assert sent.event_id == event["event_id"] == outcome_id("sync-1", OutcomeType.FAILED)
    assert sent.data == FetchFailed(
        merchant_id="m1",
        sync_id="sync-1",
        platform_name=ACME.platform_name,
        platform_shop_id=ACME.platform_shop_id,
        domain=ACME.domain,
        error_code="PlatformUnavailable",
        error="PlatformUnavailable: answered \\x00\\ud800. Wait.",
    )


def test_a_publish_and_its_event_are_one_transaction(syncs: Syncs) -> None:
    """An event that cannot be written leaves the catalog as it was; so does a refused publish."""
    syncs.complete("sync-1", items=2)
    with syncs.database.connect() as connection:
        before = connection.execute("SELECT * FROM catalog.catalog_items").fetchall()
        connection.execute("ALTER TABLE connector.outbox ADD CHECK (id < 2)")
    with pytest.raises(psycopg.errors.CheckViolation):
        syncs.complete("sync-2", items=3)
    with pytest.raises(SnapshotShrank):
        syncs.complete("sync-3", items=0)
    with syncs.database.connect() as connection:
        assert connection.execute("SELECT * FROM catalog.catalog_items").fetchall() == before
        statuses = connection.execute(
            "SELECT sync_id, status FROM connector.syncs ORDER BY sync_id"
        ).fetchall()
    assert statuses == [("sync-1", "succeeded"), ("sync-2", "running"), ("sync-3", "running")]
    assert len(syncs.events()) == 1


def test_a_failure_and_its_event_are_one_transaction(syncs: Syncs) -> None:
    """A requester who polls never sees a failed sync without its event."""
    syncs.execute("ALTER TABLE connector.outbox ADD CHECK (id < 1)")
    with pytest.raises(psycopg.errors.CheckViolation):
        syncs.fail("sync-1")
    progress = SyncRecords(syncs.registry.database).progress("sync-1")
    assert progress is not None
    assert progress.status == "running"


def fail_in(words: str) -> Callable[[Syncs], None]:
    """A try that fails with this message."""
    return lambda syncs: syncs.fail("sync-1", words)


def complete_with(items: int) -> Callable[[Syncs], None]:
    """A try that publishes so many items."""
    return lambda syncs: syncs.complete("sync-1", items=items)


SENT: Callable[[Syncs], None] = Syncs.send_all


@pytest.mark.parametrize(
    ("tries", "reported"),
    [
        pytest.param([fail_in("a"), fail_in("b")], ["b"], id="failed again"),
        pytest.param([fail_in("a"), SENT, fail_in("b")], ["a"], id="sent, failed again"),
        pytest.param([fail_in("a"), complete_with(2)], [2], id="failed, then completed"),
        pytest.param([fail_in("a"), SENT, complete_with(2)], ["a", 2], id="sent, then completed"),
        pytest.param([complete_with(2), complete_with(3)], [3], id="published again"),
        pytest.param([complete_with(2), SENT, complete_with(3)], [2], id="sent, published again"),
        pytest.param([complete_with(2), fail_in("a")], [2], id="completed, then failed"),
        pytest.param([complete_with(2), SENT, fail_in("a")], [2], id="sent, then failed"),
        pytest.param(
            [fail_in("a"), SENT, complete_with(2), fail_in("b"), complete_with(3)],
            ["a", 3],
            id="to and fro",
        ),
    ],
)
def test_a_sync_that_is_tried_again_reports_one_outcome(
    syncs: Syncs, tries: list[Callable[[Syncs], None]], reported: list[int | str]
) -> None:
    """A new event replaces an unsent older one; a sent one is not repeated; completed is final."""
    for each in tries:
        each(syncs)
    events = syncs.events()
    data = [event["payload"]["data"] for event in events]
    found = [
        each["total_products"]
        if "total_products" in each
        else each["error"].removeprefix("PlatformUnavailable: ").removesuffix(" Wait.")
        for each in data
    ]
    assert found == reported
    assert sum(event["sent_at"] is None for event in events) <= 1


def test_every_sync_has_an_event_of_its_own_in_order(syncs: Syncs) -> None:
    """Neither other syncs nor other shops replace any of them."""
    syncs.fail("sync-1")
    syncs.complete("sync-2", items=2)
    syncs.complete("sync-3", items=2)
    syncs.complete("elsewhere", shop=OTHER)
    syncs.fail("sync-4")
    events = syncs.events()
    assert [(event["payload"]["data"]["sync_id"], event["subject"]) for event in events] == [
        ("sync-1", FAILED),
        ("sync-2", COMPLETED),
        ("sync-3", COMPLETED),
        ("elsewhere", COMPLETED),
        ("sync-4", FAILED),
    ]
    assert len({event["event_id"] for event in events}) == len(events)


@pytest.mark.parametrize("sent", [False, True], ids=["unsent", "sent"])
def test_old_events_go_when_a_later_sync_of_the_shop_ends(syncs: Syncs, sent: bool) -> None:
    """Sent or not. The events of other shops wait for a sync of their own."""
    syncs.complete("old")
    syncs.complete("elsewhere", shop=OTHER)
    syncs.execute("UPDATE connector.outbox SET created_at = now() - %s", KEPT + timedelta(hours=1))
    syncs.complete("young")
    syncs.execute(
        "UPDATE connector.outbox SET created_at = now() - %s WHERE event_id = %s",
        KEPT - timedelta(hours=1),
        outcome_id("young", OutcomeType.COMPLETED),
    )
    if sent:
        syncs.send_all()
    syncs.fail("last")
    left = [event["payload"]["data"]["sync_id"] for event in syncs.events()]
    assert left == ["elsewhere", "young", "last"]


def test_a_relay_that_hangs_holds_up_no_sync(syncs: Syncs) -> None:
    """The event that it is sending counts as sent; the next one follows it."""
    syncs.fail("sync-1")
    with syncs.database.connect() as relay:
        relay.execute("SELECT * FROM connector.outbox WHERE sent_at IS NULL FOR UPDATE")
        name = relay.info.dbname
        with psycopg.connect(syncs.database.url, autocommit=True) as admin:
            # A failure of this test is an error, not a hang.
            admin.execute(f"ALTER DATABASE \"{name}\" SET lock_timeout = '20s'")  # type: ignore[arg-type]
        syncs.complete("sync-1")
        relay.execute("UPDATE connector.outbox SET sent_at = now() WHERE subject = %s", (FAILED,))
    assert [(event["subject"], event["sent_at"] is None) for event in syncs.events()] == [
        (FAILED, False),
        (COMPLETED, True),
    ]
