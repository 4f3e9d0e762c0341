"""A newcomer starts `connector-pipeline dev`, materializes, edits a shop, and stops it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from connector_pipeline.engine.forked_runs import RUN_NAME, WARM_NAME
from connector_pipeline.model.catalog_item import ITEM_COLUMNS
from connector_pipeline.postgres.embedded.postmaster import running_server
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests import dagster_graphql
from connector_pipeline_tests.process_logs import shown_if_failed

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
RUNS = "query { runsOrError { ... on Runs { results { runId tags { key value } } } } }"
BACKFILL_STATUS = """
query Status($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status assetBackfillData { assetBackfillStatuses {
    ... on AssetPartitionsStatusCounts { assetKey { path }
      numPartitionsMaterialized numPartitionsFailed numPartitionsTargeted } } } } } }
"""
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
PARTITIONS = """
query { assetNodeOrError(assetKey: {path: ["raw_products"]}) {
  ... on AssetNode { partitionKeys } } }
"""
SENSORS = """
query { sensorsOrError(repositorySelector: {
  repositoryLocationName: "connector_pipeline", repositoryName: "__repository__"}) {
  ... on Sensors { results { name sensorState { status } } } } }
"""


RELOAD = """
mutation { reloadRepositoryLocation(repositoryLocationName: "connector_pipeline") {
  ... on WorkspaceLocationEntry { loadStatus } } }
