"""sync, catalog and doctor do their work, and name the error where they cannot."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from connector_pipeline.cli.doctor_looks import looked_at
from connector_pipeline.engine.celery_broker import Workers
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.serves import Serves, mark
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.store import Store
from connector_pipeline_tests.cli.conftest import Command
from connector_pipeline_tests.engine.redis_server import PASSWORD, RedisServer
from connector_pipeline_tests.messaging.nats_server import NatsServer
from connector_pipeline_tests.platforms.http.dripping import dripping
from connector_pipeline_tests.platforms.stand_in_package import install

SPEC = next(spec for spec in DEFAULT_SHOPS if spec.platform == "woocommerce")
SHOP = f"{SPEC.platform}/{SPEC.domain}"
SHOPIFY_SHOP = next(
    f"shopify/{spec.domain}" for spec in DEFAULT_SHOPS if spec.platform == "shopify"
)
ITEMS = len(expected_items(Store([SPEC]).shop(SPEC.platform, SPEC.domain)))


def test_sync_publishes_a_shop_and_the_catalog_shows_it(
    command: Command, sandbox_shops: list[str]
) -> None:
    """No dev runs, so the command executes the run itself."""
    [synced] = command("sync", SHOP, "--json").rows()
    assert (synced["status"], synced["error_code"]) == ("succeeded", None)
    assert (synced["live_items"], synced["inserted"]) == (ITEMS, ITEMS)
    rows = command("catalog", "show", SHOP, "--json").rows()
    assert len(rows) == ITEMS
    assert {"merchant_id", "variant_id", "price", "product_status", "sync_id"} <= rows[0].keys()
    assert all(row["price"] is None or isinstance(row["price"], str) for row in rows)
    assert {row["sync_id"] for row in rows} == {synced["sync_id"]}
    [again] = command("sync", SHOP, "--type", "full", "--json").rows()
    assert (again["inserted"], again["updated"], again["unchanged"]) == (0, 0, ITEMS)
    shown = command("catalog", "show", SHOP, "--limit", "3")
    assert "product_title" in shown.out
    assert f"first 3 of {ITEMS} rows" in shown.err
    assert command("catalog", "rejects", SHOP, "--json").status == 0


def test_a_sync_that_fails_prints_its_error(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is 1, and the message has the error's name, the shop and the remedy."""
    command("shops", "add", SHOP, "--merchant-id", "m-1")
    monkeypatch.setenv("TOKEN_SERVICE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CONNECTOR_MAX_RETRIES", "0")
    ended = command("sync", SHOP)
    assert ended.status == 1
    assert ended.err.startswith(f"{SHOP}: ")
    assert "TokenServiceUnavailable: " in ended.err
    assert "TOKEN_SERVICE_URL" in ended.err


def test_a_sync_can_be_left_to_the_daemon(command: Command, database: Database) -> None:
    """The command does not wait; the inbox has its request with the id that it printed."""
    command("shops", "add", SHOP, "--merchant-id", "m-1", "--platform-shop-id", "7")
    [asked] = command("sync", SHOP, "--type", "incremental", "--request", "--json").rows()
    assert (asked["shop"], asked["requested"]) == (SHOP, True)
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT sync_id, merchant_id, platform_shop_id, sync_type, accepted_at"
            " FROM connector.sync_requests"
        ).fetchall()
    assert rows == [(asked["sync_id"], "m-1", "7", "incremental", None)]
    assert "requested as sync" in command("sync", SHOP, "--request").out
    ended = command("sync", "shopify/nobody.myshopify.com", "--request")
    assert (ended.status, "UnknownShop" in ended.err) == (1, True)


def test_an_unregistered_shop_is_not_synced(command: Command) -> None:
    """The error has its name, and the command that registers a shop."""
    ended = command("sync", "shopify/nobody.myshopify.com")
    assert ended.status == 1
    assert "UnknownShop" in ended.err
    assert "shops add" in ended.err


def test_a_paused_shop_is_not_synced(command: Command) -> None:
    """An operator paused it on purpose."""
    command("shops", "add", SHOP, "--merchant-id", "m-1")
    command("shops", "pause", SHOP)
    ended = command("sync", SHOP)
    assert ended.status == 1
    assert "paused" in ended.err
    assert "shops resume" in ended.err


