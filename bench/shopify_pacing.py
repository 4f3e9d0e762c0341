"""Time the Shopify adapter against a sandbox that enforces the points of a plan.

    python bench/shopify_pacing.py

Two shops, each read whole, page by page, as a sync reads it, with an archive in a temporary folder:

- 900 products of 5 variants, a bucket of 400 points that restores 50 a second: the seconds it took
  beside those that the points alone dictate, and the THROTTLED answers seen.
- 3,000 products of 5 variants, a bucket of 2,000 at 100 a second, 50 ms of latency: the seconds it
  took beside the larger of two times: the one that the points dictate, and that of a reader which
  only follows the cursors, one page after the other.

The sandbox runs in a process of its own on loopback. Takes under a minute; leaves nothing behind.
"""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.shopify.queries import PRODUCTS, SHOP

DOMAIN: Final = "pacing.myshopify.com"
KEY: Final = f"shopify/{DOMAIN}"
LATENCY: Final = 0.05
SERVE: Final = """
import sys
from connector_pipeline.sandbox.server import SandboxServer
SandboxServer((), port=int(sys.argv[1])).run()
"""


@dataclass(frozen=True)
class Cost:
    """The points of one answered query."""

    requested: float
    used: float


class Tokens:
    """A client of the sandbox's Token Service."""

    def __init__(self, url: str):
        self._url = f"{url}/token-service/api/v1/tokens/shopify/{DOMAIN}"

    async def credentials(self, shop: Shop, model: type[Any]) -> Any:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(self._url, headers={"X-Correlation-ID": "bench"})
        return model.model_validate(answer.json()["data"])


@contextmanager
def sandbox() -> Generator[str]:
    """The URL of a sandbox without shops."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/sandbox/shops", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def prepare(url: str, *, products: int, maximum: float, rate: float, latency: float) -> None:
    """Make a shop of 5 variants a product, with this bucket, full, and this latency."""
    control = httpx.Client(base_url=f"{url}/sandbox", trust_env=False, timeout=60)
    spec = {"products": products, "variants": 5, "awkward": False, "merchant_id": "bench"}
    control.put(f"/shops/{KEY}", json=spec).raise_for_status()
    refill(url, maximum, rate)
    rules = [{"kind": "latency", "seconds": latency, "match": {"platform": "shopify"}}]
    control.put("/faults", json=rules if latency else []).raise_for_status()


async def read(url: str) -> tuple[float, list[Cost], FetchReport]:
    """Read the shop into an archive, as `raw_products` does. Returns seconds, costs and report."""
    shop = Shop(
        merchant_id="bench",
        platform_name="shopify",
        platform_shop_id="1",
        domain=DOMAIN,
    )
    sync = Sync(
        sync_id="bench",
        partition_key=KEY,
        sync_type=SyncType.FULL,
        correlation_id="bench",
        started_at=datetime.now(UTC),
    )
    api = ShopifyAdapter(base_url=f"{url}/shopify/{{domain}}", allow_private_hosts=True)
    report = FetchReport()
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder:
        writer = RawArchive(url=folder).write(sync)
        writer.begin()
        began = time.perf_counter()
        pages = api.fetch(shop, Tokens(url), since=None, report=report)
        async for page in pages:
            await asyncio.to_thread(writer.write, page)
            costs.append(_cost(page.body))
        seconds = time.perf_counter() - began
    if not report.complete:
        raise SystemExit(f"the shop was not read whole: {report.warnings}")
    return seconds, costs, report


def follow_cursors(url: str) -> tuple[float, int]:
    """Read with the reader to compare with. Returns seconds and pages."""
    token = httpx.get(
        f"{url}/token-service/api/v1/tokens/shopify/{DOMAIN}",
        headers={"X-Correlation-ID": "bench"},
        trust_env=False,
    ).json()["data"]["access_token"]
    client = httpx.Client(headers={"X-Shopify-Access-Token": token}, trust_env=False, timeout=60)
    endpoint = f"{url}/shopify/{DOMAIN}/admin/api/2026-07/graphql.json"
    began = time.perf_counter()
    client.post(endpoint, json={"query": SHOP, "variables": {}})
    pages, after, more = 1, None, True
    while more:
        variables = {"first": 250, "variants": 250, "after": after}
        answer = client.post(endpoint, json={"query": PRODUCTS, "variables": variables})
        info = json.loads(answer.content)["data"]["products"]["pageInfo"]
        pages, after, more = pages + 1, info["endCursor"], info["hasNextPage"]
    return time.perf_counter() - began, pages


def _cost(body: bytes) -> Cost:
    cost = json.loads(body)["extensions"]["cost"]
    return Cost(cost["requestedQueryCost"], cost["actualQueryCost"])


def dictated(costs: Sequence[Cost], *, maximum: float, rate: float) -> float:
    """The seconds until the last of these queries can be sent if all else takes no time."""
    at, held = 0.0, maximum
    for cost in costs:
        wait = max(0.0, (cost.requested - held) / rate)
        at, held = at + wait, min(maximum, held + wait * rate) - cost.used
    return at


def main() -> None:
    with sandbox() as url:
        prepare(url, products=900, maximum=400, rate=50, latency=0)
        seconds, costs, report = asyncio.run(read(url))
        least = dictated(costs, maximum=400, rate=50)
        used = sum(cost.used for cost in costs)
        print("900 products, 4,500 variants, bucket 400, 50 a second")
        print(f"  {len(costs)} pages, {report.requests} requests, {report.retries} THROTTLED")
        print(f"  points used {used:.0f}, largest request {max(c.requested for c in costs):.0f}")
        print(f"  took {seconds:.2f} s, waited {report.waited_seconds:.2f} s")
        print(f"  the points dictate {least:.2f} s: ratio {seconds / least:.3f}")
        bare = (used - 400) / 50
        print(f"  to restore the points used takes {bare:.2f} s: ratio {seconds / bare:.3f}")

        prepare(url, products=3000, maximum=2000, rate=100, latency=LATENCY)
        # Not measured: the sandbox generates its products at the first request for them.
        walks = [follow_cursors(url)]
        ours: list[float] = []
        for _ in range(3):
            refill(url, 2000, 100)
            walks.append(follow_cursors(url))
            refill(url, 2000, 100)
            seconds, costs, report = asyncio.run(read(url))
            ours.append(seconds)
        least = dictated(costs, maximum=2000, rate=100)
        walk, pages = min(walks[1:])
        print("3,000 products, 15,000 variants, bucket 2,000, 100 a second, 50 ms of latency")
        print(f"  {len(costs)} pages, {report.requests} requests, {report.retries} THROTTLED")
        print(f"  took {min(ours):.3f} s, waited {report.waited_seconds:.2f} s")
        print(f"  {pages} pages one after the other {walk:.3f} s", end="")
        print(f" ({pages} x 50 ms = {pages * LATENCY:.2f} s), the points dictate {least:.2f} s")
        print(f"  ratio to the larger {min(ours) / max(walk, least):.3f}")


def refill(url: str, maximum: float, rate: float) -> None:
    """Fill the shop's bucket."""
    httpx.put(
        f"{url}/sandbox/shops/{KEY}/throttle",
        json={"maximum": maximum, "restore_rate": rate},
        trust_env=False,
    ).raise_for_status()


if __name__ == "__main__":
    main()
