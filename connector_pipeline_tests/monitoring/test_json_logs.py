"""With LOG_FORMAT=json every line that our processes log is one JSON object that names its sync."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
import pytest

from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.engine.code_server import DEFINITIONS_MODULE, LOCATION_NAME
from connector_pipeline.engine.daemon import daemon_command
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.cli.conftest import environment, sandbox
from connector_pipeline_tests.process_logs import shown_if_failed

__all__ = ["environment", "sandbox"]

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 600
FINISHED: Final = "RUN_SUCCESS - Finished execution"
TOKEN: Final = "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"

LOGGING: Final = f"""
import logging, sys, threading, warnings
from connector_pipeline.model.process_output import guard_output
from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.sync.log_context import log_as

guard_output()
SECRETS.keep(["{TOKEN}"])
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.info("of no sync\\nin two lines")
log_as("s-1", "c-1", shop="one/a", run_id="r-1")
logging.getLogger("a.library").warning("asked with %s and \\ud800\\x1b[0m", "{TOKEN}")
warnings.warn("old {TOKEN[:20]}")
try:
    raise ValueError("{TOKEN}")
except ValueError:
    logging.exception("failed")
in_file = logging.StreamHandler(open(sys.argv[1], "w"))
logging.getLogger("kept").addHandler(in_file)
logging.getLogger("kept").propagate = False
logging.getLogger("kept").info("text")

def fails():
    raise RuntimeError("in a thread: {TOKEN}")

thread = threading.Thread(target=fails)
thread.start()
thread.join()
raise SystemError("at the end: {TOKEN}")
"""


def lines(text: str) -> list[dict[str, Any]]:
    """Each line as its object. Every one has the fields that all have, and the time is in UTC."""
    found = [json.loads(line) for line in text.splitlines()]
    for each in found:
        assert each.keys() >= {"time", "level", "logger", "message"}
        assert datetime.fromisoformat(each["time"]).utcoffset() == timedelta(0)
    return found


def test_a_process_writes_objects_alone(tmp_path: Path) -> None:
    """Records, warnings and tracebacks; without secrets, and each in one line."""
    kept = tmp_path / "log"
    ended = subprocess.run(
        [sys.executable, "-c", LOGGING, kept],
        env={**os.environ, "LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "shpat" not in ended.stderr
    plain, asked, warned, failed, in_thread, at_end = lines(ended.stderr)
    assert plain["message"] == "of no sync\nin two lines"
    assert "sync_id" not in plain
    of_sync = {"sync_id": "s-1", "correlation_id": "c-1", "shop": "one/a", "run_id": "r-1"}
    assert asked.items() >= of_sync.items()
    assert asked["message"] == "asked with *** and \\ud800\\x1b[0m"
    assert warned["logger"] == "py.warnings"
    assert "ValueError: ***" in failed["exception"]
    assert in_thread["message"] == "RuntimeError: in a thread: ***"
    assert at_end["message"] == "SystemError: at the end: ***"
    assert at_end["exception"].startswith("Traceback")
    assert kept.read_text() == "text [sync_id=s-1 correlation_id=c-1]\n"


@pytest.mark.usefixtures("environment")
def test_daemon_code_server_and_run_write_objects_alone(
    registry: ShopRegistry, database: Database, tmp_path: Path
) -> None:
    """A requested sync by real processes: its lines name it, by the requester's ids."""
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(ROOT / "dagster.yaml", home)
    # Here the daemon starts the code server itself.
    module = {"module_name": DEFINITIONS_MODULE, "location_name": LOCATION_NAME}
    (home / "workspace.yaml").write_text(json.dumps({"load_from": [{"python_module": module}]}))
    spec = next(each for each in DEFAULT_SHOPS if each.platform == "shopify")
    [shop] = register_sandbox_shops(registry, [spec])
    with psycopg.connect(database.connection_url()) as connection:
        connection.execute(
            "INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id,"
            " domain, sync_id, correlation_id) VALUES (%s, %s, %s, %s, 's-1', 'c-1')",
            (shop.merchant_id, shop.platform_name, shop.platform_shop_id, shop.domain),
        )
    written = tmp_path / "output"
    with shown_if_failed(lambda: [written]), written.open("w") as output:
        process = subprocess.Popen(
            daemon_command(home / "workspace.yaml"),
            env={**os.environ, "LOG_FORMAT": "json", "DAGSTER_HOME": str(home)},
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
        try:
            until = time.monotonic() + PATIENCE
            while (status := _status(database)) != "succeeded":
                assert process.poll() is None
                assert status != "failed"
                assert time.monotonic() < until
                time.sleep(0.2)
            while FINISHED not in written.read_text():
                assert time.monotonic() < until
                time.sleep(0.2)
        finally:
            _end_with_its_code_server(process)
    found = lines(written.read_text())
    assert {each["logger"].partition(".")[0] for each in found} >= {"dagster"}
    of_sync = [each for each in found if each.get("sync_id") == "s-1"]
    assert of_sync
    assert {each["correlation_id"] for each in of_sync} == {"c-1"}
    assert {each["shop"] for each in of_sync} == {shop.partition_key}
    [run_id] = {each["run_id"] for each in of_sync}
    assert run_id in {each["run_id"] for each in found if FINISHED in each["message"]}


def _end_with_its_code_server(daemon: subprocess.Popen[bytes]) -> None:
    """End the daemon, and wait for the code server, which looks into Dagster's database until then.

    One that finds no database any more never ends (Dagster 1.13.27: its thread that ends it fails).
    """
    children = psutil.Process(daemon.pid).children(recursive=True)
    daemon.send_signal(signal.SIGINT)
    daemon.wait(PATIENCE)
    _, left = psutil.wait_procs(children, timeout=PATIENCE)
    for child in left:
        child.kill()
    assert left == []


def _status(database: Database) -> str | None:
    with psycopg.connect(database.connection_url()) as connection:
        row = connection.execute(
            "SELECT status FROM connector.syncs WHERE sync_id = 's-1'"
        ).fetchone()
    return None if row is None else row[0]
