"""Backfills of many shops by the real daemon keep their promises. Minutes each, so all are slow."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psutil
import psycopg
import pytest

from connector_pipeline.engine.forked_runs import RUN_NAME
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.postmaster import data_directory, running_server
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.cli.test_dev import PARTITIONS, Dev, dev, own_home

__all__ = ["own_home"]

pytestmark = pytest.mark.slow

PATIENCE = 1_200
"""Seconds for a backfill of a thousand shops on a busy machine."""

FASTER = {"CONNECTOR_RETRY_DELAY": "0.2"}


Report = Callable[[str], None]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Writes figures to the terminal, whether the test passes or not."""

    def write(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{text}\n")

    return write


def catalog(running: Dev) -> psycopg.Connection:
    """A connection to the catalog of a running `dev`."""
    server = running_server(running.home)
    assert server is not None
    return psycopg.connect(server.url("catalog"), autocommit=True)


def make_shops(running: Dev, number: int, **spec: object) -> list[str]:
    """Make tiny shops, register them and wait for their partitions. Returns their keys."""
    lines = ["merchant_id,platform_name,platform_shop_id,domain"]
    keys: list[str] = []
    for index in range(number):
        domain = f"many-{index:04}.myshopify.com"
        keys.append(f"shopify/{domain}")
        tiny: dict[str, object] = {
            "merchant_id": f"merchant-{index}",
            "platform_shop_id": str(index),
            "products": 2,
            "variants": [1, 1],
            "awkward": False,
            **spec,
        }
        running.sandbox("PUT", f"/sandbox/shops/{keys[-1]}", tiny)
        lines.append(f"merchant-{index},shopify,{index},{domain}")
    file = running.home / "shops.csv"
    file.write_text("\n".join(lines))
    server = running_server(running.home)
    assert server is not None
    ShopRegistry(database=Database(url=server.url("catalog"))).import_csv(file)
    until = time.monotonic() + PATIENCE
    while not set(keys) <= set(partitions(running)):
        assert time.monotonic() < until
        time.sleep(1)
    return keys


def partitions(running: Dev) -> list[str]:
    """All partition keys."""
    keys: list[str] = running.graphql(PARTITIONS)["assetNodeOrError"]["partitionKeys"]
    return keys


def run_workers(running: Dev) -> dict[int, psutil.Process]:
    """The run workers by pid: one for each run."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.Process(running.process.pid).children(recursive=True):
        try:
            if process.name() == RUN_NAME:
                found[process.pid] = process
        except psutil.Error:
            continue
    return found


class Memory:
    """Watches the run workers during a backfill, and keeps the size of the largest."""

    def __init__(self, running: Dev):
        self._running = running
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak = 0

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            for process in run_workers(self._running).values():
                try:
                    self.peak = max(self.peak, process.memory_info().rss)
                except psutil.Error:
                    continue


def test_a_thousand_shops_of_which_fifty_are_in_trouble(own_home: Path, report: Report) -> None:
    """Exactly the refused and the broken shops fail, in both assets; a rejected variant fails none.

    The refused ones stay partitions. The next sweep syncs the broken shops with the good ones, and
    asks the refused ones again.
    """
    with (
        SandboxServer(()) as sandbox,
        dev(own_home, "--port", "3920", sandbox=sandbox, **FASTER) as running,
    ):
        keys = make_shops(running, 1000)
        refused, broken, rejecting = keys[100:120], keys[500:520], keys[700:710]
        for key in refused:
            running.sandbox("PUT", f"/sandbox/shops/{key}/credentials", {"revoke": True})
        running.sandbox(
            "PUT",
            "/sandbox/faults",
            [
                {"match": {"domain": key.split("/")[1], "platform": "shopify"}, "kind": "status"}
                for key in broken
            ],
        )
        for key in rejecting:
            first = running.sandbox("GET", f"/sandbox/shops/{key}/expected")[0]["variant_id"]
            running.sandbox("PATCH", f"/sandbox/shops/{key}/variants/{first}", {"price": "free"})
        began = time.monotonic()
        with Memory(running) as memory:
            outcomes = running.wait_for_backfill(running.launch_backfill(keys), PATIENCE)
        seconds = time.monotonic() - began
        with catalog(running) as connection:
            states: Counter[str] = Counter(
                {
                    f"{status} {code}": number
                    for status, code, number in connection.execute(
                        "SELECT status, error_code, count(*) FROM connector.syncs GROUP BY 1, 2"
                    )
                }
            )
            [(shops, rejects)] = connection.execute(
                "SELECT (SELECT count(DISTINCT domain) FROM catalog.catalog_items), "
                "(SELECT count(*) FROM connector.rejected_variants)"
            ).fetchall()
        assert {*broken, *refused} <= set(partitions(running))
        running.stop()
        running.sandbox("PUT", "/sandbox/faults", [])
        swept = _swept(own_home, sandbox, keys)
    report(
        f"1,000 shops: {outcomes} (materialized, failed) in {seconds:.0f} s; syncs "
        f"{dict(states)}; {shops} shops in the catalog, {rejects} rejected variants; largest "
        f"run worker {memory.peak / 1e6:.0f} MB; the next sweep: {Counter(swept.values())}"
    )
    assert outcomes == {"raw_products": (960, 40), "catalog_items": (960, 40)}
    assert states == {
        "succeeded None": 960,
        "failed AccessRefused": 20,
        "failed PlatformUnavailable": 20,
    }
    assert (shops, rejects) == (960, 10)
    assert 0 < memory.peak < 500e6
    assert swept.keys() == set(keys)
    assert {key for key, status in swept.items() if status != "succeeded"} == set(refused)


def _swept(home: Path, sandbox: SandboxServer, expected: list[str]) -> dict[str, str]:
    """Wait until a sweep has synced these shops. Returns how each of its syncs ended."""
    query = """
        SELECT DISTINCT ON (1) platform_name || '/' || domain, status FROM connector.syncs
        WHERE started_at > %s ORDER BY 1, started_at
    """
    began = datetime.now(UTC)
    with dev(home, "--port", "3920", sandbox=sandbox, SYNC_CRON="*/5 * * * *") as running:
        until = time.monotonic() + PATIENCE
        ended: dict[str, str] = {}
        with catalog(running) as connection:
            while True:
                ended = dict(connection.execute(query, (began,)).fetchall())
                if set(expected) <= {key for key, status in ended.items() if status != "running"}:
                    break
                assert time.monotonic() < until, Counter(ended.values())
                time.sleep(1)
        running.stop()
    return ended


KILLED_AT = {"SHOPS_PER_RUN": "20"}
"""Small runs, so that in the middle of a backfill some shops of a run were read."""


def test_a_run_worker_killed_in_mid_backfill_is_made_up_for(own_home: Path, report: Report) -> None:
    """The backfill ends with every shop published, and no shop that was read is read again."""
    with dev(own_home, "--port", "3930", **FASTER, **KILLED_AT) as running:
        keys = make_shops(running, 60)
        middle = _reach_the_middle(running, keys)
        os.kill(_worker_of(running, middle.run_id), signal.SIGKILL)
        _made_up_for(running, keys, middle, report)
        running.stop()


def test_a_worker_of_the_commands_backfill_killed_is_made_up_for(
    own_home: Path, report: Report
) -> None:
    """`connector-pipeline backfill` ends with every shop synced, and none read twice."""
    with (
        SandboxServer(()) as sandbox,
        dev(own_home, "--port", "3980", sandbox=sandbox, **FASTER, **KILLED_AT) as running,
    ):
        keys = make_shops(running, 60)
        _slow_down(running)
        command = subprocess.Popen(
            [sys.executable, "-m", "connector_pipeline.cli", "backfill", "--json"],
            env={**os.environ, **sandbox.environment(), "CONNECTOR_HOME": str(own_home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        run_id, read = _middle(running)
        os.kill(_worker_of(running, run_id), signal.SIGKILL)
        printed, _ = command.communicate(timeout=PATIENCE)
        counts: dict[str, Any] = running.sandbox("GET", "/sandbox/requests")["shops"]
        asked = {key: counts[key]["count"] for key in keys}
        differing = [key for key in keys if running.items(key) != running.served(key)]
        running.stop()
    outcomes: Counter[str] = Counter(json.loads(line)["status"] for line in printed.splitlines())
    again = {key for key, number in asked.items() if number > min(asked.values())}
    report(
        f"killed with {len(read)} of {len(keys)} shops read: {dict(outcomes)}, status "
        f"{command.returncode}; {len(again)} shops took more requests than others; "
        f"{len(differing)} shops are not as they are served"
    )
    assert (outcomes, command.returncode) == ({"succeeded": len(keys)}, 0)
    assert differing == []
    assert not read & again


def test_a_daemon_killed_in_mid_backfill_is_made_up_for(own_home: Path, report: Report) -> None:
    """`dev` ends with the reason. The next `dev` goes on, also with the runs that ended with it."""
    with SandboxServer(()) as sandbox:
        with dev(own_home, "--port", "3960", sandbox=sandbox, **FASTER, **KILLED_AT) as killed:
            keys = make_shops(killed, 60)
            middle = _reach_the_middle(killed, keys)
            _child_of(killed, "daemon").kill()
            _, said = killed.process.communicate(timeout=PATIENCE)
            assert killed.process.returncode == 1
            assert "daemon ended with status -9" in said
            assert "Start it again" in said
        with dev(own_home, "--port", "3960", sandbox=sandbox, **FASTER, **KILLED_AT) as running:
            _made_up_for(running, keys, middle, report)
            running.stop()


def test_a_postgres_killed_in_mid_backfill_is_made_up_for(own_home: Path, report: Report) -> None:
    """`dev` starts it again at the same address, and the runs under way go on or are retried."""
    with dev(own_home, "--port", "3970", **KILLED_AT) as running:
        keys = make_shops(running, 60)
        middle = _reach_the_middle(running, keys)
        killed = _postmaster(own_home)
        os.kill(int(killed), signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while _postmaster(own_home) in ("", killed) or not _answers(running):
            assert time.monotonic() < until
            assert running.process.poll() is None
            time.sleep(0.1)
        _made_up_for(running, keys, middle, report)
        said = running.stop()
    assert "The embedded PostgreSQL had died and was started again." in said


@dataclass(frozen=True)
class Middle:
    """A backfill under way: a run that has read some of its shops, and all shops that were read."""

    backfill: str
    run_id: str
    read: set[str]


def _reach_the_middle(running: Dev, keys: list[str]) -> Middle:
    """Launch a backfill of the shops, and wait until a run has read some and reads others."""
    _slow_down(running)
    backfill = running.launch_backfill(keys)
    return Middle(backfill, *_middle(running))


def _slow_down(running: Dev) -> None:
    slow = {"match": {"platform": "shopify"}, "kind": "latency", "seconds": 1}
    running.sandbox("PUT", "/sandbox/faults", [slow])


def _middle(running: Dev) -> tuple[str, set[str]]:
    """Wait until a run has read some of its shops and reads others: the run, and all shops read."""
    until = time.monotonic() + PATIENCE
    with catalog(running) as connection:
        while True:
            assert time.monotonic() < until
            time.sleep(0.1)
            rows = connection.execute(
                "SELECT run_id, platform_name || '/' || domain, fetched_at IS NOT NULL "
                "FROM connector.syncs"
            ).fetchall()
            begun = Counter(run_id for run_id, _, _ in rows)
            read = Counter(run_id for run_id, _, fetched in rows if fetched)
            for run_id in begun:
                if 5 <= read[run_id] < begun[run_id]:
                    return run_id, {key for _, key, fetched in rows if fetched}


def _made_up_for(running: Dev, keys: list[str], middle: Middle, report: Report) -> None:
    """The backfill ends well, and no shop was read again that had been read at the kill."""
    for key in keys:
        assert running.items(key) in ([], running.served(key)), "half a shop is published"
    outcomes = _outcomes(running, middle.backfill)
    counts: dict[str, Any] = running.sandbox("GET", "/sandbox/requests")["shops"]
    asked = {key: counts[key]["count"] for key in keys}
    with catalog(running) as connection:
        statuses = connection.execute(
            "SELECT status, error_code, count(*) FROM connector.syncs GROUP BY 1, 2"
        ).fetchall()
    differing = [key for key in keys if running.items(key) != running.served(key)]
    least = min(asked.values())
    again = {key: number for key, number in asked.items() if number > least}
    report(
        f"killed with {len(middle.read)} of {len(keys)} shops read: {outcomes}; syncs {statuses}; "
        f"a shop takes {least} requests, {len(again)} shops took more: {again}; "
        f"{len(differing)} shops are not as they are served"
    )
    assert outcomes == dict.fromkeys(("raw_products", "catalog_items"), (len(keys), 0))
    assert statuses == [("succeeded", None, len(keys))]
    assert differing == []
    assert not middle.read & again.keys()


def _outcomes(running: Dev, backfill: str) -> dict[str, tuple[int, int]]:
    """How the backfill ended. The UI may be without its database for a while."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return running.wait_for_backfill(backfill, PATIENCE)
        except HTTPError:
            assert time.monotonic() < until
            time.sleep(0.5)


def _postmaster(home: Path) -> str:
    """The server's pid; empty while it starts."""
    try:
        return (data_directory(home) / "postmaster.pid").read_text().split()[0]
    except (FileNotFoundError, IndexError):
        return ""


def _answers(running: Dev) -> bool:
    """Whether the UI has its database."""
    try:
        return running_server(running.home) is not None and bool(partitions(running))
    except HTTPError:
        return False


def _child_of(running: Dev, word: str) -> psutil.Process:
    """The process of `dev` that has the word in its command line."""
    children = psutil.Process(running.process.pid).children()
    [child] = [each for each in children if word in each.cmdline()]
    return child


def _worker_of(running: Dev, run_id: str) -> int:
    """The pid of the run's worker, from the run's log."""
    server = running_server(running.home)
    assert server is not None
    with psycopg.connect(server.url("dagster")) as connection:
        events = connection.execute(
            "SELECT event FROM event_logs WHERE run_id = %s", (run_id,)
        ).fetchall()
    pids = {int(pid) for [event] in events for pid in re.findall(r"pid: (\d+)", event)}
    [pid] = pids & run_workers(running).keys()
    return pid


def test_backfills_that_overlap_read_no_shop_at_once(own_home: Path, report: Report) -> None:
    """Two backfills and a run of one shop all end well."""
    with dev(own_home, "--port", "3940", **FASTER, SHOPIFY_BATCH_SIZE="2") as running:
        keys = make_shops(running, 60, products=6)
        running.sandbox(
            "PUT",
            "/sandbox/faults",
            [{"match": {"platform": "shopify"}, "kind": "latency", "seconds": 0.2}],
        )
        backfills = [running.launch_backfill(keys), running.launch_backfill(keys)]
        run = running.materialize(keys[30])
        outcomes = [running.wait_for_backfill(each, PATIENCE) for each in backfills]
        status = running.wait_for(run, "SUCCESS", "FAILURE")
        log = running.sandbox("GET", "/sandbox/requests")
        running.stop()
    readings: Counter[int] = Counter()
    overlapping: list[str] = []
    for key in keys:
        order = [
            connection
            for connection, _ in groupby(
                request["connection"]
                for request in log["requests"]
                if f"{request['service']}/{request['domain']}" == key
            )
        ]
        readings[len(order)] += 1
        if len(order) != len(set(order)) or log["shops"][key]["peak_in_flight"] != 1:
            overlapping.append(key)
    report(
        f"two backfills of 60 shops and a run of one: {outcomes}, {status}; shops by how "
        f"often they were read: {dict(readings)}; read by two at once: {overlapping}"
    )
    assert outcomes == [{"raw_products": (60, 0), "catalog_items": (60, 0)}] * 2
    assert status == "SUCCESS"
    assert overlapping == []
    assert readings == {2: 59, 3: 1}


@pytest.mark.parametrize("slow", [False, True], ids=["without", "with"])
def test_a_slow_shop_delays_the_others_by_its_deadline_at_most(
    own_home: Path, slow: bool, report: Report
) -> None:
    """A run has a hundred shops. One takes 30 s for a page and has a minute in all."""
    settings = {"CONNECTOR_SHOP_DEADLINE": "60s", "SHOPIFY_BATCH_SIZE": "2", **FASTER}
    with dev(own_home, "--port", "3950", **settings) as running:
        keys = make_shops(running, 100, products=20)
        if slow:
            domain = keys[0].split("/")[1]
            rule = {"match": {"domain": domain, "platform": "shopify"}, "kind": "latency"}
            running.sandbox("PUT", "/sandbox/faults", [{**rule, "seconds": 30}])
        began = time.monotonic()
        with Memory(running) as memory:
            outcomes = running.wait_for_backfill(running.launch_backfill(keys), PATIENCE)
        seconds = time.monotonic() - began
        with catalog(running) as connection:
            [(read, published)] = connection.execute(
                "SELECT extract(epoch FROM max(fetched_at) - min(started_at)), "
                "extract(epoch FROM max(finished_at) - min(started_at)) "
                "FROM connector.syncs WHERE status = 'succeeded'"
            ).fetchall()
            failed = connection.execute(
                "SELECT error_code, error_message FROM connector.syncs WHERE status = 'failed'"
            ).fetchall()
        running.stop()
    report(
        f"100 shops, {'one of them slow' if slow else 'none slow'}: {outcomes} in "
        f"{seconds:.0f} s; the others read after {read:.1f} s and published after "
        f"{published:.1f} s; {failed}; largest run worker {memory.peak / 1e6:.0f} MB"
    )
    good = 99 if slow else 100
    assert outcomes == dict.fromkeys(("raw_products", "catalog_items"), (good, 100 - good))
    assert [code for code, _ in failed] == ["DeadlineExceeded"] * (100 - good)
    assert 0 < memory.peak < 500e6
