"""Measure the receiver of webhooks: deliveries per second with a commit each, and what a flood of
bad signatures costs.

    python bench/webhooks.py                          10,000 deliveries, an embedded Postgres
    python bench/webhooks.py --deliveries 500         a trial

One receiver runs as a process of its own, over loopback, with an embedded Postgres that commits to
the disk. A few connections deliver products/update of 2 kB each, signed, for 100 shops: each is
answered after its commit. Then as many requests with a bad signature come from one source. Then
both at once: the deliveries of the shops must not suffer. CPU and memory are those of the
receiver's process alone; clients and Postgres share the machine with it.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, takewhile
from pathlib import Path
from statistics import quantiles
from typing import Final

from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.state.registry import ShopRegistry

SHOPS: Final = 100
CONNECTIONS: Final = 32
SECRET: Final = "of-the-bench-0123456789abcdef"  # noqa: S105  of no app
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_FILLER: Final = "x" * 2_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests of one kind: how long each took, in seconds, and their statuses."""

    seconds: float
    latencies: Sequence[float]
    statuses: dict[int, int]
    cpu: float
    memory: int

    def line(self, name: str) -> str:
        cuts = quantiles(self.latencies, n=100)
        return (
            f"  {name:<34} {len(self.latencies) / self.seconds:>7.0f} requests/s  "
            f"p50 {cuts[49] * 1000:>6.1f} ms  p99 {cuts[98] * 1000:>6.1f} ms  "
            f"{self.cpu / len(self.latencies) * 1e6:>5.0f} us CPU each  "
            f"{self.cpu / self.seconds:>5.0%} of a core  {self.memory / 2**20:>4.0f} MB  "
            f"{self.statuses}"
        )


def request(number: int, *, good: bool, source: str) -> bytes:
    """A request as Shopify sends it through a proxy."""
    domain = f"bench-{number % SHOPS}.myshopify.com"
    body = json.dumps({"id": number + 1, "title": _FILLER}).encode()
    digest = hmac.digest((SECRET if good else "guessed").encode(), body, hashlib.sha256)
    return (
        f"POST /shopify/{domain} HTTP/1.1\r\nHost: hooks\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Shopify-Topic: products/update\r\n"
        f"X-Shopify-Shop-Domain: {domain}\r\nX-Shopify-Webhook-Id: bench-{source}-{number}\r\n"
        f"X-Shopify-Hmac-SHA256: {base64.b64encode(digest).decode()}\r\n"
        f"X-Forwarded-For: {source}\r\n\r\n"
    ).encode() + body


async def send(port: int, requests: Iterable[bytes], connections: int) -> list[tuple[int, float]]:
    """Send them over so many connections; the status and the seconds of each."""
    waiting = iter(requests)
    done: list[tuple[int, float]] = []

    async def one() -> None:
        reader = writer = None
        for each in waiting:
            began = time.perf_counter()
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(each)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: ([0-9]+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            done.append((int(head[9:12]), time.perf_counter() - began))
            if b"connection: close" in head:
                writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return done


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line
    ]
    return int(line.split()[1]) * 1024


def figures(done: list[tuple[int, float]], seconds: float, cpu: float, pid: int) -> Figures:
    statuses: dict[int, int] = {}
    for status, _ in done:
        statuses[status] = statuses.get(status, 0) + 1
    return Figures(seconds, [spent for _, spent in done], statuses, cpu, memory(pid))


def measured(pid: int, port: int, requests: Sequence[bytes]) -> Figures:
    began, cpu = time.perf_counter(), cpu_seconds(pid)
    done = asyncio.run(send(port, requests, CONNECTIONS))
    return figures(done, time.perf_counter() - began, cpu_seconds(pid) - cpu, pid)


def both(pid: int, port: int, good: Sequence[bytes], bad: Sequence[bytes]) -> tuple[Figures, float]:
    """Deliveries on 4 connections beside a flood on 28; and the flood's requests a second."""

    done: list[tuple[int, float]] = []

    def endless() -> Iterator[bytes]:
        return takewhile(lambda _: not done, cycle(bad))

    async def run() -> tuple[float, float]:
        began = time.perf_counter()
        flood = asyncio.create_task(send(port, endless(), CONNECTIONS - 4))
        done.extend(await send(port, good, 4))
        seconds = time.perf_counter() - began
        return seconds, len(await flood) / (time.perf_counter() - began)

    cpu = cpu_seconds(pid)
    seconds, rate = asyncio.run(run())
    return figures(done, seconds, cpu_seconds(pid) - cpu, pid), rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=10_000)
    number: int = parser.parse_args().deliveries
    with tempfile.TemporaryDirectory(prefix="connector-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with EmbeddedPostgres(folder) as server:
            url = server.url("catalog")
            migrate(url)
            registry = ShopRegistry(database=Database(url=url))
            for each in range(SHOPS):
                domain = f"bench-{each}.myshopify.com"
                registry.add(
                    Shop(
                        merchant_id="m",
                        platform_name="shopify",
                        platform_shop_id=domain,
                        domain=domain,
                    )
                )
            log = folder / "receiver.log"
            settings = {
                "CONNECTOR_DATABASE_URL": url,
                "CONNECTOR_HOME": str(folder),
                "SHOPIFY_WEBHOOK_SECRETS": SECRET,
                "WEBHOOKS_PROXIES": "127.0.0.1",
            }
            with log.open("wb") as written:
                process = subprocess.Popen(
                    [sys.executable, "-m", "connector_pipeline.cli", "webhooks", "--port", "0"],
                    env={**os.environ, **settings},
                    stdout=written,
                    stderr=written,
                )
            try:
                run(process, log, url, number)
            finally:
                process.terminate()
                process.wait()


def run(process: "subprocess.Popen[bytes]", log: Path, url: str, number: int) -> None:
    while (found := re.search(r"taken at http://\S+:([0-9]+)", log.read_text())) is None:
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        time.sleep(0.05)
    pid, port = process.pid, int(found[1])
    warm = [request(each, good=True, source="192.0.2.1") for each in range(200)]
    measured(pid, port, warm)
    print(f"{number} requests each, {CONNECTIONS} connections, {SHOPS} shops, bodies of 2 kB")
    good = [request(each, good=True, source="192.0.2.2") for each in range(number)]
    print(measured(pid, port, good).line("deliveries, a commit before each"))
    print(measured(pid, port, good).line("the same again: repeats"))
    bad = [request(each, good=False, source="192.0.2.3") for each in range(number)]
    print(measured(pid, port, bad).line("bad signatures of one source"))
    spread = [
        request(each, good=False, source=f"198.18.{each // 250 % 250}.{each % 250}")
        for each in range(number)
    ]
    print(measured(pid, port, spread).line("bad signatures, each of its own"))
    few = [request(each, good=True, source="192.0.2.4") for each in range(number // 20)]
    beside, rate = both(pid, port, few, bad)
    cuts = quantiles(beside.latencies, n=100)
    print(
        f"  deliveries beside a flood of {rate:.0f} requests/s: p50 {cuts[49] * 1000:.1f} ms, "
        f"p99 {cuts[98] * 1000:.1f} ms, {beside.statuses}; the process takes "
        f"{beside.cpu / beside.seconds:.0%} of a core and {beside.memory / 2**20:.0f} MB"
    )
    with Database(url=url).connect() as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM connector.hints").fetchall()
    expected = len(warm) + len(good) + len(few)
    print(f"  rows: {rows} of {expected} expected; the log has {log.stat().st_size} bytes")
    if rows != expected:
        raise RuntimeError("a delivery was lost or doubled")


if __name__ == "__main__":
    main()
