"""An operator stops the queue, lets the runs end, upgrades Dagster's storage, and starts again.

Over real processes: a code server, Dagster's daemon, run workers, and `dagster instance migrate`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.engine.daemon import daemon_command
from connector_pipeline.engine.pruning import RIGHT_REVISIONS
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.cli.conftest import Command
from connector_pipeline_tests.process_logs import shown_if_failed

PATIENCE = 600.0


def until(holds: Callable[[], Any], processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait for what must come, while the processes live."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert [process.poll() for process in processes] == [None] * len(processes)
        assert time.monotonic() < end
        time.sleep(0.1)


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url.replace("+psycopg2", "")) as connection:
        return connection.execute(query.encode()).fetchall()


@contextmanager
def deployment(home: Path) -> Generator[list[subprocess.Popen[bytes]]]:
    """A code server and a daemon on this home and its databases."""
    folder = home / "dagster"
    socket = home / "code"
    server = {"socket": str(socket), "location_name": "connector_pipeline"}
    workspace = folder / "workspace.yaml"
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
    code_server = (
        *(sys.executable, "-m", "connector_pipeline.cli", "code-server"),
        *("--listen", str(socket)),
    )
    # One that was killed leaves it behind.
    socket.unlink(missing_ok=True)
    environment = {**os.environ, "DAGSTER_HOME": str(folder)}
    processes: list[subprocess.Popen[bytes]] = []
    written = home / "processes.log"
    with shown_if_failed(lambda: [written]), written.open("ab") as log:
        try:
            for command in (code_server, daemon_command(workspace)):
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
                until(socket.exists, processes)
            yield processes
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait(PATIENCE)


def test_a_deployment_is_drained_upgraded_and_started_again(
    command: Command,
    sandbox: SandboxServer,
    sandbox_shops: list[str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run under way ends well, nothing new begins, and what waited is synced afterwards."""
    monkeypatch.setenv("CONNECTOR_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    catalog, dagster = (
        os.environ[name] for name in ("CONNECTOR_DATABASE_URL", "DAGSTER_POSTGRES_URL")
    )
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_bytes(instance_config().read_bytes())
    refused = command("queue", "stop")
    assert (refused.status, "no daemon has run" in refused.err) == (1, True)
    slow, waits = sandbox_shops[0], sandbox_shops[1]
    domain = slow.partition("/")[2]
    sandbox.faults.set([{"match": {"domain": domain}, "kind": "latency", "seconds": 3, "times": 2}])
    with deployment(home) as processes:
        assert command("sync", slow, "--request").status == 0
        under_way = f"SELECT FROM connector.syncs WHERE domain = '{domain}' AND status = 'running'"
        until(lambda: rows(catalog, under_way), processes)
        [drained] = command("queue", "stop", "--wait", "--json").rows()
        assert drained == {"queue": "stopped", "runs_under_way": 0}
        assert rows(catalog, "SELECT status FROM connector.syncs") == [("succeeded",)]
        assert command("sync", waits, "--request").status == 0
    # The version is replaced now. Dagster's storage gets its migrations through our storage class:
    # it is as Dagster 1.9 left it, without the column of a later migration.
    with psycopg.connect(dagster.replace("+psycopg2", "")) as connection:
        connection.execute("ALTER TABLE concurrency_limits DROP COLUMN using_default_limit")
        connection.execute("UPDATE alembic_version SET version_num = '6b7fb194ff9c'")
    migrated = subprocess.run(
        [sys.executable, "-m", "dagster", "instance", "migrate"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert migrated.returncode == 0, migrated.stderr
    assert "Running migration" in migrated.stdout
    assert {row[0] for row in rows(dagster, "SELECT version_num FROM alembic_version")} == set(
        RIGHT_REVISIONS
    )
    assert rows(dagster, "SELECT count(using_default_limit) FROM concurrency_limits") == [(0,)]
    ended = "SELECT status FROM connector.syncs ORDER BY started_at"
    with deployment(home) as processes:
        beats = "SELECT max(timestamp) FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'"
        [(before,)] = rows(dagster, beats)
        until(lambda: rows(dagster, beats) > [(before,)], processes)
        # A daemon that runs launches nothing while the queue is stopped.
        assert rows(catalog, ended) == [("succeeded",)]
        [started] = command("queue", "start", "--json").rows()
        # A schedule's run may be under way.
        assert started["queue"] == "started"
        until(lambda: rows(catalog, ended) == [("succeeded",)] * 2, processes)
