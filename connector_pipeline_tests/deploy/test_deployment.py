"""A deployment as `init` writes it, its README followed: three processes that work together."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest

from connector_pipeline.cli.ports import free_port
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline_tests import dagster_graphql
from connector_pipeline_tests.conftest import enterable_directory
from connector_pipeline_tests.process_logs import shown_if_failed

LONG: Final = 600
"""Seconds that a busy machine may take. A test that hangs must still end."""

SPEC: Final = next(spec for spec in DEFAULT_SHOPS if spec.platform == "woocommerce")
SHOP: Final = f"{SPEC.platform}/{SPEC.domain}"

REEXECUTE: Final = """
mutation Again($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { runId tags { key value } } }
  ... on PythonError { message } } }
"""
RUN: Final = """
query Run($id: ID!) { runOrError(runId: $id) {
  ... on Run { status jobName repositoryOrigin { repositoryLocationName repositoryName } } } }
"""
STARTED: Final = """
{ runsOrError(filter: {pipelineName: "sync_shops", statuses: [STARTED]}) {
  ... on Runs { count } } }
"""
LOCATIONS: Final = """
{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }
"""


class Deployment:
    """The folder of a deployment, and the processes that run over it."""

    def __init__(self, folder: Path, ui_port: int, sandbox: SandboxServer, database: str):
        self.folder = folder
        self.sandbox = sandbox
        self.database = database
        self.ui_port = ui_port
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def words(self, *words: str) -> list[str]:
        """A command as the folder's README has it executed: in a shell that read connector.env."""
        program = f"{sys.executable} -m connector_pipeline.cli"
        script = f'set -a; . ./connector.env; set +a; exec {program} "$@"'
        return ["sh", "-c", script, "sh", *words]

    def command(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Execute a command to its end."""
        return subprocess.run(
            self.words(*words),
            cwd=self.folder,
            env=_bare_environment() | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG,
        )

    def done(self, *words: str) -> str:
        """What a command that succeeds prints."""
        ended = self.command(*words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def start(self, *words: str) -> None:
        """Start a process as a script does by `&`, with SIGINT ignored; wait for nothing."""
        by_script = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
        with (self.folder.parent / f"{words[0]}.log").open("wb") as log:
            self.processes[words[0]] = subprocess.Popen(
                [*by_script, *self.words(*words)],
                cwd=self.folder,
                env=_bare_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        """What a process has printed."""
        return (self.folder.parent / f"{name}.log").read_text(errors="replace")

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until it holds, while all processes live."""
        until = time.monotonic() + LONG
        while not holds():
            for process in self.processes.values():
                assert process.poll() is None
            assert time.monotonic() < until, what
            time.sleep(0.2)

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a query as the UI does."""
        return dagster_graphql.ask(
            f"http://127.0.0.1:{self.ui_port}", query, variables, timeout=LONG
        )

    def knows_the_location(self) -> bool:
        """Whether the UI has loaded the code location, under its one name."""
        try:
            found = self.graphql(LOCATIONS)["workspaceOrError"]["locationEntries"]
        except OSError:
            return False
        return found == [{"name": "connector_pipeline", "loadStatus": "LOADED"}]

    def run(self, run_id: str) -> dict[str, Any]:
        """The run, as the UI shows it."""
        found: dict[str, Any] = self.graphql(RUN, id=run_id)["runOrError"]
        return found

    def has_synced(self, sync_id: str) -> bool:
        """Whether this sync has succeeded."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute(
                "SELECT status FROM connector.syncs WHERE sync_id = %s", (sync_id,)
            ).fetchone()
        return found == ("succeeded",)


def _bare_environment() -> dict[str, str]:
    # The default of SYNC_CRON would have a sweep begin in a test.
    kept = {name: os.environ[name] for name in ("PATH", "SYNC_CRON")}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture(scope="module")
