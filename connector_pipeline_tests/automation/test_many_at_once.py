"""Many shops refused or failing at once are our trouble: one alert, and no shop disconnected.

The runs are real ones over the sandbox, launched from the queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from connector_pipeline.automation.sync_queue import shops_of
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state import queue_intake, queued_runs
from connector_pipeline.state.queued_runs import Capacity
from connector_pipeline_tests.assets.conftest import Pipeline, pipeline
from connector_pipeline_tests.assets.test_sync_shops import key, sync, with_twelve_shops
from connector_pipeline_tests.automation.test_alerts import Ticks, Webhook, webhook
from connector_pipeline_tests.passing_time import minutes_pass

__all__ = ["pipeline", "webhook"]

TWELVE = [key(number) for number in range(12)]

CLOUDFLARE = {
    "kind": "status",
    "status": 403,
    "headers": {"Content-Type": "text/html"},
    "body": "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>"
    "<h1>Sorry, you have been blocked</h1>",
}
UNKNOWN_TOKEN = {
    "kind": "status",
    "status": 401,
    "body": {
        "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"
    },
}
LOCKED = {"kind": "status", "status": 423, "body": {"errors": "Locked"}}
OVERLOADED = {"kind": "status", "status": 503, "body": {"errors": "Service Unavailable"}}
NO_TOKENS = {"kind": "status", "status": 503, "body": {"error": "no upstream"}}


@dataclass
class Fleet:
    """Twelve shops that are synced together, and the alerts that were raised."""

    pipeline: Pipeline
    ticks: Ticks
    webhook: Webhook

    def sync_all(self, keys: Sequence[str] = TWELVE, sweep_id: str | None = None) -> dict[str, str]:
        """Put the shops into the queue, run them, tick. Returns the error code of each failed."""
        with self.pipeline.database.connect() as connection:
            reason = QueueReason.SWEEP if sweep_id else QueueReason.BACKFILL
            queue_intake.put_shops(connection, keys, reason=reason, sweep_id=sweep_id)
            queued_runs.take(connection, capacity=Capacity(1, 1, 1), shops_per_run=100)
            [launch] = queued_runs.unseen(connection)
        sync(self.pipeline, shops_of(launch))
        self.ticks.tick()
        with self.pipeline.database.connect() as connection:
            rows = connection.execute(
                "SELECT platform_name || '/' || domain, error_code FROM connector.sync_queue"
                " WHERE launch_id = %s AND outcome = 'failed'",
                (launch.launch_id,),
            )
            return dict(rows.fetchall())

    def trouble(self, fault: dict[str, Any], *services: str) -> None:
        """Every request to these services ends so from now on."""
        services = services or ("shopify",)
        self.pipeline.sandbox.faults.set(
            [{"match": {"platform": service}, **fault} for service in services]
        )

    def passes(self) -> None:
        self.pipeline.sandbox.faults.clear()

    def kinds(self) -> list[str]:
        """The kinds of the alerts so far."""
        return [alert["kind"] for alert in self.webhook.taken]

    def active(self) -> set[str]:
        return set(self.pipeline.registry.active_partition_keys())

    def state(self, key: str) -> ShopState:
        return self.pipeline.registry.get(key).state


@pytest.fixture
def fleet(pipeline: Pipeline, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setenv("CONNECTOR_MAX_RETRIES", "0")
    with_twelve_shops(pipeline)
    return Fleet(pipeline, Ticks(pipeline.database), webhook)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        # Case c02 and others: a firewall's page, and refusals in the platform's own words.
        (CLOUDFLARE, "many_shops_failing"),
        (UNKNOWN_TOKEN, "many_shops_refused"),
        pytest.param(LOCKED, "many_shops_refused", marks=pytest.mark.slow),
        pytest.param(OVERLOADED, "many_shops_failing", marks=pytest.mark.slow),
    ],
    ids=["firewall", "unknown token", "locked", "overloaded"],
)
def test_twelve_shops_in_a_bad_minute_are_one_alert_and_none_is_disconnected(
    fleet: Fleet, fault: dict[str, Any], kind: str
) -> None:
    """All are synced by the next sweep, and the next bad minute is another alert."""
    for trouble in (1, 2):
        fleet.trouble(fault)
        for _ in range(2):
            assert fleet.sync_all().keys() == set(TWELVE)
            minutes_pass(fleet.pipeline.database, 60)
        assert fleet.active() == set(TWELVE)
        assert len(fleet.kinds()) == trouble
        assert fleet.kinds()[-1] == kind
        [platform] = fleet.webhook.taken[-1]["platforms"]
        assert (platform["platform_name"], platform["shops"], platform["failed"]) == (
            "shopify",
            12,
            12,
        )
        fleet.passes()
        assert fleet.sync_all() == {}
        assert len(fleet.kinds()) == trouble
    assert len({alert["alert_id"] for alert in fleet.webhook.taken}) == 2


def test_a_really_revoked_token_is_disconnected_within_two_sweeps(fleet: Fleet) -> None:
    """It has an alert of its own, the usual one, and the other shops are synced."""
    fleet.pipeline.sandbox.store.shop(*key(3).split("/")).credentials.revoked = True
    assert fleet.sync_all() == {key(3): "AccessRefused"}
    assert fleet.kinds() == []
    minutes_pass(fleet.pipeline.database)
    assert fleet.sync_all() == {key(3): "ShopDisconnected"}
    assert fleet.state(key(3)) is ShopState.DISCONNECTED
    assert fleet.kinds() == ["shops_disconnected"]
    assert fleet.active() == set(TWELVE) - {key(3)}


def test_a_shop_that_is_really_closed_is_found_behind_the_trouble_of_all(fleet: Fleet) -> None:
    """The sweep in which the others answer disconnects it: it was refused long before."""
    fleet.trouble(UNKNOWN_TOKEN)
    fleet.sync_all()
    fleet.passes()
    fleet.pipeline.sandbox.store.shop(*key(3).split("/")).credentials.revoked = True
    minutes_pass(fleet.pipeline.database)
    assert fleet.sync_all() == {key(3): "ShopDisconnected"}
    assert fleet.kinds() == ["many_shops_refused", "shops_disconnected"]


@pytest.mark.parametrize("times", [1, 2], ids=["one 401", "two 401s"])
def test_a_refusal_that_passes_within_seconds_costs_nothing(fleet: Fleet, times: int) -> None:
    """Case c03: the run asks the shop again, and records no failure."""
    match = {"platform": "shopify", "domain": key(0).split("/")[1]}
    fleet.pipeline.sandbox.faults.set([{"match": match, **UNKNOWN_TOKEN, "times": times}])
    assert fleet.sync_all() == {}
    shop = fleet.pipeline.registry.get(key(0))
    assert (shop.consecutive_failures, shop.refused_at) == (0, None)


def test_a_refusal_by_locking_that_passes_costs_nothing_either(fleet: Fleet) -> None:
    """A shop may be locked for seconds while Shopify moves it."""
    match = {"platform": "shopify", "domain": key(0).split("/")[1]}
    fleet.pipeline.sandbox.faults.set([{"match": match, **LOCKED, "times": 2}])
    assert fleet.sync_all() == {}


def test_four_of_twelve_refused_shops_are_no_trouble_of_many(fleet: Fleet) -> None:
    """Each may have its own reason, and each is disconnected; they share an alert."""
    revoked = TWELVE[:4]
    for each in revoked:
        fleet.pipeline.sandbox.store.shop(*each.split("/")).credentials.revoked = True
    fleet.sync_all()
    minutes_pass(fleet.pipeline.database)
    assert fleet.sync_all() == dict.fromkeys(revoked, "ShopDisconnected")
    assert fleet.kinds() == ["shops_disconnected"]


def test_a_trouble_of_two_platforms_at_once_is_one_alert(fleet: Fleet) -> None:
    """The Token Service is down: shops of both platforms fail in one run."""
    spec = next(each.spec for each in fleet.pipeline.sandbox.store if each.key.startswith("woo"))
    for number in range(5):
        fleet.pipeline.sandbox.store.put(replace(spec, domain=f"shop-{number}.example"))
    woo = [shop.key for shop in fleet.pipeline.sandbox.store if shop.spec.platform == "woocommerce"]
    fleet.pipeline.register(*woo)
    fleet.trouble(NO_TOKENS, "token-service")
    failed = fleet.sync_all([*TWELVE, *woo])
    assert set(failed.values()) == {"TokenServiceUnavailable"}
    assert fleet.kinds() == ["many_shops_failing"]
    [alert] = fleet.webhook.taken
    assert [each["platform_name"] for each in alert["platforms"]] == ["shopify", "woocommerce"]


@pytest.mark.parametrize("sweep_first", [True, False], ids=["the sweep's", "the trouble's"])
def test_a_sweep_that_fails_by_such_a_trouble_raises_no_alert_of_its_own(
    fleet: Fleet, sweep_first: bool
) -> None:
    """Whichever is seen first, it is one alert, for the next sweep too."""
    more = [f"shopify/more-{number}.myshopify.com" for number in range(28)]
    fleet.pipeline.register(*more)
    swept = [*TWELVE, *more]
    with fleet.pipeline.database.connect() as connection:
        queue_intake.put_shops(connection, swept, reason=QueueReason.SWEEP, sweep_id="sweep-1")
        queued_runs.take(connection, capacity=Capacity(1, 1, 1), shops_per_run=100)
        [launch] = queued_runs.unseen(connection)
    ids = [shop.sync_id for shop in launch.shops]

    def fail(sync_ids: list[str]) -> None:
        with fleet.pipeline.database.connect() as connection:
            connection.execute(
                "UPDATE connector.sync_queue SET state = 'ended', ended_at = now(),"
                " outcome = 'failed', error_code = 'PlatformUnavailable' WHERE sync_id = ANY(%s)",
                (sync_ids,),
            )

    # Three are more than a twentieth of forty, and no trouble of most.
    fail(ids[:3] if sweep_first else ids)
    fleet.ticks.tick()
    fail(ids)
    fleet.ticks.tick()
    assert fleet.kinds() == ["sweep_failing" if sweep_first else "many_shops_failing"]
    with fleet.pipeline.database.connect() as connection:
        queue_intake.put_shops(connection, swept, reason=QueueReason.SWEEP, sweep_id="sweep-2")
        queued_runs.take(connection, capacity=Capacity(1, 1, 1), shops_per_run=100)
        [launch] = queued_runs.unseen(connection)
    fail([shop.sync_id for shop in launch.shops])
    fleet.ticks.tick()
    assert len(fleet.kinds()) == 1
