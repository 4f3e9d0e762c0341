"""No forgotten variable lets the sandbox near real shops, or real credentials near its own."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from connector_pipeline.cli.real_or_sandbox import mark_if_for_real_shops
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.postgres.serves import Serves, mark, serves
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.settings import load_settings
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.cli.conftest import Command
from connector_pipeline_tests.credentials.real_token_service import real_token_service

REAL = "shopify/a-merchants-own.myshopify.com"
SANDBOX = f"{DEFAULT_SHOPS[0].platform}/{DEFAULT_SHOPS[0].domain}"
SYNCING = [["sync", REAL], ["sync", SANDBOX], ["backfill"], ["backfill", "--failed"], ["dev"]]
TABLES: tuple[LiteralString, ...] = ("shops", "syncs", "sync_queue", "sync_requests", "outbox")


def everything(database: Database) -> list[list[tuple[Any, ...]]]:
    """All rows of the registry, the queue and the syncs."""
    with database.connect() as connection:
        return [
            connection.execute(f"SELECT * FROM connector.{table} ORDER BY 1, 2").fetchall()
            for table in TABLES
        ] + [connection.execute("SELECT * FROM connector.installation").fetchall()]


def marked(database: Database, these: Serves | None = None) -> Serves | None:
    """Mark the database, if a mark is given. Returns the mark."""
    with database.connect() as connection:
        return serves(connection) if these is None else mark(connection, these)


@pytest.fixture
def production(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database on a server with a merchant's shop, and none of the sandbox's variables."""
    for name in ("TOKEN_SERVICE_URL", "SHOPIFY_BASE_URL", "WOOCOMMERCE_BASE_URL"):
        monkeypatch.delenv(name)
    monkeypatch.delenv("ALLOW_PRIVATE_HOSTS")
    assert command("shops", "add", REAL, "--merchant-id", "m-1").status == 0


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("words", [*SYNCING, ["demo"]], ids=" ".join)
def test_a_forgotten_token_service_changes_nothing_in_a_production(
    command: Command, database: Database, words: list[str]
) -> None:
    """The command says on a line which variables to set, before it writes anything."""
    before = everything(database)
    ended = command(*words)
    assert (ended.status, ended.out) == (1, "")
    lines = ended.err.splitlines()
    if words == ["demo"]:
        # No Token Service would make it run, so it asks for none.
        assert {line.split(":")[0] for line in lines} == {
            "CONNECTOR_DATABASE_URL",
            "DAGSTER_POSTGRES_URL",
        }
        assert all(line.endswith("Unset it.") for line in lines)
    else:
        assert all(line.startswith("TOKEN_SERVICE_URL: not set") for line in lines)
        assert "CONNECTOR_DATABASE_URL" in lines[0]
    assert everything(database) == before


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("variable", ["DAGSTER_POSTGRES_URL", "NATS_URL"])
@pytest.mark.parametrize("words", [["sync", SANDBOX], ["demo"], ["dev"]], ids=" ".join)
def test_a_setting_left_over_from_a_production_keeps_the_sandbox_away(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], variable: str
) -> None:
    """Without a database's name the command would use the embedded one, and Dagster's of others."""
    monkeypatch.delenv("CONNECTOR_DATABASE_URL")
    if variable == "NATS_URL":
        monkeypatch.delenv("DAGSTER_POSTGRES_URL")
        monkeypatch.setenv(variable, "nats://nats.internal:4222")
    monkeypatch.setenv("CONNECTOR_HOME", str(home))
    ended = command(*words)
    assert (ended.status, ended.out) == (1, "")
    [line] = ended.err.splitlines()
    assert line.startswith(
        f"{variable}: set" if words == ["demo"] else "TOKEN_SERVICE_URL: not set"
    )
    assert variable in line
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("production")
def test_doctor_fails_where_a_sync_would_be_refused(command: Command) -> None:
    """It looked well before, and the next sync disconnected the shop."""
    found = command("doctor", "--json")
    assert found.status == 1
    [bad] = [row for row in found.rows() if row["subject"] == "token service"]
    assert not bad["ok"]
    assert "CONNECTOR_DATABASE_URL" in bad["seen"]


