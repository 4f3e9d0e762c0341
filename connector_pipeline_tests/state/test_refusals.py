"""Belief takes time: a refusal closes a shop only when a later sync meets it again, and alone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import (
    AccessRefused,
    ConnectorError,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.state.refusals import FEWEST_AT_ONCE, Refusal, Share
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.passing_time import minutes_pass

ALONE = Share(refused=1, of=12)
TWELVE = Share(refused=12, of=12)


def keys(number: int, platform: str = "shopify") -> list[str]:
    return [f"{platform}/refused-{each:02}.myshopify.com" for each in range(number)]


@dataclass
class Refusals:
    """Syncs of shops in a registry, and how each is recorded."""

    registry: ShopRegistry
    begun: int = field(default=0)

    def register(self, *of: str) -> None:
        for key in of:
            platform, domain = key.split("/")
            self.registry.add(
                Shop(merchant_id="m-1", platform_name=platform, platform_shop_id="1", domain=domain)
            )

    def start(self, key: str) -> str:
        self.begun += 1
        sync = Sync(
            sync_id=f"sync-{self.begun}",
            partition_key=key,
            sync_type=SyncType.FULL,
            correlation_id="c",
            started_at=datetime.now(UTC),
        )
        SyncRecords(self.registry.database).start(sync, self.registry.get(key))
        return sync.sync_id

    def refused(
        self, key: str, in_run: Share | None = ALONE, *, about_credentials: bool = True
    ) -> ConnectorError:
        """A sync of the shop is refused. Returns the error as recorded."""
        error = ShopDisconnected(
            "it said no.", look_at="Look there.", about_credentials=about_credentials
        )
        return self.fails(key, error, in_run)

    def fails(
        self, key: str, error: ConnectorError, in_run: Share | None = ALONE
    ) -> ConnectorError:
        refusal = Refusal(credential="digest", in_run=in_run)
        recorded = SyncRecords(self.registry.database).fail(self.start(key), error, refusal=refusal)
        with self.registry.database.connect() as connection:
            [(code, event)] = connection.execute(
                "SELECT error_code, (SELECT payload -> 'data' ->> 'error' FROM connector.outbox"
                " WHERE payload -> 'data' ->> 'sync_id' = sync_id)"
                " FROM connector.syncs WHERE sync_id = %s",
                (f"sync-{self.begun}",),
            ).fetchall()
        # The record, the event and the run say the same.
        assert code == recorded.code
        assert event.startswith(f"{recorded.code}: {recorded.message}")
        return recorded

    def answers(self, key: str) -> None:
        """A sync reads the shop."""
        SyncRecords(self.registry.database).record_progress(
            self.start(key), pages=1, requests=1, fetched_at=datetime.now(UTC)
        )

    def state(self, key: str) -> ShopState:
        return self.registry.get(key).state

    def pass_minutes(self, minutes: float) -> None:
        minutes_pass(self.registry.database, minutes)


@pytest.fixture
def refusals(registry: ShopRegistry) -> Refusals:
    made = Refusals(registry)
    made.register(*keys(12))
    return made


KEY = keys(1)[0]


def test_a_revoked_token_is_believed_by_the_second_sync_minutes_later(refusals: Refusals) -> None:
    """The first error says where to look meanwhile, and until when it is doubted."""
    first = refusals.refused(KEY)
    assert isinstance(first, AccessRefused)
    assert "it said no." in first.message
    assert first.remedy.startswith("Look there. The next sync asks again.")
    assert "is marked disconnected" in first.remedy
    assert refusals.state(KEY) is ShopState.ACTIVE
    assert refusals.registry.get(KEY).refused_at is not None
    refusals.pass_minutes(2)
    assert isinstance(refusals.refused(KEY), ShopDisconnected)
    assert refusals.state(KEY) is ShopState.DISCONNECTED


def test_refusals_within_a_minute_are_one_trouble(refusals: Refusals) -> None:
    """However many syncs meet them."""
    for _ in range(4):
        assert isinstance(refusals.refused(KEY), AccessRefused)
        refusals.pass_minutes(0.4)
    assert refusals.state(KEY) is ShopState.ACTIVE


def test_an_answer_between_two_refusals_ends_the_series(refusals: Refusals) -> None:
    """The series begins anew after it."""
    refusals.refused(KEY)
    refusals.answers(KEY)
    assert refusals.registry.get(KEY).refused_at is None
    refusals.pass_minutes(10)
    assert isinstance(refusals.refused(KEY), AccessRefused)


def test_a_shop_that_is_out_of_reach_neither_confirms_nor_ends_a_series(
    refusals: Refusals,
) -> None:
    """It said nothing about us."""
    refusals.refused(KEY)
    since = refusals.registry.get(KEY).refused_at
    refusals.pass_minutes(3)
    refusals.fails(KEY, PlatformUnavailable("answered 503."))
    assert refusals.state(KEY) is ShopState.ACTIVE
    assert since is not None
    assert refusals.registry.get(KEY).refused_at is not None
    assert isinstance(refusals.refused(KEY), ShopDisconnected)


def test_a_run_that_was_cut_off_confirms_nothing(refusals: Refusals) -> None:
    """It does not know how many other shops were refused with this one."""
    refusals.refused(KEY)
    refusals.pass_minutes(10)
    assert isinstance(refusals.refused(KEY, None), AccessRefused)


def test_many_refusals_in_a_run_confirm_nothing_however_long_they_last(
    refusals: Refusals,
) -> None:
    """The error says how many, and where to look."""
    for _ in range(3):
        for key in keys(12):
            recorded = refusals.refused(key, TWELVE)
            assert isinstance(recorded, AccessRefused)
            assert "12 of 12 shopify shops" in recorded.message
            assert "our side first" in recorded.remedy
        refusals.pass_minutes(60)
    assert {refusals.state(key) for key in keys(12)} == {ShopState.ACTIVE}


def test_many_refusals_in_runs_of_few_shops_confirm_nothing_either(refusals: Refusals) -> None:
    """A sweep that is spread over an hour asks the shops one by one: the registry knows of all."""
    for _ in range(2):
        for key in keys(12):
            assert isinstance(refusals.refused(key, Share(1, 1)), AccessRefused)
        refusals.pass_minutes(60)
    assert {refusals.state(key) for key in keys(12)} == {ShopState.ACTIVE}


def test_the_shop_that_stays_refused_when_the_others_answer_is_believed(
    refusals: Refusals,
) -> None:
    """The sweep that finds the others well disconnects it."""
    for key in keys(12):
        refusals.refused(key, TWELVE)
    refusals.pass_minutes(60)
    for key in keys(12)[1:]:
        refusals.answers(key)
    assert isinstance(refusals.refused(KEY, Share(1, 12)), ShopDisconnected)


def test_refusals_of_another_platform_do_not_count(refusals: Refusals) -> None:
    """Twelve refused shops of one platform say nothing about a shop of another."""
    for key in keys(12):
        refusals.refused(key, TWELVE)
    [other] = keys(1, "woocommerce")
    refusals.register(other)
    refusals.refused(other, Share(1, 1))
    refusals.pass_minutes(2)
    assert isinstance(refusals.refused(other, Share(1, 1)), ShopDisconnected)


def test_a_paused_shop_stays_paused(refusals: Refusals) -> None:
    """Its operator decides when it is synced again, and a resumed shop starts without refusals."""
    refusals.refused(KEY)
    refusals.registry.set_state(KEY, ShopState.PAUSED)
    refusals.refused(KEY)
    refusals.pass_minutes(10)
    refusals.refused(KEY)
    assert refusals.state(KEY) is ShopState.PAUSED
    refusals.registry.set_state(KEY, ShopState.ACTIVE)
    assert refusals.registry.get(KEY).refused_at is None
    assert isinstance(refusals.refused(KEY), AccessRefused)


def test_a_refusal_is_no_failure_of_full_syncs(refusals: Refusals) -> None:
    """The next sync that answers ends it, whatever its type."""
    refusals.refused(KEY)
    shop = refusals.registry.get(KEY)
    assert (shop.consecutive_failures, shop.full_sync_failures) == (1, 0)


@given(st.integers(0, 300), st.integers(0, 300))
def test_many_are_more_than_half_and_at_least_five(refused: int, answered: int) -> None:
    """Four shops may all be refused, each for a reason of its own."""
    share = Share(refused, refused + answered)
    assert share.most is (refused >= FEWEST_AT_ONCE and refused > answered)
