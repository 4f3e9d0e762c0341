"""A publish measures how long the platform's changes took, of the rows that tell it."""

from datetime import UTC, datetime, timedelta

from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.state import freshness
from connector_pipeline.state.freshness import Freshness
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.catalog.snapshots import ACME, LONG_AGO, Publisher, item


def measured(publisher: Publisher, number: int) -> Freshness | None:
    with publisher.database.connect() as connection:
        return freshness.of_sync(connection, f"sync-{number}")


def kept_for_a_day(publisher: Publisher) -> None:
    """As if the shop were registered a day ago, and its catalog held what changed until then."""
    with publisher.database.connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET updated_at = now() - interval '1 day',"
            " high_water_mark = now() - interval '1 day' WHERE domain = %s",
            (ACME.domain,),
        )


def test_the_median_and_the_worst_of_what_the_platform_changed(publisher: Publisher) -> None:
    """New, changed and returned rows count from the platform's time until the commit."""
    publisher([item("1"), item("2"), item("3"), item("4")])
    publisher([item("1"), item("2"), item("4")])
    kept_for_a_day(publisher)
    now = datetime.now(UTC)
    ago = [now - timedelta(seconds=seconds) for seconds in (100, 1_000, 10_000)]
    publisher(
        [
            item("1", updated_at=ago[0]),
            item("3", updated_at=ago[1]),
            item("new", updated_at=ago[2]),
            item("2", inventory=5),
            item("4"),
        ],
        sync_type=SyncType.INCREMENTAL,
    )
    found = measured(publisher, 3)
    assert found is not None
    assert 1_000 <= found.median < 1_060
    assert 10_000 <= found.worst < 10_060


def test_a_row_that_another_cause_brought_is_not_late(publisher: Publisher) -> None:
    """Not in a first full sync, and not a row of before: a new rule of ours, a filter, a stock."""
    recently = datetime.now(UTC) - timedelta(seconds=5)
    publisher([item("1", updated_at=recently), item("2")])
    assert measured(publisher, 1) is None
    kept_for_a_day(publisher)
    publisher([item("1", updated_at=recently, currency="EUR"), item("2"), item("wanted now")])
    assert measured(publisher, 2) is None
    assert publisher.live() == {"1", "2", "wanted now"}


def test_what_changed_while_the_shop_was_paused_is_not_late(
    publisher: Publisher, registry: ShopRegistry
) -> None:
    """The operator did not want it then; what changes after the return counts again."""
    publisher([item("1"), item("2")])
    kept_for_a_day(publisher)
    before = datetime.now(UTC) - timedelta(hours=2)
    registry.set_state(ACME.partition_key, ShopState.PAUSED)
    registry.set_state(ACME.partition_key, ShopState.ACTIVE)
    publisher([item("1", updated_at=before), item("2")], sync_type=SyncType.INCREMENTAL)
    assert measured(publisher, 2) is None
    ahead = datetime.now(UTC) + timedelta(minutes=3)
    publisher([item("1", updated_at=before), item("2", updated_at=ahead)])
    assert measured(publisher, 3) == Freshness(0.0, 0.0), "a clock that is ahead counts as 0 s"


def test_a_sync_that_is_published_again_has_no_figure_of_before(publisher: Publisher) -> None:
    """It changed nothing the second time."""
    publisher([item("1")])
    kept_for_a_day(publisher)
    changed = [item("1", updated_at=datetime.now(UTC))]
    publisher(changed)
    assert measured(publisher, 2) is not None
    publisher.numbers = iter([2])
    publisher(changed)
    assert measured(publisher, 2) is None
    assert publisher.rows()["1"]["updated_at"] > LONG_AGO
