"""Shops are looked at when they are due; what changed is left as a hint, once, and nothing else."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context

from connector_pipeline.automation.change_feeds import change_feeds
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.state import erasing
from connector_pipeline.state.registry import ShopRegistry

_SPEC = ShopSpec("shopify", "looks.myshopify.com", "m", "1", products=260)
SPECS = (_SPEC, replace(_SPEC, platform="woocommerce", domain="looks.example"))
SHOPIFY, WOOCOMMERCE = (f"{spec.platform}/{spec.domain}" for spec in SPECS)


@dataclass
class Watched:
    """The sensor over two shops that were synced, by the registry's word."""

    instance: DagsterInstance
    database: Database
    sandbox: SandboxServer
    cursor: str | None = None

    def tick(self, token_service: TokenService | None = None) -> str:
        """Tick once, after the tick before. Returns the skip reason."""
        resources: dict[str, Any] = {
            "database": self.database,
            "token_service": token_service
            or TokenService(url=self.sandbox.token_service_url, retry_count=0),
        }
        with build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=resources
        ) as context:
            said = change_feeds(context)
            self.cursor = context.cursor
        assert isinstance(said, SkipReason)
        return str(said.skip_message)

    def make_due(self) -> None:
        """Let the looks be due, with no sync since the last."""
        with self.database.connect() as connection:
            connection.execute(
                "UPDATE connector.change_looks SET look_at = now(), looked_at = now()"
            )

    def look(self) -> str:
        """Tick with all looks due, and in a minute of its own."""
        self.make_due()
        self.cursor = None
        self.sandbox.requests.clear()
        return self.tick()

    def held(self, key: str) -> SandboxShop:
        return self.sandbox.store.shop(*key.split("/"))

    def requests(self, key: str) -> int:
        return self.sandbox.requests.shop(*key.split("/")).count

    def hints(self) -> list[tuple[str, str | None]]:
        """The hints that wait, by shop and token."""
        with self.database.connect() as connection:
            return connection.execute(
                "SELECT platform_name || '/' || domain, token FROM connector.hints"
                " WHERE gathered_at IS NULL AND source = 'feed' ORDER BY id"
            ).fetchall()

    def sync(self, key: str) -> None:
        """A sync of the shop was published just now."""
        self.execute(
            "UPDATE connector.shops SET last_successful_sync_at = clock_timestamp()"
            " WHERE platform_name || '/' || domain = %s",
            key,
        )

    def execute(self, statement: str, *values: str) -> None:
        with self.database.connect() as connection:
            connection.execute(statement.encode(), values)

    def remembered(self, key: str) -> dict[str, Any]:
        with self.database.connect() as connection:
            [row] = connection.execute(
                "SELECT failures, extract(epoch FROM look_at - now()) / 60, changes_an_hour"
                " FROM connector.change_looks WHERE platform_name || '/' || domain = %s",
                (key,),
            ).fetchall()
        return dict(zip(("failures", "minutes", "rate"), row, strict=True))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer([]) as running:
        yield running


