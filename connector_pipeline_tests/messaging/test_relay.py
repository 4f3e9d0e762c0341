"""Events leave the outbox in order per shop, once each, even if the relay or NATS dies."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js import JetStreamContext

from connector_pipeline.messaging import batches
from connector_pipeline.messaging import relay as relaying
from connector_pipeline.messaging.batches import encoded, packed
from connector_pipeline.messaging.jetstream import NatsUnavailable
from connector_pipeline.messaging.relay import ReadProducts, Relayed, SyncedProducts, relay
from connector_pipeline.model.catalog_item import CatalogItem, ProductStatus
from connector_pipeline.model.errors import PlatformUnavailable, SnapshotMissing, SyncInterrupted
from connector_pipeline.model.events import LARGEST_BATCH, DeadLetter, ErasedShop, ProductsFetched
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings
from connector_pipeline.state import erasing
from connector_pipeline.state.outbox import put_dead_letter
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.catalog.snapshots import ACME
from connector_pipeline_tests.messaging.conftest import STREAM, Neighbour
from connector_pipeline_tests.messaging.nats_server import NatsServer
from connector_pipeline_tests.state.test_outbox import Syncs


@pytest.fixture
def syncs(database: Database, registry: ShopRegistry) -> Syncs:
    """Ends syncs as succeeded or failed."""
    return Syncs(database, registry)


def sent_outcomes(neighbour: Neighbour) -> list[str]:
    """The sync_ids of the outcomes on the stream, in its order."""
    return [event["data"]["sync_id"] for event in neighbour.received("evt.platform.fetch.*")]


def waiting(database: Database) -> int:
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM connector.outbox WHERE sent_at IS NULL"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_events_are_sent_in_their_order_and_once(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """Events that were sent are not sent again."""
    syncs.complete("s-1")
    syncs.fail("s-2")
    assert relay(settings, database) == Relayed(sent=2)
    syncs.complete("s-3")
    assert relay(settings, database).sent == 1
    assert relay(settings, database) == Relayed()
    assert sent_outcomes(neighbour) == ["s-1", "s-2", "s-3"]
    [event] = neighbour.received("evt.platform.fetch.failed")
    assert event["data"] == {
        "merchant_id": ACME.merchant_id,
        "sync_id": "s-2",
        "platform_name": ACME.platform_name,
        "platform_shop_id": ACME.platform_shop_id,
        "domain": ACME.domain,
        "error_code": "PlatformUnavailable",
        "error": "PlatformUnavailable: answered 503. Wait.",
    }
    assert event["correlation_id"] == "correlation of s-2"


def test_the_event_of_an_erased_shop_is_not_kept_once_it_is_sent(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """It is the last row that names the shop."""
    syncs.complete("s-1")
    relay(settings, database)
    erased = ErasedShop.of(ACME.partition_key, ACME.merchant_id, ACME.platform_shop_id)
    with database.connect() as connection:
        erasing.erase(connection, ACME.partition_key, locks=[])
        erasing.put_event(connection, ACME.partition_key, erased)
    assert relay(settings, database).sent == 1
    [event] = neighbour.received("evt.platform.shop.erased")
    assert event["data"] == erased.model_dump()
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM connector.outbox").fetchone() == (0,)


def test_an_event_sent_before_a_crash_is_not_received_twice(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """The relay died before it marked the event as sent. The repeat has the same message id."""
    syncs.complete("s-1")
    relay(settings, database)
    syncs.execute("UPDATE connector.outbox SET sent_at = NULL")
    assert relay(settings, database).sent == 1
    assert sent_outcomes(neighbour) == ["s-1"]


def test_while_nats_is_away_events_wait(
    settings: Settings,
    database: Database,
    syncs: Syncs,
    neighbour: Neighbour,
    nats_server: NatsServer,
) -> None:
    """No sync fails by that, and all events are sent afterwards."""
    nats_server.kill()
    for number in range(5):
        syncs.complete(f"s-{number}")
        with pytest.raises(NatsUnavailable):
            relay(settings, database)
    assert waiting(database) == 5
    nats_server.start()
    relay(settings, database)
    assert sent_outcomes(neighbour) == [f"s-{number}" for number in range(5)]


def test_the_failure_of_an_interrupted_sync_is_held_back(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """If Dagster retries the run and the sync completes, only the completion is sent."""
    sync = syncs.sync("s-1")
    records = SyncRecords(syncs.registry.database)
    records.fail("s-1", SyncInterrupted("the fetch was cancelled."))
    syncs.complete("later")
    relay(settings, database)
    assert sent_outcomes(neighbour) == []  # the shop's later events wait behind it
    records.start(sync, ACME, "run-2")
    relay(settings, database, held=timedelta(0))
    assert sent_outcomes(neighbour) == []
    syncs.complete("s-1")
    relay(settings, database)
    assert sorted(sent_outcomes(neighbour)) == ["later", "s-1"]
    assert len(neighbour.received("evt.platform.fetch.failed")) == 0


def test_the_failure_of_an_interrupted_sync_without_a_retry_is_sent(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """It is sent after a while."""
    syncs.sync("s-1")
    SyncRecords(syncs.registry.database).fail("s-1", SyncInterrupted("the fetch was cancelled."))
    relay(settings, database, held=timedelta(0))
    assert sent_outcomes(neighbour) == ["s-1"]


def test_a_stream_that_does_not_take_a_subject_is_named(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """The other events are sent, its own wait, and the operator learns which subject to add."""

    async def make(js: JetStreamContext) -> None:
        await js.add_stream(name=STREAM, subjects=["evt.platform.>"])

    neighbour.do(make)
    with database.connect() as connection:
        letter = DeadLetter.of(b"?", reason="r", subject="s", stream=STREAM, sequence=1)
        put_dead_letter(connection, batches.batch_id("x", 1), letter)
    syncs.complete("s-1")
    done = relay(settings, database)
    assert (done.sent, done.waiting) == (1, 1)
    [problem] = done.problems
    assert "add it to the subjects of GLAM_EVENTS" in problem
    assert sent_outcomes(neighbour) == ["s-1"]


def test_a_dead_letter_is_sent(
    settings: Settings, database: Database, neighbour: Neighbour
) -> None:
    """A letter that was put twice, because its message was read twice, is sent once."""
    letter = DeadLetter.of(b"?", reason="r", subject="s", stream=STREAM, sequence=1)
    for _ in range(2):
        with database.connect() as connection:
            put_dead_letter(connection, batches.batch_id("x", 1), letter)
    relay(settings, database)
    [received] = neighbour.received("dlq.>")
    assert received == {
        "reason": "r",
        "subject": "s",
        "stream": STREAM,
        "stream_sequence": 1,
        "body": "?",
        "truncated": False,
        "source_service": "platform-connector",
    }


def items(count: int, title: str = "Tea") -> Iterator[CatalogItem]:
    for number in range(count):
        yield CatalogItem(
            merchant_id=ACME.merchant_id,
            platform_name=ACME.platform_name,
            platform_shop_id=ACME.platform_shop_id,
            domain=ACME.domain,
            product_id=str(number),
            variant_id=str(number),
            product_title=title,
            variant_title=title,
            sku=None,
            price=Decimal("19.90") if number else None,
            currency="SEK",
            inventory=None,
            image_url=None,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            updated_at=datetime(2026, 1, 2, tzinfo=UTC),
            product_status=ProductStatus.ACTIVE,
        )


def reader(count: int, title: str = "Tea") -> ReadProducts:
    def read(partition_key: str, sync_id: str) -> SyncedProducts:
        return SyncedProducts(ACME, items(count, title))

    return read


def test_batches_come_before_the_outcome(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """They have at most 250 products, fit the model and count from 1. Only the last has no more."""
    syncs.complete("s-1")
    done = relay(settings, database, read_products=reader(600))
    assert (done.sent, done.batches) == (1, 3)
    *fetched, completed = neighbour.received()
    assert completed["event_type"] == "evt.platform.fetch.completed"
    data = [ProductsFetched.model_validate(event).data for event in fetched]
    assert [len(batch.products) for batch in data] == [250, 250, 100]
    assert [(batch.batch_num, batch.has_more) for batch in data] == [
        (1, True),
        (2, True),
        (3, False),
    ]
    assert fetched[0]["correlation_id"] == "correlation of s-1"
    assert fetched[0]["data"]["products"][1]["price"] == 19.9
    assert fetched[0]["data"]["products"][0]["price"] is None


def test_a_batch_fits_into_the_servers_messages(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """It fits however long the titles are."""
    syncs.complete("s-1")
    done = relay(settings, database, read_products=reader(300, "ö" * 5_000))
    assert done.problems == []
    data = [event["data"] for event in neighbour.received("evt.platform.products.fetched")]
    assert sum(len(batch["products"]) for batch in data) == 300
    assert [batch["has_more"] for batch in data] == [True] * (len(data) - 1) + [False]


def test_the_next_tick_goes_on_with_the_batches(
    settings: Settings,
    database: Database,
    syncs: Syncs,
    neighbour: Neighbour,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a tick's time is up, the next tick sends the other batches, and then the outcome."""
    seconds = 0.0

    def takes_a_second_for_each(partition_key: str, sync_id: str) -> SyncedProducts:
        def read() -> Iterator[CatalogItem]:
            nonlocal seconds
            for each in items(600):
                seconds += 1
                yield each

        return SyncedProducts(ACME, read())

    # The relay's own clock: a busy machine needs any time before it sends anything.
    monkeypatch.setattr(relaying, "time", SimpleNamespace(monotonic=lambda: seconds))
    syncs.complete("s-1")
    sent: list[int] = []
    while waiting(database):
        done = relay(settings, database, read_products=takes_a_second_for_each, budget_seconds=100)
        sent.append(done.batches)
        assert len(sent) < 10
    assert sent == [1, 1, 1]
    events = neighbour.received()
    assert [event["data"].get("batch_num") for event in events] == [1, 2, 3, None]
    products = [each["variant_id"] for event in events[:-1] for each in event["data"]["products"]]
    assert products == [str(number) for number in range(600)]


