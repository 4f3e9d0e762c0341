"""Disconnected shops come back when they answer again, and are not asked more often than is due."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from dagster import SkipReason, build_sensor_context
from psycopg.rows import dict_row
from pydantic import BaseModel, SecretStr

from connector_pipeline.automation import credential_probe as probing
from connector_pipeline.automation.credential_probe import are_new, credential_probe
from connector_pipeline.credentials.refused import credential_digest
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ShopDisconnected
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.shopify.credentials import ShopifyCredentials
from connector_pipeline.platforms.woocommerce.talking.authentication import (
    WooCommerceCredentials,
)
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.state import disconnected
from connector_pipeline_tests.assets.conftest import RAW_PRODUCTS, Pipeline, pipeline
from connector_pipeline_tests.passing_time import minutes_pass
from connector_pipeline_tests.platforms.http.dripping import dripping

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
    """The sensor over a pipeline: a sandbox, a registry, and runs that find shops disconnected."""

    pipeline: Pipeline
    cursor: str | None = None

    def tick(
        self, database: Database | None = None, token_service: TokenService | None = None
    ) -> str:
        """Tick once, after the tick before. Returns the skip reason."""
        resources = {
            "database": database or self.pipeline.database,
            "token_service": token_service
            or TokenService(url=self.pipeline.sandbox.token_service_url, retry_count=0),
        }
        with build_sensor_context(
            instance=self.pipeline.instance, cursor=self.cursor, resources=resources
        ) as context:
            said = credential_probe(context)
            self.cursor = context.cursor
        assert isinstance(said, SkipReason)
        return str(said.skip_message)

    def shop(self, number: int) -> SandboxShop:
        """Register one of the sandbox's shops."""
        shop = list(self.pipeline.sandbox.store)[number]
        self.pipeline.register(shop.key)
        return shop

    def disconnect(self, shop: SandboxShop) -> None:
        """Let two syncs be refused, minutes apart."""
        self.pipeline.materialize(shop.key, assets=[RAW_PRODUCTS])
        minutes_pass(self.pipeline.database)
        self.pipeline.materialize(shop.key, assets=[RAW_PRODUCTS])
        assert self.state(shop) is ShopState.DISCONNECTED
        self.pipeline.sandbox.requests.clear()

    def state(self, shop: SandboxShop) -> ShopState:
        """The shop's state in the registry."""
        return self.pipeline.registry.get(shop.key).state

    def asked(self, shop: SandboxShop) -> int:
        """How often the shop was asked since it was disconnected or `asked` was called."""
        requests = self.pipeline.sandbox.requests
        count = requests.shop(shop.spec.platform, shop.spec.domain).count
        requests.clear()
        return count

    def remembered(self, shop: SandboxShop) -> dict[str, Any]:
        """What the registry remembers of the refusal, and the time in minutes to the next ask."""
        with self.pipeline.database.connect() as connection:
            row = connection.cursor(row_factory=dict_row).execute(
                "SELECT refused_at, refused_about, refused_credential, asked_again,"
                " round(extract(epoch FROM ask_again_at - now()) / 60)::int AS minutes"
                " FROM connector.shops WHERE platform_name || '/' || domain = %s",
                (shop.key,),
            )
            return row.fetchall()[0]

    def waiting(self) -> list[str]:
        """The partition keys that wait in the queue."""
        with self.pipeline.database.connect() as connection:
            rows = connection.execute(
                "SELECT platform_name || '/' || domain FROM connector.sync_queue"
                " WHERE state = 'waiting'"
            )
            return [key for (key,) in rows]


@pytest.fixture
def probed(pipeline: Pipeline) -> Probed:
    """The sensor over a sandbox with the default shops, none of them registered."""
    return Probed(pipeline)


SHOPIFY, WOOCOMMERCE = 0, 3
FROZEN = {"kind": "status", "status": 402, "body": {"errors": "Unavailable Shop"}}
BOTH = pytest.mark.parametrize("number", [SHOPIFY, WOOCOMMERCE], ids=["shopify", "woocommerce"])


def test_a_shop_whose_credentials_were_missing_comes_back_with_the_first(probed: Probed) -> None:
    """It does not come back before. A paused shop is left alone."""
    missing, paused = probed.shop(0), probed.shop(1)
    missing.credentials.removed = True
    probed.disconnect(missing)
    probed.pipeline.registry.set_state(paused.key, ShopState.PAUSED)
    assert "1 disconnected shop probed, 0 of them asked" in probed.tick()
    assert probed.state(missing) is ShopState.DISCONNECTED
    missing.credentials.removed = False
    assert "1 of them asked; 1 answered" in probed.tick()
    assert probed.state(missing) is ShopState.ACTIVE
    assert probed.state(paused) is ShopState.PAUSED
    assert probed.asked(missing) == 1
    # Its catalog is as old as the refusal, so it is synced at once.
    assert probed.waiting() == [missing.key]