def deployment() -> Generator[Deployment]:
    """The README of the folder was followed; every process runs and knows the others."""
    with (
        enterable_directory() as directory,
        EmbeddedPostgres(directory / "server", settings={"fsync": "off"}) as server,
        SandboxServer() as sandbox,
    ):
        made = Deployment(directory / "deployment", free_port(3970), sandbox, server.url())
        subprocess.run(
            [sys.executable, "-m", "connector_pipeline.cli", "init", str(made.folder)],
            env=_bare_environment() | {"CONNECTOR_CODE_SERVER": f"127.0.0.1:{free_port(4270)}"},
            check=True,
        )
        admin = server.url()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute((made.folder / "roles.sql").read_bytes())
            connection.execute("ALTER ROLE connector_owner LOGIN")
            connection.execute("CREATE ROLE connector LOGIN IN ROLE connector_pipeline")
            connection.execute("CREATE DATABASE of_dagster OWNER connector")

        def url(user: str, **parts: str) -> str:
            return urlsplit(admin)._replace(netloc=f"{user}@", **parts).geturl()

        dagster = url("connector", scheme="postgresql+psycopg2", path="/of_dagster")
        filled = {
            "CONNECTOR_DATABASE_URL": url("connector"),
            "DAGSTER_POSTGRES_URL": dagster,
            **sandbox.environment(),
        }
        written = made.folder / "connector.env"
        text = written.read_text()
        for name, value in filled.items():
            text, found = re.subn(
                rf"^# {name}=.*$", f"{name}='{value}'", text, count=1, flags=re.MULTILINE
            )
            assert found == 1, name
        written.write_text(text)
        owner = url("connector_owner")
        migrate = 'set -a; . ./connector.env; CONNECTOR_DATABASE_URL=$1; exec "$2" -m "$3" migrate'
        subprocess.run(
            ["sh", "-c", migrate, "sh", owner, sys.executable, "connector_pipeline.cli"],
            cwd=made.folder,
            env=_bare_environment(),
            check=True,
        )
        try:
            with shown_if_failed(lambda: sorted(directory.glob("*.log"))):
                made.start("code-server")
                made.start("daemon")
                made.start("ui", "--port", str(made.ui_port))
                made.until("the UI does not know the location", made.knows_the_location)
                yield made
        finally:
            for process in made.processes.values():
                # The group: a process that has ended may have left children.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def test_a_shop_is_synced_through_the_daemon(deployment: Deployment) -> None:
    """The command leaves a request; sensor, queue, code server and run are the deployment's."""
    deployment.done("doctor")
    deployment.done("shops", "add", SHOP, "--merchant-id", "m-1")
    asked = json.loads(deployment.done("sync", SHOP, "--request", "--json"))
    deployment.until("no sync", lambda: deployment.has_synced(asked["sync_id"]))
    assert deployment.done("catalog", "show", SHOP, "--json")


def test_the_run_of_a_command_can_be_executed_again_in_the_ui(deployment: Deployment) -> None:
    """It has the code location that the UI knows, and its re-execution is a run like any other."""
    deployment.done("shops", "add", SHOP, "--merchant-id", "m-1")
    synced = json.loads(deployment.done("sync", SHOP, "--json"))
    assert deployment.run(synced["run_id"]) == {
        "status": "SUCCESS",
        "jobName": "__ASSET_JOB",
        "repositoryOrigin": {
            "repositoryLocationName": "connector_pipeline",
            "repositoryName": "__repository__",
        },
    }
    params = {"parentRunId": synced["run_id"], "strategy": "ALL_STEPS"}
    launched = deployment.graphql(REEXECUTE, params=params)["launchRunReexecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    tags = {tag["key"] for tag in launched["run"]["tags"]}
    assert not {"connector/executed_by_a_command", "dagster/max_retries"} & tags
    again = launched["run"]["runId"]
    deployment.until(
        "the re-execution does not end",
        lambda: deployment.run(again)["status"] in ("SUCCESS", "FAILURE"),
    )
    assert deployment.run(again)["status"] == "SUCCESS"


def test_the_checks_of_a_running_deployment_succeed(deployment: Deployment) -> None:
    """Containers are judged by them. Against an address where nobody listens, one fails."""
    deployment.done("code-server", "--check")
    deployment.until(
        "no heartbeat", lambda: deployment.command("daemon", "--check").returncode == 0
    )
    looked = deployment.done("doctor")
    assert "daemon: gave a sign of life" in looked
    assert "code server: answers at" in looked
    free = f"127.0.0.1:{free_port(4290)}"
    ended = deployment.command("code-server", "--check", "--listen", free)
    [line] = ended.stderr.splitlines()
    assert (ended.returncode, f"no code server answers at {free}" in line) == (1, True)


def test_a_second_code_server_does_not_share_the_address(deployment: Deployment) -> None:
    """gRPC would let it, and runs would begin in either."""
    ended = deployment.command("code-server")
    [line] = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert line.startswith("CodeServerUnusable: another process listens at 127.0.0.1:")
    deployment.done("code-server", "--check")


def test_each_process_ends_by_sigterm(deployment: Deployment) -> None:
    """A stop is no failure, and a run goes on to its end. The last test: it ends the deployment."""
    deployment.done("shops", "add", SHOP, "--merchant-id", "m-1")
    slow = {"match": {"platform": SPEC.platform}, "kind": "latency", "seconds": 5, "times": 1}
    deployment.sandbox.faults.set([slow])
    asked = json.loads(deployment.done("sync", SHOP, "--request", "--json"))
    deployment.until("no run goes on", lambda: deployment.graphql(STARTED)["runsOrError"]["count"])
    # The code server last: a daemon that finds none logs why, with a traceback.
    for name in ("daemon", "ui", "code-server"):
        process = deployment.processes[name]
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0
        assert "Traceback" not in deployment.log(name)
    assert deployment.has_synced(asked["sync_id"])