def test_an_outcome_does_not_wait_for_a_snapshot_that_is_gone(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """The outcome is sent without its batches, and the operator learns why."""

    def gone(partition_key: str, sync_id: str) -> SyncedProducts:
        raise SnapshotMissing("is no longer kept.", partition_key=partition_key)

    syncs.complete("s-1")
    done = relay(settings, database, read_products=gone)
    assert done.sent == 1
    assert "SnapshotMissing" in done.problems[0]
    assert sent_outcomes(neighbour) == ["s-1"]


PRODUCT = st.fixed_dictionaries({"title": st.text(max_size=40)})


@given(st.lists(PRODUCT, max_size=30), st.integers(8_300, 8_700))
def test_packing_keeps_every_product_and_its_bounds(
    products: list[dict[str, Any]], largest: int
) -> None:
    """Batches keep the order and the size, and their numbers. Only the last has no more."""
    room = largest - 8 * 1024
    fitting = [each for each in products if len(encoded(each)) + 1 <= room]
    packs = list(packed(iter(products), largest=largest, first_batch=4))
    assert [each for _, batch, _ in packs for each in batch] == fitting
    assert [number for number, _, _ in packs] == list(range(4, 4 + len(packs)))
    assert [has_more for _, _, has_more in packs] == [True] * (len(packs) - 1) + [False]
    assert all(
        len(batch) <= LARGEST_BATCH and len(encoded(batch)) <= room + 2 for _, batch, _ in packs
    )
    assert all(batch for _, batch, _ in packs[:-1])


def test_a_failure_that_a_success_took_back_is_not_sent(
    settings: Settings, database: Database, syncs: Syncs, neighbour: Neighbour
) -> None:
    """A relay had locked the row while the publish wanted to delete it."""
    syncs.sync("s-1")
    SyncRecords(syncs.registry.database).fail("s-1", PlatformUnavailable("answered 503."))
    syncs.execute("UPDATE connector.syncs SET status = 'succeeded'")
    relay(settings, database)
    assert sent_outcomes(neighbour) == []
    assert waiting(database) == 0