def test_no_sync_of_a_paused_shop_is_requested(command: Command, database: Database) -> None:
    """Nobody would see that the daemon refuses the request; a disconnected shop may be tried."""
    command("shops", "add", SHOP, "--merchant-id", "m-1")
    command("shops", "pause", SHOP)
    ended = command("sync", SHOP, "--request")
    assert (ended.status, ended.out) == (1, "")
    assert f"shops resume {SHOP}" in ended.err
    with database.connect() as connection:
        [(requests,)] = connection.execute(
            "SELECT count(*) FROM connector.sync_requests"
        ).fetchall()
        assert requests == 0
        connection.execute("UPDATE connector.shops SET state = 'disconnected'")
    assert command("sync", SHOP, "--request").status == 0


def test_doctor_finds_all_well(command: Command) -> None:
    """It prints one line for each thing."""
    found = command("doctor", "--json")
    assert found.status == 0
    subjects = {row["subject"]: row["ok"] for row in found.rows()}
    assert {"settings", "database", "migrations", "token service", "raw archive"} <= subjects.keys()
    assert all(subjects.values())


def shopify_finding(command: Command) -> tuple[bool, str]:
    """Doctor's finding about Shopify's API version: whether it is in order, and its text."""
    [found] = [row for row in command("doctor", "--json").rows() if row["subject"] == "shopify api"]
    return found["ok"], f"{found['seen']} {found['remedy']}"


