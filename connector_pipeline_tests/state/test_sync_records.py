"""The record of the shops' syncs."""

from datetime import UTC, datetime

import pytest

from connector_pipeline.model.errors import ConnectorError, PlatformUnavailable
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import SyncProgress
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.state.acme import ACME, KEY, changed, sync_of


@pytest.fixture
def records(registry: ShopRegistry) -> SyncRecords:
    """The record of syncs, in the registry's database."""
    return SyncRecords(registry.database)


def recorded(registry: ShopRegistry, columns: str, sync_id: str = "sync-1") -> tuple[object, ...]:
    """Columns of a sync's row."""
    with registry.database.connect() as connection:
        row = connection.execute(
            f"SELECT {columns} FROM connector.syncs WHERE sync_id = %s",  # type: ignore[arg-type]
            (sync_id,),
        ).fetchone()
    assert row is not None
    return row


def test_a_running_sync_reports_its_progress(registry: ShopRegistry, records: SyncRecords) -> None:
    """A requester can poll it."""
    registry.add(ACME)
    assert records.progress("sync-1") is None
    records.start(sync_of(ACME), ACME, "run-1")
    assert records.progress("sync-1") == SyncProgress("running", pages=0, requests=0)
    records.record_progress("sync-1", pages=2, requests=3, waited_seconds=1.5)
    assert records.progress("sync-1") == SyncProgress("running", pages=2, requests=3)
    assert recorded(registry, "requests, waited_seconds") == (3, 1.5)
    assert recorded(registry, "run_id, merchant_id, sync_type, correlation_id") == (
        "run-1",
        "m1",
        "full",
        "correlation-1",
    )


def test_a_failed_sync_is_recorded_with_its_shop(
    registry: ShopRegistry, records: SyncRecords
) -> None:
    """The record has the error's code, message and remedy; the shop counts failures in a row."""
    registry.add(ACME)
    for number in (1, 2):
        records.start(sync_of(ACME, f"sync-{number}"), ACME)
        records.fail(f"sync-{number}", PlatformUnavailable("answered 503.", remedy="Wait."))
    assert recorded(registry, "status, error_code, error_message, seconds >= 0") == (
        "failed",
        "PlatformUnavailable",
        "answered 503. Wait.",
        True,
    )
    shop = registry.get(KEY)
    assert shop.consecutive_failures == 2
    assert shop.state is ShopState.ACTIVE


def test_a_retried_sync_begins_anew(registry: ShopRegistry, records: SyncRecords) -> None:
    """Nothing of its first attempt is left that could be read as the second's."""
    registry.add(ACME)
    records.start(sync_of(ACME), ACME, "run-1")
    records.record_progress("sync-1", pages=2, requests=3, fetched_at=datetime.now(UTC))
    records.fail("sync-1", PlatformUnavailable("answered 503."))
    records.start(sync_of(ACME), ACME, "run-2")
    columns = "status, run_id, pages, error_code, error_message, finished_at, fetched_at"
    assert recorded(registry, columns) == ("running", "run-2", None, None, None, None, None)


def test_a_sync_id_belongs_to_one_shop(registry: ShopRegistry, records: SyncRecords) -> None:
    """A sync of another shop with the same id fails, and the first one's record stays."""
    other = changed(ACME, domain="other.myshopify.com")
    registry.add(ACME)
    registry.add(other)
    records.start(sync_of(ACME), ACME)
    with pytest.raises(ConnectorError, match="already another shop's"):
        records.start(sync_of(other), other)
    assert recorded(registry, "domain") == ("acme.myshopify.com",)


def test_a_message_of_any_content_is_recorded(registry: ShopRegistry, records: SyncRecords) -> None:
    """A message may quote a platform, NUL and half surrogates too."""
    registry.add(ACME)
    records.start(sync_of(ACME), ACME)
    records.fail("sync-1", ConnectorError("\x00\ud800" + "x" * 10_000, remedy=""))
    message = recorded(registry, "error_message")[0]
    assert isinstance(message, str)
    assert message.startswith("\\x00\\ud800xxx")
    assert len(message.encode()) == 4_000


def test_a_failure_of_a_sync_without_a_record_raises_nothing(
    registry: ShopRegistry, records: SyncRecords
) -> None:
    """A lost record must not hide the failure itself."""
    records.fail("never-started", PlatformUnavailable("answered 503."))
    assert records.progress("never-started") is None