def test_every_disconnected_shop_is_probed(probed: Probed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tick probes some, and begins again after the last, even if one answer is an error."""
    monkeypatch.setattr(probing, "SHOPS_A_TICK", 2)
    shops = [probed.shop(number) for number in range(5)]
    for shop in shops:
        probed.pipeline.registry.set_state(shop.key, ShopState.DISCONNECTED)
        shop.credentials.removed = True
    path = f"/token-service/api/v1/tokens/{shops[0].key}"
    probed.pipeline.sandbox.faults.set([{"match": {"path_contains": path}, "kind": "garbage"}])

    def asked() -> int:
        return len(probed.pipeline.sandbox.requests.requests())

    said = [probed.tick() for _ in range(3)]
    assert asked() == 5
    assert sum("The last error: " in each for each in said) == 1
    probed.tick()
    assert asked() == 7


def test_a_registry_that_cannot_be_read_is_reported(probed: Probed) -> None:
    """The next tick tries again."""
    assert "DatabaseUnavailable" in probed.tick(Database(url="postgresql://nobody@127.0.0.1:1/no"))


@BOTH
def test_refused_credentials_are_asked_once_each_until_the_shop_is_due(
    probed: Probed, number: int
) -> None:
    """With rotating tokens a new token is no reconnect: only the shop's answer is.

    The digest of the refused ones has no secret.
    """
    shop = probed.shop(number)
    shop.credentials.revoked = True
    probed.disconnect(shop)
    issued = shop.credentials
    kept = probed.remembered(shop)
    assert kept["refused_about"] == "credentials"
    assert not any(
        secret in kept["refused_credential"]
        for secret in (issued.access_token, issued.consumer_key, issued.consumer_secret)
    )
    for _ in range(2):
        assert "1 disconnected shop probed, 0 of them asked" in probed.tick()
        assert probed.asked(shop) == 0

    issued.rotate()
    issued.revoked = True
    assert "1 of them asked; 0 answered" in probed.tick()
    assert probed.state(shop) is ShopState.DISCONNECTED
    assert probed.asked(shop) > 0
    probed.tick()
    assert probed.asked(shop) == 0

    issued.rotate()
    assert "1 answered" in probed.tick()
    assert probed.state(shop) is ShopState.ACTIVE
    cleared = {"refused_at": None, "refused_about": None, "refused_credential": None}
    assert probed.remembered(shop) == cleared | {"asked_again": 0, "minutes": None}
    assert probed.pipeline.materialize(shop.key).success


@BOTH
def test_a_refusal_that_ends_without_a_word_is_found_out(probed: Probed, number: int) -> None:
    """The same credentials are good again: the shop is asked when it is due."""
    shop = probed.shop(number)
    shop.credentials.revoked = True
    probed.disconnect(shop)
    shop.credentials.revoked = False
    probed.tick()
    assert probed.state(shop) is ShopState.DISCONNECTED
    minutes_pass(probed.pipeline.database, 10)
    probed.tick()
    assert probed.state(shop) is ShopState.ACTIVE


def test_a_disconnected_shop_is_asked_at_growing_distance(probed: Probed) -> None:
    """The first time after ten minutes, then after twice as long each time, up to a day."""
    shop = probed.shop(SHOPIFY)
    shop.credentials.revoked = True
    probed.disconnect(shop)
    distances = [probed.remembered(shop)["minutes"]]
    for _ in range(9):
        minutes_pass(probed.pipeline.database, distances[-1] + 1)
        probed.tick()
        distances.append(probed.remembered(shop)["minutes"])
    assert distances == [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]


def test_a_frozen_shop_is_not_asked_for_each_token_that_rotates(probed: Probed) -> None:
    """Case c19: other credentials change nothing. It becomes active when it answers again."""
    shop = probed.shop(SHOPIFY)
    match = {"domain": shop.spec.domain, "platform": "shopify"}
    probed.pipeline.sandbox.faults.set([{"match": match, **FROZEN}])
    probed.disconnect(shop)
    assert probed.remembered(shop)["refused_about"] == "shop"
    for _ in range(3):
        shop.credentials.rotate()
        assert "No disconnected shop is left to probe." in probed.tick()
    assert probed.pipeline.sandbox.requests.requests() == []
    minutes_pass(probed.pipeline.database, 10)
    assert "1 of them asked; 0 answered" in probed.tick()
    probed.pipeline.sandbox.faults.clear()
    minutes_pass(probed.pipeline.database, 20)
    assert "1 answered" in probed.tick()
    assert probed.state(shop) is ShopState.ACTIVE


@pytest.mark.parametrize("about", ["credentials", "shop"])
def test_other_credentials_are_a_reason_only_against_a_refusal_of_credentials(
    probed: Probed, about: str
) -> None:
    """A shop that is closed or frozen is asked when it is due, whatever the Token Service has."""
    shop = probed.shop(SHOPIFY)
    shop.credentials.revoked = True
    probed.disconnect(shop)
    with probed.pipeline.database.connect() as connection:
        connection.execute("UPDATE connector.shops SET refused_about = %s", (about,))
    shop.credentials.rotate()
    probed.tick()
    active = probed.state(shop) is ShopState.ACTIVE
    assert active is (about == "credentials")
    minutes_pass(probed.pipeline.database, 10)
    probed.tick()
    assert probed.state(shop) is ShopState.ACTIVE


def test_a_shop_that_does_not_answer_stays_and_is_asked_less_often(
    probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up after a bound of seconds, and what was refused is remembered as it was."""
    monkeypatch.setattr(probing, "SECONDS_A_SHOP", 3.0)
    shop = probed.shop(WOOCOMMERCE)
    shop.credentials.revoked = True
    probed.disconnect(shop)
    before = probed.remembered(shop)
    match = {"domain": shop.spec.domain, "platform": "woocommerce"}
    probed.pipeline.sandbox.faults.set([{"match": match, "kind": "hang", "at": "start"}])
    minutes_pass(probed.pipeline.database, 10)
    said = probed.tick()
    assert "PlatformUnavailable" in said
    # No sync comes to a disconnected shop.
    assert "next sync" not in said
    assert "asked again at growing distances" in said
    after = probed.remembered(shop)
    assert after["refused_credential"] == before["refused_credential"]
    assert (after["asked_again"], after["minutes"]) == (1, 20)
    assert probed.state(shop) is ShopState.DISCONNECTED


def test_a_token_service_in_trouble_leaves_a_shop_as_due_as_it_was(probed: Probed) -> None:
    """The shop was not asked, so it is not asked less often."""
    shop = probed.shop(SHOPIFY)
    shop.credentials.revoked = True
    probed.disconnect(shop)
    minutes_pass(probed.pipeline.database, 10)
    down = {"match": {"platform": "token-service"}, "kind": "status", "status": 503}
    probed.pipeline.sandbox.faults.set([down])
    assert "TokenServiceUnavailable" in probed.tick()
    assert probed.remembered(shop)["asked_again"] == 0
    probed.pipeline.sandbox.faults.clear()
    shop.credentials.revoked = False
    probed.tick()
    assert probed.state(shop) is ShopState.ACTIVE


@pytest.mark.parametrize("due", [True, False])
def test_a_token_service_that_drips_holds_up_no_tick(
    probed: Probed, monkeypatch: pytest.MonkeyPatch, due: bool
) -> None:
    """Each shop has its bound of seconds. None is blamed, and none is asked less often for it."""
    monkeypatch.setattr(probing, "SECONDS_A_SHOP", 0.5)
    shop = probed.shop(SHOPIFY)
    shop.credentials.revoked = True
    probed.disconnect(shop)
    if due:
        minutes_pass(probed.pipeline.database, 10)
    with dripping() as drip:
        said = probed.tick(token_service=TokenService(url=drip.url, timeout=30.0))
    assert "TokenServiceUnavailable: " in said
    assert "the Token Service gave no credentials within" in said
    assert probed.remembered(shop)["asked_again"] == 0
    assert probed.state(shop) is ShopState.DISCONNECTED


def test_a_shop_resumed_meanwhile_is_left_as_it_is(probed: Probed) -> None:
    """The probe's finding about it no longer holds."""
    shop = probed.shop(SHOPIFY)
    registry = probed.pipeline.registry
    registry.set_state(shop.key, ShopState.DISCONNECTED)
    with registry.database.connect() as connection:
        [found] = disconnected.next_after(connection, "", limit=10)
    registry.set_state(shop.key, ShopState.PAUSED)
    with registry.database.connect() as connection:
        assert disconnected.reconnect(connection, found) is False
        refusal = ShopDisconnected("the token was revoked.")
        disconnected.still_refused(connection, found, refusal, credential="digest")
        disconnected.not_answered(connection, found)
    assert registry.get(shop.key).state is ShopState.PAUSED
    assert probed.waiting() == []
    assert probed.remembered(shop)["asked_again"] == 0


def test_a_shop_whose_adapter_is_gone_costs_the_others_nothing(probed: Probed) -> None:
    """Nobody knows how to ask it; it stays disconnected, and is not asked."""
    known = probed.shop(SHOPIFY)
    probed.pipeline.registry.set_state(known.key, ShopState.DISCONNECTED)
    with probed.pipeline.database.connect() as connection:
        connection.execute(
            "INSERT INTO connector.shops"
            " (merchant_id, platform_name, platform_shop_id, domain, state)"
            " VALUES ('m-1', 'a_platform', '1', 'shop.example.com', 'disconnected')"
        )
    assert "2 disconnected shops probed, 1 of them asked; 1 answered" in probed.tick()
    assert probed.state(known) is ShopState.ACTIVE