def test_doctor_compares_the_api_version_with_the_one_a_shop_serves(
    command: Command, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lists the supported ones. Without a shop that answers, the finding is no failure."""
    with database.connect() as connection:
        mark(connection, Serves.SANDBOX)
    ok, seen = shopify_finding(command)
    assert ok
    assert "no active Shopify shop" in seen
    command("shops", "add", "shopify/nobody.myshopify.com", "--merchant-id", "m-1")
    ok, seen = shopify_finding(command)
    assert ok
    assert "not compared, shopify/nobody.myshopify.com: ShopDisconnected" in seen
    command("shops", "remove", "shopify/nobody.myshopify.com")
    command("shops", "add", SHOPIFY_SHOP, "--merchant-id", "m-1")
    ok, seen = shopify_finding(command)
    assert ok
    assert "2026-07 as asked; supported are 2026-01, 2026-04, 2026-07, 2026-10" in seen
    monkeypatch.setenv("SHOPIFY_API_VERSION", "2024-01")
    ok, seen = shopify_finding(command)
    assert not ok
    assert "asks for 2024-01" in seen
    assert "answers with 2026-01" in seen
    assert "SHOPIFY_API_VERSION" in seen


def test_doctor_names_a_package_whose_adapter_cannot_be_used(
    command: Command, tmp_path: Path, installed: Callable[[Path], None]
) -> None:
    """It looks at the rest all the same."""
    installed(install(tmp_path / "site", module="unreadable", source="import no_such_library"))
    found = command("doctor", "--json")
    assert found.status == 1
    [bad] = [row for row in found.rows() if not row["ok"]]
    assert bad["subject"] == "platform stand_in"
    assert "stand-in-connector 1.2" in bad["seen"]
    assert "no_such_library" in bad["seen"]
    assert "uninstall" in bad["remedy"]
    assert "shopify api" in {row["subject"] for row in found.rows()}


def test_doctor_names_the_failure_and_the_remedy(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds a Token Service that is down before a sync does."""
    monkeypatch.setenv("TOKEN_SERVICE_URL", "http://127.0.0.1:1")
    found = command("doctor", "--json")
    assert found.status == 1
    [bad] = [row for row in found.rows() if not row["ok"]]
    assert bad["subject"] == "token service"
    assert "TOKEN_SERVICE_URL" in bad["remedy"]


def test_doctor_gives_up_a_token_service_that_drips(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so after TOKEN_SERVICE_TIMEOUT, and has a line for everything else."""
    monkeypatch.setenv("TOKEN_SERVICE_TIMEOUT", "0.3")
    command("shops", "add", SHOPIFY_SHOP, "--merchant-id", "m-1")
    with dripping() as drip:
        monkeypatch.setenv("TOKEN_SERVICE_URL", drip.url)
        found = command("doctor", "--json")
    rows = {row["subject"]: row for row in found.rows()}
    assert f"{drip.url} sends too slowly" in rows["token service"]["seen"]
    assert rows["raw archive"]["ok"]
    assert "shops" in rows
    assert found.status == 1


def test_doctor_gives_up_anything_that_gives_no_whole_answer() -> None:
    """A look that hangs costs its own line alone, also one without a time-out of its own."""
    with dripping() as drip, socket.create_connection(("127.0.0.1", drip.port)) as connection:
        connection.sendall(b"\n")

        def look() -> str:
            while connection.recv(1):
                pass
            return "never"

        found = looked_at("raw archive", look, longest=0.2)
    assert not found.ok
    assert "no whole answer within 0.2 s" in found.seen


def test_doctor_looks_at_the_proxy_where_it_is_set(
    command: Command, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It connects to the proxy, and never shows its password."""

    def seen() -> list[tuple[bool, str]]:
        found = command("doctor", "--json")
        assert "hunter2" not in found.out + found.err
        return [
            (row["ok"], row["seen"] + row["remedy"])
            for row in found.rows()
            if row["subject"] == "proxy"
        ]

    assert seen() == []
    monkeypatch.setenv("CONNECTOR_NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]
        monkeypatch.setenv("CONNECTOR_PROXY_URL", f"http://me:hunter2@127.0.0.1:{port}")
        [(ok, text)] = seen()
        assert ok
        assert text.startswith(f"127.0.0.1:{port} takes connections")
        assert "except 127.0.0.1" in text
    monkeypatch.setenv("CONNECTOR_PROXY_URL", f"http://me:hunter2@127.0.0.1:{unused_tcp_port}")
    [(ok, text)] = seen()
    assert not ok
    assert f"the proxy 127.0.0.1:{unused_tcp_port} cannot be reached" in text
    assert "CONNECTOR_PROXY_URL" in text


def test_doctor_looks_at_nats_where_it_is_set(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line has the stream and how many events wait; without NATS_URL there is no line."""

    def seen() -> list[tuple[bool, str]]:
        rows = command("doctor", "--json").rows()
        return [
            (row["ok"], row["seen"] + row["remedy"]) for row in rows if row["subject"] == "nats"
        ]

    assert seen() == []
    with NatsServer(tmp_path / "nats") as server:
        monkeypatch.setenv("NATS_URL", server.url)
        [(ok, text)] = seen()
        assert ok
        assert text == (
            f"stream GLAM_EVENTS at {server.url}, sequences 0 to 0; 0 events wait to be sent"
        )
    [(ok, text)] = seen()
    assert not ok
    assert "Nothing is lost" in text


def test_doctor_says_which_processes_run(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None before they are started, which is no failure; a broker that is away is one."""

    def seen(subject: str) -> tuple[bool, str]:
        rows = {row["subject"]: row for row in command("doctor", "--json").rows()}
        return rows[subject]["ok"], rows[subject]["seen"] + rows[subject]["remedy"]

    monkeypatch.setenv("CONNECTOR_CODE_SERVER", str(home / "code"))
    assert seen("code server")[0]
    assert "none answers" in seen("code server")[1]
    assert seen("daemon") == (
        True,
        "none runs, so nothing is synced by itself: the last heartbeat of a daemon was never.",
    )
    monkeypatch.setenv("RUN_LAUNCHER", "celery")
    assert "CELERY_BROKER_URL: not set" in seen("workers")[1]
    redis = RedisServer(home)
    monkeypatch.setenv("CELERY_BROKER_URL", redis.url)
    ok, text = seen("workers")
    assert (ok, "Look whether Redis runs" in text, PASSWORD in text) == (False, True, False)
    redis.start()
    try:
        assert seen("workers") == (
            True,
            "the broker answers, and no worker runs: runs wait until one does",
        )
        Workers(redis.url).register("one", 3)
        assert seen("workers") == (True, "the broker answers; 3 worker processes")
    finally:
        redis.stop()


def test_doctor_finds_a_database_that_is_down(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text does not have its password."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/catalog")
    found = command("doctor")
    assert found.status == 1
    assert "database" in found.out
    assert "hunter2" not in found.out + found.err


def test_wrong_settings_stop_every_command_with_a_line_each(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints no traceback."""
    monkeypatch.setenv("SHOPS_AT_ONCE", "many")
    monkeypatch.setenv("SHOPIFY_API_VERSION", "latest")
    ended = command("shops", "list")
    assert ended.status == 1
    assert [line.split(":")[0] for line in ended.err.splitlines()] == [
        "SHOPIFY_API_VERSION",
        "SHOPS_AT_ONCE",
    ]


@pytest.mark.parametrize("words", [["sync"], ["shops", "add"], ["nonsense"], ["shops", "x"]])
def test_wrong_usage_is_status_2(command: Command, words: list[str]) -> None:
    """The command is not attempted."""
    assert command(*words).status == 2


def test_json_is_one_object_a_line(command: Command, sandbox_shops: list[str]) -> None:
    """Titles with newlines and tabs do not break it."""
    command("sync", SHOP)
    out = command("catalog", "show", SHOP, "--json").out
    rows = [json.loads(line) for line in out.split("\n") if line]
    assert len(rows) == ITEMS
    assert {"\n", "\t"} <= set("".join(row["product_title"] for row in rows))
