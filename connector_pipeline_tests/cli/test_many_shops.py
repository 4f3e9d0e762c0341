"""What is promised of backfills over many shops, by the real daemon: minutes each, so all slow."""

import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from connector_pipeline.database import Database
from connector_pipeline.embedded_postgres.postmaster import running_server
from connector_pipeline.registry import ShopRegistry
from connector_pipeline_tests.cli.test_dev import PARTITIONS, Dev, dev, own_home

__all__ = ["own_home"]

pytestmark = pytest.mark.slow

PATIENCE = 1_200
"""Seconds for a backfill of a thousand shops on a busy machine."""

FASTER = {"CONNECTOR_RETRY_DELAY": "0.2"}


Tell = Callable[[str], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Writes figures where who runs the test sees them, whether it passes or not."""

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
    """Tiny shops beside the sandbox's own, registered, as partitions; their keys."""
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
    """The partition keys there are."""
    keys: list[str] = running.graphql(PARTITIONS)["assetNodeOrError"]["partitionKeys"]
    return keys


def run_workers(running: Dev) -> dict[int, psutil.Process]:
    """The processes that execute runs, by pid: the code server spawns one for each."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.Process(running.process.pid).children(recursive=True):
        try:
            if any("spawn_main" in word for word in process.cmdline()):
                found[process.pid] = process
        except psutil.Error:
            continue
    return found


class Memory:
    """Looks at run workers while a backfill is under way, and keeps their largest size."""

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


def test_a_thousand_shops_of_which_fifty_are_in_trouble(own_home: Path, tell: Tell) -> None:
    """Exactly the refused and the broken fail, of both assets; rejects fail no shop."""
    with dev(own_home, "--port", "3920", **FASTER) as running:
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
        until = time.monotonic() + PATIENCE
        while set(refused) & set(partitions(running)):
            assert time.monotonic() < until
            time.sleep(1)
        assert set(broken) <= set(partitions(running))
        running.stop()
    tell(
        f"1,000 shops: {outcomes} (materialized, failed) in {seconds:.0f} s; syncs "
        f"{dict(states)}; {shops} shops in the catalog, {rejects} rejected variants; largest "
        f"run worker {memory.peak / 1e6:.0f} MB"
    )
    assert outcomes == {"raw_products": (960, 40), "catalog_items": (960, 40)}
    assert states == {
        "succeeded None": 960,
        "failed ShopDisconnected": 20,
        "failed PlatformUnavailable": 20,
    }
    assert (shops, rejects) == (960, 10)
    assert memory.peak < 500e6


def test_a_run_worker_killed_in_mid_backfill_is_made_up_for(own_home: Path, tell: Tell) -> None:
    """The backfill ends with every shop published, and no shop that was read is read again."""
    with dev(own_home, "--port", "3930", **FASTER, SHOPS_PER_RUN="40") as running:
        keys = make_shops(running, 120)
        running.sandbox(
            "PUT",
            "/sandbox/faults",
            [{"match": {"platform": "shopify"}, "kind": "latency", "seconds": 1}],
        )
        backfill = running.launch_backfill(keys)
        with catalog(running) as connection:
            killed = _kill_one_in_the_middle(running, connection)
        running.sandbox("PUT", "/sandbox/faults", [])
        outcomes = running.wait_for_backfill(backfill, PATIENCE)
        counts: dict[str, Any] = running.sandbox("GET", "/sandbox/requests")["shops"]
        asked = {key: counts[key]["count"] for key in keys}
        with catalog(running) as connection:
            statuses = connection.execute(
                "SELECT status, count(*) FROM connector.syncs GROUP BY status"
            ).fetchall()
        assert all(running.items(key) == running.served(key) for key in keys)
        running.stop()
    least = min(asked.values())
    again = {key: number for key, number in asked.items() if number > least}
    tell(
        f"killed with {killed['read']} of its shops read and {killed['begun']} begun: "
        f"{outcomes}; syncs {statuses}; a shop takes {least} requests, "
        f"{len(again)} shops took more: {again}"
    )
    assert outcomes == {"raw_products": (120, 0), "catalog_items": (120, 0)}
    assert statuses == [("succeeded", 120)]
    assert not killed["read_keys"] & again.keys()


def _kill_one_in_the_middle(running: Dev, connection: psycopg.Connection) -> dict[str, Any]:
    """Kill a run worker that has read some of its shops and is reading others."""
    until = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < until
        time.sleep(0.1)
        rows = connection.execute(
            "SELECT run_id, count(fetched_at), count(*) FROM connector.syncs GROUP BY run_id"
        ).fetchall()
        for run_id, read, begun in rows:
            if not 5 <= read < begun:
                continue
            os.kill(_worker_of(running, run_id), signal.SIGKILL)
            keys = connection.execute(
                "SELECT platform_name || '/' || domain FROM connector.syncs "
                "WHERE run_id = %s AND fetched_at IS NOT NULL",
                (run_id,),
            ).fetchall()
            return {"read": len(keys), "begun": begun, "read_keys": {key for [key] in keys}}


def _worker_of(running: Dev, run_id: str) -> int:
    """The pid of the process that executes the run, as its log tells it."""
    server = running_server(running.home)
    assert server is not None
    with psycopg.connect(server.url("dagster")) as connection:
        events = connection.execute(
            "SELECT event FROM event_logs WHERE run_id = %s", (run_id,)
        ).fetchall()
    pids = {int(pid) for [event] in events for pid in re.findall(r"pid: (\d+)", event)}
    [pid] = pids & run_workers(running).keys()
    return pid


def test_backfills_that_overlap_take_turns(own_home: Path, tell: Tell) -> None:
    """Two backfills and a run over one shop: all end, no shop is read by two at once."""
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
    turns: Counter[int] = Counter()
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
        turns[len(order)] += 1
        if len(order) != len(set(order)) or log["shops"][key]["peak_in_flight"] != 1:
            overlapping.append(key)
    tell(
        f"two backfills of 60 shops and a run of one: {outcomes}, {status}; shops by how "
        f"often they were read: {dict(turns)}; read by two at once: {overlapping}"
    )
    assert outcomes == [{"raw_products": (60, 0), "catalog_items": (60, 0)}] * 2
    assert status == "SUCCESS"
    assert overlapping == []
    assert turns == {2: 59, 3: 1}


@pytest.mark.parametrize("slow", [False, True], ids=["without", "with"])
def test_a_slow_shop_delays_the_others_by_its_deadline_at_most(
    own_home: Path, slow: bool, tell: Tell
) -> None:
    """A hundred shops in a run; one takes 30 s a page and has a minute."""
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
    tell(
        f"100 shops, {'one of them slow' if slow else 'none slow'}: {outcomes} in "
        f"{seconds:.0f} s; the others read after {read:.1f} s and published after "
        f"{published:.1f} s; {failed}; largest run worker {memory.peak / 1e6:.0f} MB"
    )
    good = 99 if slow else 100
    assert outcomes == dict.fromkeys(("raw_products", "catalog_items"), (good, 100 - good))
    assert [code for code, _ in failed] == ["DeadlineExceeded"] * (100 - good)
    assert memory.peak < 500e6
