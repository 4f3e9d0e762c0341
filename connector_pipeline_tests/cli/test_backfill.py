"""`connector-pipeline backfill` works without a daemon and beside a running `dev`."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.postmaster import running_server
from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.cli.conftest import Command
from connector_pipeline_tests.cli.test_dev import LONG, PARTITIONS, Dev, dev

LISTENING = (
    # A shell that runs the tests in the background has them all ignore Ctrl-C.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from connector_pipeline.cli.main import main; main()"
)
STATS = """
query Stats($asset: [String!]!) { assetNodeOrError(assetKey: {path: $asset}) { ... on AssetNode {
  partitionStats { numMaterialized numFailed numMaterializing numPartitions } } } }
"""
SHOPS = {f"{spec.platform}/{spec.domain}" for spec in DEFAULT_SHOPS}
SHOPIFY = {shop for shop in SHOPS if shop.startswith("shopify/")}
REVOKED = min(SHOPIFY)
BROKEN = min(SHOPS - SHOPIFY)


def outcomes(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str | None]]:
    return {row["shop"]: (row["status"], row["error_code"]) for row in rows}


def table(out: str) -> dict[str, list[str]]:
    """The rest of each line that the command printed for people, by the outcome it is of."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:]}


def test_without_a_daemon_the_shops_are_synced_here(
    command: Command, sandbox_shops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process executes few runs, and each selection has only its own shops."""
    monkeypatch.setenv("SHOPS_PER_RUN", "2")
    ended = command("backfill", "--platform", "shopify", "--json")
    assert ended.status == 0, ended.err
    assert outcomes(ended.rows()) == dict.fromkeys(SHOPIFY, ("succeeded", None))
    assert len({row["backfill_id"] for row in ended.rows()}) == 1

    # The shops that were just synced are not stale. The others were never synced.
    ended = command("backfill", "--stale", "1")
    assert ended.status == 0, ended.err
    assert {outcome: rest[0] for outcome, rest in table(ended.out).items()} == {
        "succeeded": str(len(SHOPS - SHOPIFY))
    }

    for nothing in (
        ("--failed",),
        ("--merchant-id", "nobody"),
        ("--stale", "1"),
    ):
        ended = command("backfill", *nothing)
        assert (ended.status, ended.out) == (0, "")
        assert "there is nothing to sync" in ended.err
    assert command("backfill", "--stale", "-1").status == 2


def test_failed_shops_can_be_synced_alone(command: Command, sandbox_shops: list[str]) -> None:
    """`--failed` selects the failed shops and no other."""
    registry = ShopRegistry(database=Database())
    assert command("backfill", "--json").status == 0
    with registry.database.connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET last_error_code = 'PlatformUnavailable' "
            "WHERE platform_name = 'woocommerce'"
        )
    ended = command("backfill", "--failed", "--json")
    assert ended.status == 0, ended.err
    assert outcomes(ended.rows()) == dict.fromkeys(SHOPS - SHOPIFY, ("succeeded", None))


def backfill(home: Path, *words: str) -> subprocess.Popen[str]:
    """The command beside a running `dev`, with no settings but its home."""
    ours = ("CONNECTOR_", "DAGSTER", "TOKEN_SERVICE", "SHOPIFY_", "WOOCOMMERCE_", "RAW_ARCHIVE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, "-c", LISTENING, "backfill", *words],
        env={**environment, "CONNECTOR_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_without_a_daemon_cancels_the_backfill(
    environment: None, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that goes on ends, no other begins, and no shop is left to a daemon."""
    monkeypatch.setenv("SHOPS_PER_RUN", "1")
    registry = ShopRegistry(database=database)
    for spec in DEFAULT_SHOPS:
        registry.add(
            Shop(
                merchant_id=spec.merchant_id,
                platform_name=spec.platform,
                platform_shop_id=spec.platform_shop_id,
                domain=spec.domain,
            )
        )

    def rows(query: LiteralString) -> list[tuple[Any, ...]]:
        with database.connect() as connection:
            return connection.execute(query).fetchall()

    with SandboxServer() as sandbox:
        sandbox.faults.set(
            [FaultRule("hang", {"platform": name}) for name in ("shopify", "woocommerce")]
        )
        command = subprocess.Popen(
            [sys.executable, "-c", LISTENING, "backfill", "--json"],
            env={**os.environ, **sandbox.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + LONG
            while not any(rule["applied"] for rule in sandbox.faults.as_json()):
                assert time.monotonic() < until
                assert command.poll() is None
                time.sleep(0.1)
            assert rows("SELECT count(*) FROM connector.sync_queue WHERE state = 'taken'") == [(1,)]
            command.send_signal(signal.SIGINT)
            out, err = command.communicate(timeout=LONG)
        finally:
            command.kill()
    assert (command.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert f"Cancelled: {len(SHOPS) - 1} shops were not synced" in err
    interrupted = [("failed", "SyncInterrupted")]
    assert rows("SELECT outcome, error_code FROM connector.sync_queue") == interrupted
    assert rows("SELECT status, error_code FROM connector.syncs") == interrupted


def statuses(home: Path) -> list[str]:
    server = running_server(home)
    assert server is not None
    with psycopg.connect(server.url("catalog")) as connection:
        rows = connection.execute(
            "SELECT DISTINCT coalesce(outcome, state) FROM connector.sync_queue"
            " WHERE backfills <> '{}'"
        )
        return [status for (status,) in rows]


def wait_for(home: Path, *expected: str) -> None:
    until = time.monotonic() + LONG
    while sorted(statuses(home)) != sorted(expected):
        assert time.monotonic() < until, statuses(home)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def running() -> Generator[Dev]:
    """One `dev` for the tests below: it takes long to start.

    A shop's credentials are revoked, and no webhook says so: that would lead to a run of its own.
    """
    home = Path(tempfile.mkdtemp(prefix="connector-backfill-"))
    with dev(home, "--port", "3920") as started:
        started.sandbox("PUT", "/sandbox/webhooks", {"lost": 1.0})
        started.sandbox("PUT", f"/sandbox/shops/{REVOKED}/credentials", {"revoke": True})
        yield started
    shutil.rmtree(home, ignore_errors=True)


def test_beside_a_running_dev_its_daemon_does_the_work(running: Dev) -> None:
    """One run syncs all six shops; the table names the one that fails; Ctrl-C stops no run."""
    command = backfill(running.home)
    out, err = command.communicate(timeout=LONG)
    assert command.returncode == 1, err
    found = table(out)
    assert found["succeeded"][0] == str(len(SHOPS) - 1)
    assert found["AccessRefused"] == ["1", REVOKED]
    [run] = running.runs()
    assert "connector/backfill" in {tag["key"] for tag in run["tags"]}
    # The command ends with its last shop, and the run reports its partitions after that.
    assert running.wait_for(run["runId"], "SUCCESS", "FAILURE") == "FAILURE"
    for asset in ("raw_products", "catalog_items"):
        stats = running.graphql(STATS, asset=[asset])["assetNodeOrError"]["partitionStats"]
        assert stats["numMaterialized"] == len(SHOPS) - 1
        assert stats["numFailed"] == stats["numPartitions"] - (len(SHOPS) - 1)
        assert stats["numMaterializing"] == 0

    running.sandbox("PUT", "/sandbox/faults", [{"match": {}, "kind": "latency", "seconds": 2}])
    command = backfill(running.home, "--platform", "woocommerce")
    wait_for(running.home, "failed", "succeeded", "taken")
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=LONG)
    assert command.returncode != 0
    assert "goes on without this command" in err
    assert "connector.sync_queue" in err
    assert "Traceback" not in err
    running.sandbox("PUT", "/sandbox/faults", [])
    wait_for(running.home, "failed", "succeeded")


def test_a_backfill_in_the_ui_leaves_out_only_the_bad_shops(running: Dev) -> None:
    """One shop has no credentials any more and one answers HTML: the other four are published."""
    good = sorted(SHOPS - {REVOKED, BROKEN})
    if any(map(running.items, good)):
        # The test above has published them as they are.
        for key in (max(SHOPIFY), max(SHOPS - SHOPIFY)):
            running.change_a_price(key)
    html = {
        "match": {"domain": BROKEN.split("/")[1], "platform": "woocommerce"},
        "kind": "html",
    }
    running.sandbox("PUT", "/sandbox/faults", [html])
    before = running.items(BROKEN)
    outcomes = running.backfill(sorted(SHOPS))
    running.sandbox("PUT", "/sandbox/faults", [])
    assert outcomes["raw_products"] == (len(good), 2)
    assert outcomes["catalog_items"] == (len(good), 2)
    assert {key: running.items(key) for key in good} == {key: running.served(key) for key in good}
    assert (running.items(REVOKED), running.items(BROKEN)) == ([], before)
    # The refusal is not believed at first. Minutes later it is, and the shop stays in sight.
    running.pass_minutes_since_refusals()
    run = running.materialize(REVOKED)
    assert running.wait_for(run, "SUCCESS", "FAILURE") == "FAILURE"
    assert running.syncs(run) == [("failed", "ShopDisconnected")]
    assert REVOKED in running.graphql(PARTITIONS)["assetNodeOrError"]["partitionKeys"]