@pytest.mark.parametrize("words", [["sync", REAL], ["backfill"], ["dev"]], ids=" ".join)
def test_a_sandbox_left_in_the_settings_is_refused_by_a_database_of_real_shops(
    command: Command,
    database: Database,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TOKEN_SERVICE_URL is the sandbox's, who knows none of the shops."""
    command("shops", "add", REAL, "--merchant-id", "m-1")
    marked(database, Serves.REAL)
    before = everything(database)
    for only_the_service in (False, True):
        if only_the_service:
            for name in ("SHOPIFY_BASE_URL", "WOOCOMMERCE_BASE_URL", "ALLOW_PRIVATE_HOSTS"):
                monkeypatch.delenv(name)
        ended = command(*words)
        assert (ended.status, ended.out) == (1, "")
        wrong = {line.partition(":")[0] for line in ended.err.splitlines()}
        assert wrong == (
            {"TOKEN_SERVICE_URL"}
            if only_the_service
            else {"SHOPIFY_BASE_URL", "WOOCOMMERCE_BASE_URL", "ALLOW_PRIVATE_HOSTS"}
        )
        assert "real shops" in ended.err
        assert everything(database) == before
        found = command("doctor", "--json")
        assert found.status == 1
        said = " ".join(row["seen"] for row in found.rows() if not row["ok"])
        assert all(name in said for name in wrong)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SHOPIFY_BASE_URL", "http://127.0.0.1:4000/shopify/{domain}"),
        ("WOOCOMMERCE_BASE_URL", "http://localhost:4000/{domain}"),
        ("SHOPIFY_BASE_URL", "http://[::1]:4000/{domain}"),
        ("ALLOW_PRIVATE_HOSTS", "true"),
    ],
)
def test_one_variable_of_a_sandbox_beside_real_shops_is_named(
    command: Command,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    """The rest of the settings is a production's."""
    command("shops", "add", REAL, "--merchant-id", "m-1")
    marked(database, Serves.REAL)
    for name in ("SHOPIFY_BASE_URL", "WOOCOMMERCE_BASE_URL", "ALLOW_PRIVATE_HOSTS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, value)
    ended = command("sync", REAL)
    [line] = ended.err.splitlines()
    assert (ended.status, line.partition(":")[0]) == (1, variable)
    assert marked(database) is Serves.REAL


@pytest.mark.parametrize("has_credentials", [True, False])
@pytest.mark.parametrize("words", [["sync", SANDBOX], ["backfill"], ["dev"]], ids=" ".join)
def test_real_credentials_are_refused_by_the_sandboxs_database(
    command: Command,
    sandbox_shops: list[str],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    has_credentials: bool,
) -> None:
    """The remedy is another database or home."""
    marked(database, Serves.SANDBOX)
    before = everything(database)
    with real_token_service(has_credentials=has_credentials) as url:
        monkeypatch.setenv("TOKEN_SERVICE_URL", url)
        ended = command(*words)
        assert (ended.status, ended.out) == (1, "")
        [line] = ended.err.splitlines()
        assert line.startswith("TOKEN_SERVICE_URL: ")
        assert "CONNECTOR_DATABASE_URL or CONNECTOR_HOME" in line
        assert everything(database) == before
        found = command("doctor", "--json")
        assert found.status == 1


def test_the_settings_of_a_deployment_mark_a_database_when_it_is_made(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Token Service on this machine may be anything, and no deployment has a sandbox's."""
    for name in ("SHOPIFY_BASE_URL", "WOOCOMMERCE_BASE_URL", "ALLOW_PRIVATE_HOSTS"):
        monkeypatch.delenv(name, raising=False)

    def after(**settings: str) -> Serves | None:
        mark_if_for_real_shops(load_settings(**settings), database.connection_url())
        return marked(database)

    tokens = "https://tokens.internal"
    assert after() is None
    assert after(token_service_url="http://127.0.0.1:8000") is None
    assert after(token_service_url=tokens, allow_private_hosts="true") is None
    assert after(token_service_url=tokens, shopify_base_url="http://127.0.0.1/{domain}") is None
    assert after(token_service_url=tokens, shopify_base_url="https://proxy/{domain}") is Serves.REAL


@pytest.fixture
def embedded(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Callable[[], Database]]:
    """The embedded database of a home, migrated, and no other setting."""
    for name in (
        *("CONNECTOR_DATABASE_URL", "DAGSTER_POSTGRES_URL", "TOKEN_SERVICE_URL"),
        *("SHOPIFY_BASE_URL", "WOOCOMMERCE_BASE_URL", "ALLOW_PRIVATE_HOSTS"),
    ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONNECTOR_HOME", str(home))
    with EmbeddedPostgres(home, settings={"fsync": "off"}) as server:
        migrate(server.url())
        yield lambda: Database(url=server.url())


def test_the_embedded_database_is_the_sandboxs_after_its_first_sync(
    command: Command, embedded: Callable[[], Database]
) -> None:
    """Then it refuses real credentials, and doctor says what it serves."""
    assert marked(embedded()) is None
    ended = command("sync", SANDBOX)
    assert ended.status == 0, ended.err
    assert marked(embedded()) is Serves.SANDBOX
    found = command("doctor", "--json")
    assert found.status == 0, found.out
    [serving] = [row for row in found.rows() if row["subject"] == "serves"]
    assert serving["seen"] == "the sandbox's shops alone"


@pytest.mark.parametrize("mark_it", [True, False])
def test_an_embedded_database_of_real_shops_is_not_served_by_the_sandbox(
    command: Command, embedded: Callable[[], Database], mark_it: bool
) -> None:
    """Marked or not: a shop that is not the sandbox's is enough."""
    command("shops", "add", REAL, "--merchant-id", "m-1")
    if mark_it:
        marked(embedded(), Serves.REAL)
    before = everything(embedded())
    for words in (["sync", REAL], ["backfill"], ["demo"], ["dev"]):
        ended = command(*words)
        assert (ended.status, ended.out) == (1, ""), words
        [line] = ended.err.splitlines()
        assert line.startswith("TOKEN_SERVICE_URL: not set, but the database ")
        assert "CONNECTOR_HOME" in line
    assert everything(embedded()) == before
    assert command("doctor").status == 1


def test_the_embedded_servers_url_is_a_database_as_any(
    command: Command, embedded: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that keeps what a child of dev was given has no sandbox of its own."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", embedded().connection_url())
    ended = command("sync", SANDBOX)
    assert (ended.status, ended.out) == (1, "")
    assert ShopRegistry(database=embedded()).list() == []
    with psycopg.connect(embedded().connection_url()) as connection:
        assert serves(connection) is None
