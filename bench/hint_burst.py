"""Measure a burst of hints for one shop, and a hint of each of many shops beside a backfill.

    python bench/hint_burst.py                                        10,000 hints, 1,000 shops
    python bench/hint_burst.py --hints 1000 --shops 50 --others 50    a trial

`connector-pipeline dev` runs, over a sandbox (Shopify, 20 variants a shop, 50 ms an answer). Hints
are put into `connector.hints` by SQL, as the receiver of webhooks does after it judged them.

1. One shop of 2,000 products. 10,000 hints arrive within `--over` seconds, first of 200 products,
   each of which has a new price, then of all 2,000. Printed: syncs by type, requests, the time to
   the last sync, and what a full sync changes afterwards: nothing, if the rows were right.
2. Each of N shops has a new price and one hint, all at once, while a backfill of M others runs.
   Printed: seconds from the hint to the commit of its shop (median, 99th percentile, last), and how
   far the backfill was by then.
"""

import os
import statistics
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx
import psycopg
from checkouts import Dev, Side, parser, sides
from sandbox_process import shopify_shops
from syncs import ended, wait_for

from connector_pipeline.sandbox.shops.spec import ShopSpec

LATENCY: Final = 0.05
BIG: Final = "big-0.myshopify.com"


@dataclass(frozen=True, slots=True)
class Controls:
    """The sandbox's controls, by HTTP."""

    http: httpx.Client

    def products(self, domain: str) -> dict[str, str]:
        """A variant of each product, by product id."""
        expected = self._json("GET", f"/sandbox/shops/shopify/{domain}/expected")
        return {item["product_id"]: item["variant_id"] for item in expected}

    def new_price(self, domain: str, variant_id: str, price: int) -> None:
        """Give the variant another price, and move its product's date."""
        body = {"price": f"{price}.00"}
        self._json("PATCH", f"/sandbox/shops/shopify/{domain}/variants/{variant_id}", body)

    def requests(self) -> int:
        """Requests to shops since the last call."""
        found = self._json("GET", "/sandbox/requests")
        self.http.delete("/sandbox/requests").raise_for_status()
        return sum(each["service"] == "shopify" for each in found)

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, path, json=body)
        return answer.raise_for_status().json()


def put_hints(connection: psycopg.Connection, hints: Sequence[tuple[str, str]]) -> None:
    """Put hints, each a domain and a product id, into the table in one transaction."""
    connection.execute(
        """
        INSERT INTO connector.hints (platform_name, domain, source, topic, token)
        SELECT 'shopify', domain, 'webhook', 'products/update', token
        FROM unnest(%s::text[], %s::text[]) AS given (domain, token)
        """,
        [[domain for domain, _ in hints], [token for _, token in hints]],
    )


def quiet(connection: psycopg.Connection, prefix: str, dev: Dev, patience: float) -> datetime:
    """Wait until no hint and no row of these shops is left; return when the last sync ended."""

    def over() -> bool:
        [(left,)] = connection.execute(
            """
            SELECT (SELECT count(*) FROM connector.hints
                    WHERE gathered_at IS NULL AND starts_with(domain, %(prefix)s))
                + (SELECT count(*) FROM connector.sync_queue
                    WHERE state <> 'ended' AND starts_with(domain, %(prefix)s))
            """,
            {"prefix": prefix},
        ).fetchall()
        return left == 0

    wait_for(over, patience=patience, every=0.25, check=dev.check)
    last = ended(connection, "domain", prefix).last
    if last is None:
        raise RuntimeError("no sync ended")
    return last