@pytest.fixture
def watched(
    sandbox: SandboxServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    """Two shops that were synced and looked at once."""
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", database_url)
    monkeypatch.setenv("CONNECTOR_RETRY_DELAY", "0.01")
    database = Database(url=database_url)
    with DagsterInstance.ephemeral() as instance:
        found = Watched(instance, database, sandbox)
        for key, spec in zip((SHOPIFY, WOOCOMMERCE), SPECS, strict=True):
            sandbox.store.put(spec)
            ShopRegistry(database=database).add(
                Shop(
                    merchant_id="m",
                    platform_name=spec.platform,
                    platform_shop_id="1",
                    domain=spec.domain,
                )
            )
            found.sync(key)
        found.tick()
        said = found.look()
        # A deletion before the first look cannot be seen by it.
        assert found.hints() == [(WOOCOMMERCE, None)], said
        found.execute("UPDATE connector.hints SET gathered_at = now()")
        yield found


def test_what_changed_is_left_as_a_hint_once(watched: Watched) -> None:
    """A shop whose hints wait is not looked at. Nothing is left where nothing changed."""
    assert "2 looked at, 0 of them changed" in watched.look()
    now = datetime.now(UTC)
    changed = watched.held(SHOPIFY).product_ids()[5]
    watched.held(SHOPIFY).edit_product(changed, {"title": "New"}, at=now)
    watched.held(WOOCOMMERCE).remove_product(watched.held(WOOCOMMERCE).product_ids()[5])
    assert "2 looked at, 2 of them changed" in watched.look()
    assert sorted(watched.hints(), key=str) == [(SHOPIFY, str(changed)), (WOOCOMMERCE, None)]
    assert watched.remembered(SHOPIFY)["rate"] > 0.1
    assert "0 looked at" in watched.look()
    assert watched.requests(SHOPIFY) == 0
    watched.execute("UPDATE connector.hints SET gathered_at = now()")
    assert "2 looked at, 0 of them changed" in watched.look()
    assert watched.hints() == []


def test_what_the_catalog_holds_is_no_hint(watched: Watched) -> None:
    """A webhook or a sweep was faster."""
    now = datetime.now(UTC).replace(microsecond=0)
    held, newer, deleted = map(str, watched.held(SHOPIFY).product_ids()[5:8])
    for product_id in (held, newer, deleted):
        watched.held(SHOPIFY).edit_product(int(product_id), {"title": "New"}, at=now)
    rows = ((held, now, None), (newer, now - timedelta(seconds=1), None), (deleted, None, now))
    for product_id, updated_at, deleted_at in rows:
        watched.execute(
            "INSERT INTO catalog.catalog_items (merchant_id, platform_name, platform_shop_id,"
            " domain, product_id, variant_id, product_title, variant_title, currency,"
            " product_status, first_synced_at, changed_at, sync_id, updated_at, deleted_at)"
            " VALUES ('m', 'shopify', '1', 'looks.myshopify.com', %s, %s, 'T', 'T', 'EUR',"
            " 'active', now(), now(), 's', nullif(%s, 'None')::timestamptz,"
            " nullif(%s, 'None')::timestamptz)",
            product_id, product_id, str(updated_at), str(deleted_at),
        )  # fmt: skip
    watched.look()
    assert watched.hints() == [(SHOPIFY, newer)]


def test_too_much_is_one_hint_without_a_token(watched: Watched) -> None:
    """An increment reads it."""
    shop = watched.held(SHOPIFY)
    for product_id in shop.product_ids():
        shop.edit_product(product_id, {"title": "Sale"}, at=datetime.now(UTC))
    watched.look()
    assert watched.hints() == [(SHOPIFY, None)]


def test_a_sync_counts_as_a_look(watched: Watched) -> None:
    """A shop that was synced since it was looked at is left alone for as long as after a look."""
    watched.make_due()
    watched.sync(SHOPIFY)
    watched.sandbox.requests.clear()
    watched.tick()
    assert watched.requests(SHOPIFY) == 0
    assert watched.requests(WOOCOMMERCE) > 0
    assert watched.remembered(SHOPIFY)["minutes"] > 20


LEFT_ALONE = {
    "paused": "UPDATE connector.shops SET state = 'paused'",
    "refused": "UPDATE connector.shops SET refused_at = now()",
    "never synced": "UPDATE connector.shops SET last_successful_sync_at = NULL",
    "throttled": "UPDATE connector.shops SET last_error_code = 'RateLimited'",
    "waits": "INSERT INTO connector.sync_queue (platform_name, domain, merchant_id, reason,"
    " priority, sync_type, sync_id, correlation_id) SELECT platform_name, domain, 'm', 'sweep', 3,"
    " 'auto', platform_name, 'c' FROM connector.shops",
    "runs": "INSERT INTO connector.syncs (platform_name, domain, merchant_id, status, sync_id,"
    " correlation_id, started_at) SELECT platform_name, domain, 'm', 'running', platform_name,"
    " 'c', now() FROM connector.shops",
}


def test_a_shop_is_left_alone_while_a_look_is_of_no_use(watched: Watched) -> None:
    """A sync comes, or must come first, or the platform is not to be pressed."""
    kept = "platform_name, domain, state, refused_at, last_successful_sync_at, last_error_code"
    watched.execute(f"CREATE TABLE public.kept AS SELECT {kept} FROM connector.shops")
    for why, statement in LEFT_ALONE.items():
        watched.execute(statement)
        watched.look()
        assert (watched.requests(SHOPIFY), watched.requests(WOOCOMMERCE)) == (0, 0), why
        watched.execute("TRUNCATE connector.sync_queue, connector.syncs")
        watched.execute(
            "UPDATE connector.shops AS shop SET state = kept.state, refused_at = kept.refused_at,"
            " last_successful_sync_at = kept.last_successful_sync_at,"
            " last_error_code = kept.last_error_code"
            " FROM public.kept WHERE kept.domain = shop.domain"
        )
        assert "2 looked at" in watched.look(), why


def test_a_shop_that_fails_is_looked_at_at_growing_distances_and_never_disconnected(
    watched: Watched,
) -> None:
    """Only syncs judge a refusal."""
    watched.held(SHOPIFY).credentials.revoked = True
    distances: list[float] = []
    for failures in (1, 2, 3):
        assert "1 look failed. The last error: ShopDisconnected" in watched.look()
        found = watched.remembered(SHOPIFY)
        assert found["failures"] == failures
        distances.append(found["minutes"])
    assert distances == sorted(distances)
    assert distances[2] > distances[0] + 30
    shop = ShopRegistry(database=watched.database).get(SHOPIFY)
    assert shop.state is ShopState.ACTIVE
    assert shop.consecutive_failures == 0


def test_without_the_token_service_no_shop_is_blamed(watched: Watched) -> None:
    """The looks stay due."""
    watched.make_due()
    said = watched.tick(TokenService(url="http://127.0.0.1:9", retry_count=0))
    assert "TokenServiceUnavailable" in said
    assert watched.remembered(SHOPIFY)["failures"] == 0
    assert watched.remembered(SHOPIFY)["minutes"] <= 0


def test_no_more_shops_are_looked_at_in_a_minute_than_allowed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with 0 none at all."""
    monkeypatch.setenv("CHANGE_LOOKS_PER_MINUTE", "1")
    said, minute = "", 0
    # The minute may turn between the two looks.
    while minute != (minute := int(time.time() // 60)):
        said = watched.look()
    assert "2 of 2 shops with a change feed due; 1 looked at" in said
    monkeypatch.setenv("CHANGE_LOOKS_PER_MINUTE", "0")
    assert "no change feed is looked at" in watched.look()
    assert watched.requests(SHOPIFY) + watched.requests(WOOCOMMERCE) == 0


def test_a_shop_that_is_erased_while_it_is_looked_at_leaves_nothing(watched: Watched) -> None:
    """Its look ends while the erasure goes on, and waits for it."""
    changed = watched.held(SHOPIFY).product_ids()[5]
    watched.held(SHOPIFY).edit_product(changed, {"title": "New"}, at=datetime.now(UTC))
    watched.make_due()
    with ThreadPoolExecutor(1) as thread:
        with watched.database.connect() as connection:
            erasing.mark(connection, SHOPIFY)
            erasing.erase(connection, SHOPIFY, locks=[])
            tick = thread.submit(watched.tick)
            while not _somebody_waits(watched.database):
                assert not tick.done()
        tick.result()
    with watched.database.connect() as connection:
        left = connection.execute(
            "SELECT platform_name FROM connector.hints WHERE platform_name = 'shopify'"
            " UNION ALL SELECT platform_name FROM connector.change_looks"
            " WHERE platform_name = 'shopify'"
        ).fetchall()
    assert left == []


def _somebody_waits(database: Database) -> bool:
    with database.connect() as connection:
        [(waiting,)] = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchall()
    return waiting > 0
