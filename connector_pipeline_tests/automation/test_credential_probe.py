"""Disconnected shops come back when the Token Service has new credentials for them."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context
from pydantic import BaseModel, SecretStr

from connector_pipeline.automation import credential_probe as probing
from connector_pipeline.automation.credential_probe import are_new, credential_probe
from connector_pipeline.credentials.refused import credential_digest
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.shop import Shop, ShopState
from connector_pipeline.platforms.shopify.credentials import ShopifyCredentials
from connector_pipeline.platforms.woocommerce.talking.authentication import (
    WooCommerceCredentials,
)
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.assets.conftest import RAW_PRODUCTS, Pipeline, pipeline

__all__ = ["pipeline"]

TOKEN = ShopifyCredentials(access_token=SecretStr("shpat_1"))
KEY = WooCommerceCredentials(consumer_key=SecretStr("ck_1"), consumer_secret=SecretStr("cs_1"))


@pytest.mark.parametrize(
    ("refused", "given", "new"),
    [
        (None, TOKEN, True),
        (TOKEN, TOKEN, False),
        (TOKEN, ShopifyCredentials(access_token=SecretStr("shpat_2")), True),
        (TOKEN, TOKEN.model_copy(update={"expires_at": datetime.now(UTC)}), False),
        (KEY, KEY, False),
        (KEY, KEY.model_copy(update={"consumer_secret": SecretStr("cs_2")}), True),
        (KEY, KEY.model_copy(update={"consumer_key": SecretStr("ck_2")}), True),
    ],
)
def test_credentials_are_new_if_their_secrets_were_not_refused(
    refused: BaseModel | None, given: BaseModel, new: bool
) -> None:
    """The first credentials are new. Refused ones that expire later are not."""
    digest = None if refused is None else credential_digest(refused)
    assert are_new(digest, given) is new


def test_a_digest_reveals_nothing_about_the_credential() -> None:
    """It has no part of the secrets, and two digests of one credential differ."""
    first, second = credential_digest(KEY), credential_digest(KEY)
    assert first != second
    assert not any(secret in first for secret in ("ck_1", "cs_1"))


@dataclass
class Probed:
    """The sensor over a sandbox and a registry."""

    registry: ShopRegistry
    sandbox: SandboxServer
    instance: DagsterInstance
    cursor: str | None = None

    def tick(self) -> str:
        """Tick once, after the tick before. Returns the skip reason."""
        resources = {
            "registry": self.registry,
            "token_service": TokenService(url=self.sandbox.token_service_url, retry_count=0),
        }
        with build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=resources
        ) as context:
            said = credential_probe(context)
            self.cursor = context.cursor
        assert isinstance(said, SkipReason)
        return str(said.skip_message)

    def shop(self, number: int) -> SandboxShop:
        """Register one of the sandbox's shops."""
        shop = list(self.sandbox.store)[number]
        self.registry.add(
            Shop(
                merchant_id=shop.spec.merchant_id,
                platform_name=shop.spec.platform,
                platform_shop_id=shop.spec.platform_shop_id,
                domain=shop.spec.domain,
            )
        )
        return shop

    def state(self, shop: SandboxShop) -> ShopState:
        """The shop's state in the registry."""
        return self.registry.get(shop.key).state


@pytest.fixture
def probed(registry: ShopRegistry) -> Generator[Probed]:
    """The sensor over a sandbox with the default shops, none of them registered."""
    with SandboxServer() as sandbox, DagsterInstance.ephemeral() as instance:
        yield Probed(registry, sandbox, instance)


def test_a_shop_whose_credentials_were_missing_comes_back_with_the_first(probed: Probed) -> None:
    """It does not come back before. A paused shop is left alone."""
    missing, paused = probed.shop(0), probed.shop(1)
    probed.registry.set_state(missing.key, ShopState.DISCONNECTED)
    probed.registry.set_state(paused.key, ShopState.PAUSED)
    missing.credentials.removed = True
    assert "1 disconnected shops probed, 0 of them" in probed.tick()
    assert probed.state(missing) is ShopState.DISCONNECTED
    missing.credentials.removed = False
    assert "1 disconnected shops probed, 1 of them" in probed.tick()
    assert probed.state(missing) is ShopState.ACTIVE
    assert probed.state(paused) is ShopState.PAUSED
    asked = probed.sandbox.requests.requests()
    assert [request.service for request in asked] == ["token-service"] * 2