def burst(
    side: Side, dev: Dev, controls: Controls, *, hints: int, products: int, over: float
) -> None:
    """Put hints of so many products of the big shop, and say what they led to."""
    variants = dict(list(controls.products(BIG).items())[:products])
    for number, variant_id in enumerate(variants.values()):
        controls.new_price(BIG, variant_id, 1_000 + number + products)
    controls.requests()
    tokens = list(variants)
    with side.connect() as connection:
        [(began,)] = connection.execute("SELECT clock_timestamp()").fetchall()
        parts = 100
        for part in range(parts):
            numbers = range(part * hints // parts, (part + 1) * hints // parts)
            put_hints(connection, [(BIG, tokens[number % products]) for number in numbers])
            time.sleep(over / parts)
        [(last_hint,)] = connection.execute("SELECT max(received_at) FROM connector.hints")
        last = quiet(connection, "big-", dev, 600)
        syncs = connection.execute(
            "SELECT sync_type || ' ' || status, count(*), sum(requests), sum(updated)"
            " FROM connector.syncs WHERE started_at > %s GROUP BY 1 ORDER BY 1",
            (began,),
        ).fetchall()
    requests = controls.requests()
    print(
        f"  {hints} hints of {products} products in {(last_hint - began).total_seconds():.1f} s: "
        f"{requests} requests, last commit {(last - last_hint).total_seconds():.1f} s after the "
        "last hint"
    )
    for kind, count, asked, updated in syncs:
        print(f"    {count} syncs {kind}: {asked} requests, {updated} rows updated")
    side.cli("sync", f"shopify/{BIG}", "--type", "full")
    with side.connect() as connection:
        changed = connection.execute(
            "SELECT inserted, updated, revived, deleted FROM connector.syncs"
            " WHERE domain = %s ORDER BY started_at DESC LIMIT 1",
            (BIG,),
        ).fetchone()
    print(f"    a full sync changes afterwards (inserted, updated, revived, deleted): {changed}")


def many(
    side: Side,
    dev: Dev,
    controls: Controls,
    *,
    hinted: Sequence[ShopSpec],
    others: Sequence[ShopSpec],
    patience: float,
) -> None:
    """Hint of each shop once, while a backfill of the others runs."""
    hints: list[tuple[str, str]] = []
    for spec in hinted:
        product_id, variant_id = next(iter(controls.products(spec.domain).items()))
        controls.new_price(spec.domain, variant_id, 777)
        hints.append((spec.domain, product_id))
    with side.connect() as connection, backfill(side, others, patience):
        if others:
            wait_for(
                lambda: ended(connection, "domain", "other-").succeeded > 0,
                patience=patience,
                every=0.5,
                check=dev.check,
            )
        put_hints(connection, hints)
        quiet(connection, "hinted-", dev, patience)
        seconds = sorted(
            float(each)
            for (each,) in connection.execute(
                """
                SELECT extract(epoch FROM min(sync.finished_at) - hint.received_at)
                FROM connector.hints AS hint JOIN connector.syncs AS sync
                    USING (platform_name, domain)
                WHERE starts_with(domain, 'hinted-') AND sync.status = 'succeeded'
                    AND sync.sync_type = 'hinted' AND sync.finished_at > hint.received_at
                GROUP BY hint.id, hint.received_at
                """
            )
        )
        done = ended(connection, "domain", "other-")
        right = connection.execute(
            "SELECT count(*) FROM catalog.catalog_items WHERE starts_with(domain, 'hinted-')"
            " AND price = 777"
        ).fetchone()
    print(
        f"  {len(hinted)} shops with a hint each: {len(seconds)} published, {right} rows right; "
        f"median {statistics.median(seconds):.1f} s, 99th percentile "
        f"{seconds[int(len(seconds) * 0.99)]:.1f} s, last {seconds[-1]:.1f} s; "
        f"{done.succeeded} of {len(others)} shops of the backfill were done then"
    )


@contextmanager
def backfill(side: Side, others: Sequence[ShopSpec], patience: float) -> Generator[None]:
    """A backfill of the shops that were never synced runs beside the body, and to its own end."""
    if not others:
        yield
        return
    thread = threading.Thread(
        target=lambda: side.cli("backfill", "--stale", "1000", patience=patience, check=False)
    )
    thread.start()
    try:
        yield
    finally:
        thread.join()


def main() -> None:
    """Print the figures of the docstring, and the load of the machine."""
    options = parser(__doc__)
    options.add_argument("--hints", type=int, default=10_000)
    options.add_argument("--over", type=float, default=20, help="seconds in which they arrive")
    options.add_argument("--shops", type=int, default=1_000)
    options.add_argument("--others", type=int, default=1_000, help="shops of the backfill")
    options.add_argument("--products", type=int, default=2_000, help="of the one shop")
    options.add_argument("--patience", type=float, default=3_600)
    given = options.parse_args()
    big = shopify_shops("big", 1, products=given.products, variants=1)
    hinted = shopify_shops("hinted", given.shops)
    others = shopify_shops("other", given.others)
    with sides(None, [*big, *hinted, *others], latency=LATENCY) as [side]:
        address = side.sandbox_environment["TOKEN_SERVICE_URL"].removesuffix("/token-service")
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as http, side.dev() as dev:
            controls = Controls(http)
            side.register([*big, *hinted])
            side.cli("backfill", "--stale", "1000", patience=given.patience)
            print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
            for products in (min(200, given.products), given.products):
                burst(side, dev, controls, hints=given.hints, products=products, over=given.over)
            side.register(others)
            many(side, dev, controls, hinted=hinted, others=others, patience=given.patience)
            print(f"load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
