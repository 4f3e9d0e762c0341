"""Print how long a WooCommerce shop takes to read, against one request per variation.

    python bench/woocommerce_fetch.py

Serves a sandbox shop of 2,000 variable products with 5 variations each, 50 ms a request, from a
process of its own, and reads it by each endpoint; then the usual shape, one request per variation
one after the other, on a tenth of the shop. Last, a host of two workers, against every fixed
number of requests at once. Ends by itself after about two minutes; leaves nothing behind.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import httpx

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.kit.rest.pace import Limit
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec

LATENCY: Final = 0.05
BIG: Final = ShopSpec(
    platform="woocommerce",
    domain="big.example",
    merchant_id="m",
    platform_shop_id="1",
    products=2_000,
    variants=(5, 5),
    awkward=False,
)
BY_PARENT: Final = {"root_variations": False, "analytics_variations": False}
# Every product of this seed's shops is variable; statuses other than publish are read, too.
STATUSES: Final = "publish,draft,pending,private,future"
ROOT: Final = BIG
ANALYTICS: Final = replace(BIG, domain="analytics.example", root_variations=False)
PARENT: Final = replace(BIG, domain="parent.example", **BY_PARENT)
TENTH: Final = replace(BIG, domain="tenth.example", products=200, **BY_PARENT)
TWO_WORKERS: Final = replace(BIG, domain="two-workers.example", products=1_000)


class Fixed:
    """A pace with a fixed number of requests at once."""

    def __init__(self, value: int):
        self.value = value

    def answered(self, seconds: float, *, under_way: int, work: str) -> None:
        """Nothing to learn."""

    def overloaded(self, *, under_way: int) -> None:
        """Nothing to learn."""


class FixedApi(WooCommerceAdapter):
    """An adapter that always sends as many requests at once as it may."""

    def limit(self) -> Limit:
        return Fixed(self.max_concurrency)


def serve(ready: Any) -> None:
    """Run the sandbox until the process is killed."""
    with SandboxServer([ROOT, ANALYTICS, PARENT, TENTH, TWO_WORKERS]) as server:
        rules: list[dict[str, Any]] = [
            {
                "match": {"platform": "woocommerce", "domain": TWO_WORKERS.domain},
                "kind": "workers",
                "workers": 2,
                "seconds": LATENCY,
            },
            *(
                {
                    "match": {"platform": "woocommerce", "domain": spec.domain},
                    "kind": "latency",
                    "seconds": LATENCY,
                }
                for spec in (ROOT, ANALYTICS, PARENT, TENTH)
            ),
        ]
        server.faults.set(rules)
        ready.send(server.url)
        time.sleep(600)


@contextmanager
def sandbox() -> Iterator[str]:
    """The URL of a sandbox in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=[theirs], daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


async def read(api: WooCommerceAdapter, spec: ShopSpec, url: str) -> tuple[float, FetchReport, int]:
    """Read the shop. Returns seconds, the report, and the most requests that it had at once."""
    shop = Shop(
        merchant_id=spec.merchant_id,
        platform_name="woocommerce",
        platform_shop_id=spec.platform_shop_id,
        domain=spec.domain,
    )
    report = FetchReport()
    async with httpx.AsyncClient() as control:
        await control.delete(f"{url}/sandbox/requests")
        began = time.perf_counter()
        async with TokenService(url=f"{url}/token-service").open("bench") as source:
            async for _ in api.fetch(shop, source, since=None, report=report):
                pass
        seconds = time.perf_counter() - began
        counts = (await control.get(f"{url}/sandbox/requests")).json()["shops"]
    if not report.complete:
        raise RuntimeError(f"{spec.domain} was not read whole: {report.warnings}")
    return seconds, report, counts[f"woocommerce/{spec.domain}"]["peak_in_flight"]


async def one_request_per_variation(spec: ShopSpec, url: str) -> tuple[float, int]:
    """Read a page of products, then each variation alone. Returns seconds and requests."""
    requests = 0
    async with httpx.AsyncClient(base_url=f"{url}/woocommerce/{spec.domain}/wp-json/wc/v3") as shop:
        tokens = f"{url}/token-service/api/v1/tokens/woocommerce/{spec.domain}"
        answer = await shop.get(tokens, headers={"X-Correlation-ID": "bench"})
        keys = answer.raise_for_status().json()["data"]
        auth = httpx.BasicAuth(keys["consumer_key"], keys["consumer_secret"])
        began = time.perf_counter()
        page = 0
        while True:
            page += 1
            answer = await shop.get("/products", params={"per_page": 100, "page": page}, auth=auth)
            requests += 1
            for product in answer.json():
                for variation in product["variations"]:
                    path = f"/products/{product['id']}/variations/{variation}"
                    (await shop.get(path, auth=auth)).raise_for_status()
                    requests += 1
            if page >= int(answer.headers["X-WP-TotalPages"]):
                return time.perf_counter() - began, requests


def api(kind: type[WooCommerceAdapter], url: str, at_once: int = 4) -> WooCommerceAdapter:
    """An adapter for the sandbox's shops."""
    return kind(
        base_url=f"{url}/woocommerce/{{domain}}",
        allow_private_hosts=True,
        statuses=STATUSES,
        max_concurrency=at_once,
    )


async def measure(url: str) -> None:
    """Print all figures."""
    seconds, requests = await one_request_per_variation(TENTH, url)
    usual = 10 * seconds
    print(
        f"one request per variation: a tenth in {seconds:.1f} s, {requests} requests;"
        f" all of it {usual:.0f} s"
    )
    for spec in (ROOT, ANALYTICS, PARENT):
        seconds, report, peak = await read(api(WooCommerceAdapter, url), spec, url)
        print(
            f"{report.details['variations_endpoint']}: {report.requests} requests,"
            f" {seconds:.1f} s, {usual / seconds:.0f} x; at most {peak} at once;"
            f" {report.details['products']} products, {report.details['variations']} variations"
        )
    fixed: list[float] = []
    for at_once in (1, 2, 3, 4):
        seconds, _, _ = await read(api(FixedApi, url, at_once), TWO_WORKERS, url)
        fixed.append(seconds)
        print(f"two workers, always {at_once} at once: {seconds:.2f} s")
    for most in (4, 16):
        seconds, _, peak = await read(api(WooCommerceAdapter, url, most), TWO_WORKERS, url)
        print(
            f"two workers, adapting up to {most}: {seconds:.2f} s,"
            f" {seconds / min(fixed):.2f} of the best fixed; at most {peak} at once"
        )


def main() -> None:
    """Measure, and stop the server."""
    with sandbox() as url:
        asyncio.run(measure(url))


if __name__ == "__main__":
    main()