"""

LONG = 600
"""Seconds that a busy machine may take. A test that hangs must still end."""


class Dev:
    """A running `dev`: its session, its UI's API, its catalog."""

    def __init__(
        self, process: subprocess.Popen[str], home: Path, sandbox: SandboxServer | None = None
    ):
        assert process.stdout is not None
        self.process = process
        self.home = home
        printed = process.stdout.readline()
        assert printed, process.communicate(timeout=LONG)
        self.session: dict[str, Any] = json.loads(printed)
        self.sandbox_url: str = self.session["sandbox_url"] if sandbox is None else sandbox.url

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a query as the UI does."""
        return dagster_graphql.ask(self.session["ui_url"], query, variables, timeout=LONG)

    def materialize(self, key: str) -> str:
        """Materialize both assets as the UI's button does. Returns the run's id."""
        launched = self.graphql(
            LAUNCH,
            params={
                "selector": {
                    "repositoryLocationName": "connector_pipeline",
                    "repositoryName": "__repository__",
                    "pipelineName": "__ASSET_JOB",
                    "assetSelection": [{"path": ["raw_products"]}, {"path": ["catalog_items"]}],
                },
                "runConfigData": {},
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": key}]},
            },
        )["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id: str = launched["run"]["runId"]
        return run_id

    def status(self, run_id: str) -> str:
        """The run's status."""
        status: str = self.graphql(STATUS, id=run_id)["runOrError"]["status"]
        return status

    def runs(self) -> list[dict[str, Any]]:
        """The id and the tags of each run, but for those of schedules: any test may meet one."""
        return [
            run
            for run in self.graphql(RUNS)["runsOrError"]["results"]
            if "dagster/schedule_name" not in {tag["key"] for tag in run["tags"]}
        ]

    def wait_for(self, run_id: str, *statuses: str) -> str:
        """Wait until the run has one of the statuses."""
        until = time.monotonic() + LONG
        while (status := self.status(run_id)) not in statuses:
            assert time.monotonic() < until, status
            time.sleep(0.2)
        return status

    def backfill(self, keys: list[str]) -> dict[str, tuple[int, int]]:
        """Backfill both assets. Returns how many partitions of each succeeded and failed."""
        return self.wait_for_backfill(self.launch_backfill(keys))

    def launch_backfill(self, keys: list[str]) -> str:
        """Launch a backfill of both assets. Returns its id."""
        launched = self.graphql(
            BACKFILL,
            params={
                "partitionNames": keys,
                "assetSelection": [{"path": ["raw_products"]}, {"path": ["catalog_items"]}],
            },
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        backfill_id: str = launched["backfillId"]
        return backfill_id

    def wait_for_backfill(
        self, backfill_id: str, patience: float = LONG, *, every: float = 0.5
    ) -> dict[str, tuple[int, int]]:
        """Wait for its end. Returns how many partitions of each were materialized and failed."""
        until = time.monotonic() + patience
        while True:
            found = self.graphql(BACKFILL_STATUS, id=backfill_id)
            backfill = found["partitionBackfillOrError"]
            if backfill["status"].startswith("COMPLETED") or backfill["status"] == "FAILED":
                break
            assert time.monotonic() < until, backfill
            time.sleep(every)
        return {
            asset["assetKey"]["path"][0]: (
                asset["numPartitionsMaterialized"],
                asset["numPartitionsFailed"],
            )
            for asset in backfill["assetBackfillData"]["assetBackfillStatuses"]
        }

    def processes(self, name: str) -> list[psutil.Process]:
        """Its processes of this name."""
        found: list[psutil.Process] = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.name() == name:
                    found.append(child)
        return found

    def warm_process(self) -> psutil.Process:
        """The process of which runs are forks. It has its name once it has begun to import."""
        until = time.monotonic() + LONG
        while not (found := self.processes(WARM_NAME)):
            assert time.monotonic() < until
            time.sleep(0.1)
        [only] = found
        return only

    def sandbox(self, method: str, path: str, body: object = None) -> Any:
        """Send a request to the sandbox's controls."""
        request = urllib.request.Request(
            f"{self.sandbox_url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=LONG) as answer:
            return json.load(answer)

    def items(self, key: str) -> list[dict[str, Any]]:
        """The live items that the catalog has of the shop."""
        server = running_server(self.home)
        assert server is not None
        columns = sql.SQL(", ").join(map(sql.Identifier, ITEM_COLUMNS))
        query = sql.SQL(
            "SELECT {} FROM catalog.catalog_items WHERE platform_name || '/' || domain = {} "
            "AND deleted_at IS NULL ORDER BY variant_id"
        )
        with psycopg.connect(server.url("catalog"), row_factory=dict_row) as connection:
            return connection.execute(query.format(columns, key)).fetchall()

    def pass_minutes_since_refusals(self) -> None:
        """Let the first refusals of shops be five minutes older."""
        server = running_server(self.home)
        assert server is not None
        with psycopg.connect(server.url("catalog")) as connection:
            connection.execute(
                "UPDATE connector.shops SET refused_at = refused_at - interval '5 minutes'"
            )

    def served(self, key: str) -> list[dict[str, Any]]:
        """The items that a truthful reader has of the shop, by the sandbox's word."""
        items = self.sandbox("GET", f"/sandbox/shops/{key}/expected")
        for item in items:
            item["price"] = None if item["price"] is None else Decimal(item["price"])
            for name in ("created_at", "updated_at"):
                item[name] = item[name] and datetime.fromisoformat(item[name])
        return sorted(items, key=lambda item: item["variant_id"])

    def change_a_price(self, key: str) -> None:
        """Give a variant of the shop another price, as its merchant would."""
        variant = next(
            item["variant_id"]
            for item in self.items(key)
            if item["variant_id"].isdecimal() and item["product_status"] == "active"
        )
        before = self.served(key)
        self.sandbox("PATCH", f"/sandbox/shops/{key}/variants/{variant}", {"price": "4321.00"})
        assert self.served(key) != before

    def wait_until_served(self, key: str) -> None:
        """Wait until the catalog has what the shop has."""
        until = time.monotonic() + LONG
        while self.items(key) != self.served(key):
            assert time.monotonic() < until
            time.sleep(0.2)

    def syncs(self, run_id: str) -> list[tuple[str, str | None]]:
        """Status and error code of the run's syncs."""
        server = running_server(self.home)
        assert server is not None
        with psycopg.connect(server.url("catalog")) as connection:
            return connection.execute(
                "SELECT status, error_code FROM connector.syncs WHERE run_id = %s", (run_id,)
            ).fetchall()

    def wait_for_sync(self, run_id: str) -> None:
        """Wait until the run has begun its sync: a run has started well before that."""
        until = time.monotonic() + LONG
        while self.syncs(run_id) != [("running", None)]:
            assert time.monotonic() < until
            time.sleep(0.1)

    def stop(self) -> str:
        """Press Ctrl-C. Returns the output."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=LONG)
        assert self.process.returncode == 0, said
        return said


@contextmanager
def dev(
    home: Path, *words: str, sandbox: SandboxServer | None = None, **settings: str
) -> Generator[Dev]:
    """Run `connector-pipeline dev` over this home, under these settings.

    The shops of its own sandbox end with it; those of a given `sandbox` do not.
    """
    process = start(home, *words, **settings, **(sandbox.environment() if sandbox else {}))
    with shown_if_failed(lambda: sorted((home / "logs").glob("*.log"))):
        try:
            yield Dev(process, home, sandbox)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=LONG)


def start(home: Path, *words: str, **settings: str) -> subprocess.Popen[str]:
    """The process, with no other settings of ours in its environment."""
    ours = (
        "CONNECTOR_", "DAGSTER", "TOKEN_SERVICE", "SHOPIFY_", "WOOCOMMERCE_", "RAW_ARCHIVE",
        "WEBHOOK",
    )  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, "-m", "connector_pipeline.cli", "dev", "--json", *words],
        env={**environment, **settings, "CONNECTOR_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that have this home in their environment or command."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if int(process.name) != os.getpid() and str(home).encode() in environment + command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture
def own_home() -> Generator[Path]:
    """An empty CONNECTOR_HOME that a server of another user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="connector-dev-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to see processes")
def test_a_newcomers_session_syncs_stops_and_starts_again(own_home: Path) -> None:
    """The UI's API leads to rows, an edit of a shop to newer ones; Ctrl-C leaves no process."""
    with ExitStack() as opened:
        # A port that another process has. The next one is free, unless one has that, too.
        taken = opened.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        first = opened.enter_context(dev(own_home, "--port", str(taken)))
        assert urlsplit(first.session["ui_url"]).port in range(taken + 1, taken + 100)
        keys = first.graphql(PARTITIONS)["assetNodeOrError"]["partitionKeys"]
        shops = first.sandbox("GET", "/sandbox/shops")
        assert set(keys) == {f"{shop['platform_name']}/{shop['domain']}" for shop in shops}
        sensors = first.graphql(SENSORS)["sensorsOrError"]["results"]
        states = {sensor["name"]: sensor["sensorState"]["status"] for sensor in sensors}
        assert states.keys() >= {"shop_partitions", "credential_probe", "sweep", "alerts"}
        assert set(states.values()) == {"RUNNING"}

        second = start(own_home)
        _, said = second.communicate(timeout=LONG)
        assert second.returncode == 1
        assert f"already running at {first.session['ui_url']}" in said

        shopify = next(key for key in keys if key.startswith("shopify/"))
        woocommerce = next(key for key in keys if key.startswith("woocommerce/"))
        runs = [first.materialize(shopify), first.materialize(woocommerce)]
        assert [first.wait_for(run, "SUCCESS", "FAILURE") for run in runs] == ["SUCCESS"] * 2
        published = {key: first.items(key) for key in (shopify, woocommerce)}
        assert all(items == first.served(key) for key, items in published.items())
        # The DSN that an integrator is given shows the same rows.
        with psycopg.connect(first.session["database_url"]) as connection:
            [(rows,)] = connection.execute("SELECT count(*) FROM catalog.catalog_items").fetchall()
        assert rows == sum(map(len, published.values()))

        # The sandbox sends webhooks of what a merchant edits: nobody asks for a sync.
        for key in published:
            first.change_a_price(key)
        for key in published:
            first.wait_until_served(key)
        published = {key: first.items(key) for key in published}

        first.sandbox("PUT", "/sandbox/faults", [{"match": {}, "kind": "latency", "seconds": 5}])
        interrupted = first.materialize(shopify)
        first.wait_for_sync(interrupted)
        # There may be another beside it, of a schedule's run.
        workers = first.processes(RUN_NAME)
        assert {worker.parent() for worker in workers} == set(first.processes(WARM_NAME))
        said = first.stop()
        assert "Traceback" not in said, said
    assert processes_of(own_home) == []

    # It runs everything here, also beside the settings of a deployment with workers elsewhere.
    celery = {"RUN_LAUNCHER": "celery", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    with dev(own_home, "--port", "3900", **celery) as again:
        assert again.status(interrupted) == "CANCELED"
        assert again.syncs(interrupted) == [("failed", "SyncInterrupted")]
        assert {key: again.items(key) for key in published} == published
        # The process of which runs are forks is killed, and then renewed with the definitions.
        killed = again.warm_process()
        killed.kill()
        run = again.materialize(shopify)
        assert again.wait_for(run, "SUCCESS", "FAILURE") == "SUCCESS"
        [before] = again.processes(WARM_NAME)
        assert again.graphql(RELOAD)["reloadRepositoryLocation"]["loadStatus"] == "LOADED"
        run = again.materialize(shopify)
        assert again.wait_for(run, "SUCCESS", "FAILURE") == "SUCCESS"
        psutil.wait_procs([before], timeout=LONG)
        [renewed] = again.processes(WARM_NAME)
        assert renewed not in (killed, before)
        again.stop()
    assert processes_of(own_home) == []