def test_every_disconnected_shop_is_probed(probed: Probed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tick probes some, and begins again after the last, even if one answer is an error."""
    monkeypatch.setattr(probing, "SHOPS_A_TICK", 2)
    shops = [probed.shop(number) for number in range(5)]
    for shop in shops:
        probed.registry.set_state(shop.key, ShopState.DISCONNECTED)
        shop.credentials.removed = True
    path = f"/token-service/api/v1/tokens/{shops[0].key}"
    probed.sandbox.faults.set([{"match": {"path_contains": path}, "kind": "garbage"}])

    def asked() -> int:
        return len(probed.sandbox.requests.requests())

    said = [probed.tick() for _ in range(3)]
    assert asked() == 5
    assert sum("The last error: " in each for each in said) == 1
    probed.tick()
    assert asked() == 7


def test_a_registry_that_cannot_be_read_is_reported(probed: Probed) -> None:
    """The next tick tries again."""
    nowhere = Database(url="postgresql://nobody@127.0.0.1:1/nothing")
    elsewhere = Probed(ShopRegistry(database=nowhere), probed.sandbox, probed.instance)
    assert "DatabaseUnavailable" in elsewhere.tick()


@pytest.mark.parametrize("number", [0, 3], ids=["shopify", "woocommerce"])
def test_a_refused_shop_comes_back_only_with_other_credentials(
    pipeline: Pipeline, number: int
) -> None:
    """The refused ones are recognized, and their digest has no secret."""
    over = Probed(pipeline.registry, pipeline.sandbox, pipeline.instance)
    shop = list(pipeline.sandbox.store)[number]
    pipeline.register(shop.key)
    shop.credentials.revoked = True
    pipeline.materialize(shop.key, assets=[RAW_PRODUCTS])
    assert over.state(shop) is ShopState.DISCONNECTED
    [kept] = pipeline.registry.disconnected_after("", limit=10)
    issued = shop.credentials
    assert kept.refused is not None
    assert not any(
        secret in kept.refused
        for secret in (issued.access_token, issued.consumer_key, issued.consumer_secret)
    )
    assert "1 disconnected shops probed, 0 of them" in over.tick()
    assert over.state(shop) is ShopState.DISCONNECTED
    shop.credentials.rotate()
    over.tick()
    assert over.state(shop) is ShopState.ACTIVE
    assert pipeline.registry.disconnected_after("", limit=10) == []
    assert pipeline.materialize(shop.key).success


def test_a_shop_resumed_meanwhile_is_left_as_it_is(registry: ShopRegistry) -> None:
    """The probe's finding about it no longer holds."""
    shop = Shop(
        merchant_id="m-1",
        platform_name="shopify",
        platform_shop_id="1",
        domain="acme.myshopify.com",
    )
    registry.add(shop)
    registry.set_state(shop.partition_key, ShopState.DISCONNECTED)
    [found] = registry.disconnected_after("", limit=10)
    registry.set_state(shop.partition_key, ShopState.PAUSED)
    assert registry.reconnect(found) is False
    assert registry.get(shop.partition_key).state is ShopState.PAUSED


def test_a_shop_whose_adapter_is_gone_costs_the_others_nothing(probed: Probed) -> None:
    """Nobody knows what its credentials look like; it stays disconnected, and is not asked for."""
    known = probed.shop(0)
    probed.registry.set_state(known.key, ShopState.DISCONNECTED)
    with probed.registry.database.connect() as connection:
        connection.execute(
            "INSERT INTO connector.shops"
            " (merchant_id, platform_name, platform_shop_id, domain, state)"
            " VALUES ('m-1', 'a_platform', '1', 'shop.example.com', 'disconnected')"
        )
    assert "2 disconnected shops probed, 1 of them" in probed.tick()
    assert probed.state(known) is ShopState.ACTIVE
