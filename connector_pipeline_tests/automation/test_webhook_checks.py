"""Lost webhooks are found about once a day, restored where that may be, and reported if not."""

from typing import Any

import pytest
from dagster import DagsterInstance, SensorResult, SkipReason, build_sensor_context

from connector_pipeline.automation.alerts import alerts
from connector_pipeline.automation.webhook_checks import webhook_checks
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.credentials.webhook_secrets import shop_secret
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.state import subscriptions
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.assets.conftest import Pipeline, pipeline

__all__ = ["pipeline"]

KEY = "a-key-of-the-receiver-of-32-chars"


class Checks:
    """Ticks of the sensor over the sandbox, a day apart."""

    def __init__(self, made: Pipeline):
        self.database: Database = made.database
        self.registry: ShopRegistry = made.registry
        self.instance: DagsterInstance = made.instance
        self.sandbox: SandboxServer = made.sandbox
        self.shops: dict[str, SandboxShop] = {}
        for shop in made.sandbox.store:
            self.shops.setdefault(shop.spec.platform, shop)
        made.register(*(shop.key for shop in self.shops.values()))

    def tick(self) -> str:
        resources = {
            "database": self.database,
            "token_service": TokenService(url=self.sandbox.token_service_url, retry_count=0),
        }
        with build_sensor_context(instance=self.instance, resources=resources) as context:
            said = webhook_checks(context)
        assert isinstance(said, SkipReason)
        return str(said.skip_message)

    def alerts(self) -> str:
        resources: dict[str, Any] = {"database": self.database}
        with build_sensor_context(instance=self.instance, resources=resources) as context:
            said = alerts(context)
        assert isinstance(said, SensorResult)
        assert said.skip_reason is not None
        return str(said.skip_reason.skip_message)

    def want(self, platform: str) -> SandboxShop:
        """Somebody subscribed once to this shop's webhooks, which are all lost since."""
        shop = self.shops[platform]
        with self.database.connect() as connection:
            subscriptions.found(connection, shop.key, trouble=None)
        return shop

    def a_day_passes(self) -> None:
        with self.database.connect() as connection:
            connection.execute(
                "UPDATE connector.shops"
                " SET subscriptions_checked_at = subscriptions_checked_at - interval '1 day'"
            )

    def known(self, platform: str) -> RegisteredShop:
        return self.registry.get(self.shops[platform].key)


@pytest.fixture
def checks(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Checks:
    monkeypatch.setenv("WEBHOOKS_URL", "https://hooks.example.com")
    monkeypatch.setenv("WEBHOOK_KEYS", f"{KEY} an-older-key-of-more-than-32-characters")
    return Checks(pipeline)


def test_what_a_platform_ended_is_restored_once_a_day(checks: Checks) -> None:
    """Shops to which nobody subscribed are not asked. The secret is of the first key."""
    assert checks.tick() == "No shop's webhooks are due to be looked at."
    shopify, woo = checks.want("shopify"), checks.want("woocommerce")
    woo.credentials.may_write = True
    assert checks.tick() == "No shop's webhooks are due to be looked at.", "they were just seen"
    checks.a_day_passes()
    said = checks.tick()
    assert said.startswith("The webhooks of 2 shops looked at: 10 restored, 0 shops lack some")
    assert {each.uri for each in shopify.subscriptions.all()} == {
        f"https://hooks.example.com/{shopify.key}"
    }
    assert {each.secret for each in woo.webhooks.all()} == {shop_secret(KEY, woo.key)}
    assert checks.known("shopify").subscribed is True
    checks.a_day_passes()
    first = woo.webhooks.all()[0]
    woo.webhooks.update(first.id, status="disabled")
    assert "1 restored" in checks.tick()
    assert checks.alerts() == "There is no new alert."


def test_what_cannot_be_restored_is_reported_until_it_is_over(checks: Checks) -> None:
    """A key that may only read; then what somebody of the shop has paused on purpose."""
    woo = checks.want("woocommerce")
    checks.a_day_passes()
    assert "0 restored, 1 shops lack some" in checks.tick()
    trouble = checks.known("woocommerce").subscriptions_trouble
    assert trouble is not None
    assert "Read/Write" in trouble
    assert f"webhooks subscribe {woo.key}" in trouble
    assert checks.alerts() == "Alerts raised: 1."
    woo.credentials.may_write = True
    checks.a_day_passes()
    assert "4 restored, 0 shops lack some" in checks.tick()
    assert checks.alerts() == "There is no new alert."
    woo.webhooks.update(woo.webhooks.all()[0].id, status="paused")
    checks.a_day_passes()
    assert "0 restored, 1 shops lack some" in checks.tick()
    assert "has paused product.created" in (checks.known("woocommerce").subscriptions_trouble or "")


def test_a_shop_that_does_not_answer_is_asked_again_the_next_day(checks: Checks) -> None:
    """What is known of its webhooks stays, and the other shop is looked at."""
    checks.want("shopify")
    checks.want("woocommerce").credentials.may_write = True
    match = {"match": {"platform": "shopify"}, "kind": "status", "status": 500}
    checks.sandbox.faults.set([match])
    checks.a_day_passes()
    said = checks.tick()
    assert "4 restored, 0 shops lack some, 1 did not answer" in said
    assert "PlatformUnavailable" in said
    assert checks.known("shopify").subscribed is True
    assert checks.tick() == "No shop's webhooks are due to be looked at."
