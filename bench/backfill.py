"""Measure a backfill of 5,000 shops by Dagster's own backfill, as in the UI, and by the queue.

    python bench/backfill.py --today ../base
    python bench/backfill.py --today ../base --shops 200 --baseline 10       a trial
    python bench/backfill.py --shops 500 --baseline 0 --ways new:ui new:queue

Everything is on this machine: `connector-pipeline dev` of each checkout over one Postgres server,
and a sandbox (50 ms an answer, 20 variants a shop, every second shop a WooCommerce shop). A way is
a checkout, `today` or `new`, and a road: `ui` launches a backfill of both assets as the UI does,
`queue` is `connector-pipeline backfill`, executed by the daemon. Each way has shops of its own, so
that all syncs are full ones. The bench ends by itself, and prints:

- for each way the seconds from the launch to the last published shop, shops a minute, CPU per shop,
  the memory of the largest run worker (at most 500 MB), and a table of the shops fetched and
  published in each minute: a shop of the queue is published as soon as its run has read it;
- the ratio of the last way to the first (goal: at most 0.7);
- with `--baseline` shops a minute of one run per shop on Dagster's stock storage (over few shops:
  it takes seconds per shop), and how many times as fast the last way is (at least 12).

Dagster's own cost per shop and asset is printed by bench/dagster_storage.py, the seconds of the
sensors' ticks over 10,000 shops by bench/sensor_ticks.py.
"""

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from checkouts import Dev, Side, parser, sides
from sandbox_process import shopify_shops
from syncs import ended, per_minute, wait_for

from connector_pipeline.sandbox.shops.spec import ShopSpec

LATENCY: Final = 0.05
LAUNCH: Final = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
OVER: Final = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")


@dataclass(frozen=True, slots=True)
class Figures:
    """One way: shops published, seconds to the last one, CPU seconds, the largest worker's MB."""

    published: int
    seconds: float
    cpu: float
    megabytes: float
    minutes: Sequence[tuple[int, int, int]]

    @property
    def per_minute(self) -> float:
        return self.published * 60 / self.seconds


def shops(prefix: str, count: int) -> list[ShopSpec]:
    """Shops of 20 variants; every second one is a WooCommerce shop."""
    return [
        spec
        if number % 2
        else replace(spec, platform="woocommerce", domain=f"{prefix}-{number}.example")
        for number, spec in enumerate(shopify_shops(prefix, count))
    ]


def key(spec: ShopSpec) -> str:
    return f"{spec.platform}/{spec.domain}"


def measure(side: Side, road: str, prefix: str, specs: list[ShopSpec], patience: float) -> Figures:
    """Backfill the shops by this road under a `dev` of the side."""
    side.register(specs)
    with side.dev() as dev, side.connect() as connection:
        cpu = dev.cpu()
        [(began,)] = connection.execute("SELECT clock_timestamp()").fetchall()
        with _largest_worker(dev) as largest:
            if road == "ui":
                _by_ui(side, dev, [key(spec) for spec in specs], patience)
            else:
                side.cli("backfill", "--stale", "1000", patience=patience, check=False)
        return _figures(connection, prefix, began, dev.cpu() - cpu, largest[0])


def _figures(
    connection: psycopg.Connection, prefix: str, began: datetime, cpu: float, megabytes: float
) -> Figures:
    done = ended(connection, "domain", f"{prefix}-")
    if done.last is None:
        raise RuntimeError("no sync ended")
    return Figures(
        published=done.succeeded,
        seconds=(done.last - began).total_seconds(),
        cpu=cpu,
        megabytes=megabytes,
        minutes=per_minute(connection, f"{prefix}-", began),
    )


def _by_ui(side: Side, dev: Dev, keys: Sequence[str], patience: float) -> None:
    """Launch a backfill of both assets as the UI does, and wait until Dagster says it is over."""
    body = {
        "query": LAUNCH,
        "variables": {
            "params": {
                "partitionNames": keys,
                "assetSelection": [{"path": ["raw_products"]}, {"path": ["catalog_items"]}],
            }
        },
    }
    answer = httpx.post(f"{dev.ui_url}/graphql", json=body, timeout=300, trust_env=False)
    launched: dict[str, Any] = answer.raise_for_status().json()["data"]["launchPartitionBackfill"]
    if "backfillId" not in launched:
        raise RuntimeError(f"{side.name}: {launched}")
    with side.dagster() as dagster:
        wait_for(
            lambda: dagster.execute(
                "SELECT 1 FROM bulk_actions WHERE key = %s AND status = ANY(%s)",
                (launched["backfillId"], list(OVER)),
            ).fetchone(),
            patience=patience,
            every=0.5,
            check=dev.check,
        )


@contextmanager
def _largest_worker(dev: Dev) -> Generator[list[float]]:
    """The MB of the largest run worker so far, as the only element of a list."""
    largest, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(1):
            largest[0] = max(largest[0], dev.largest_worker())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        over.set()
        thread.join()


def one_run_per_shop(side: Side, specs: list[ShopSpec]) -> float:
    """The shops a minute of one run per shop on stock storage."""
    side.register(specs)
    with psycopg.connect(side.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE stock")
    stock_url = side.dagster_url.replace("/dagster_new", "/stock")
    program = str(Path(__file__).parent / "one_run_per_shop.py")
    spent = side.run([side.python, program, stock_url, *map(key, specs)])
    return len(specs) * 60 / float(spent.output.split()[-1])


def table(ways: dict[str, Figures]) -> None:
    """Print the shops fetched and published in each minute."""
    print(f"{'minute':>6}", *(f"{way + ' fetched / published':>32}" for way in ways))
    for minute in range(1, max(len(figures.minutes) for figures in ways.values()) + 1):
        cells: list[str] = []
        for figures in ways.values():
            found = [row for row in figures.minutes if row[0] == minute]
            cells.append(f"{found[0][1]} / {found[0][2]}" if found else "")
        print(f"{minute:>6}", *(f"{cell:>32}" for cell in cells))


def main() -> None:
    """Print the figures of the docstring."""
    options = parser(__doc__)
    options.add_argument("--shops", type=int, default=5_000)
    options.add_argument("--baseline", type=int, default=60, help="shops of one run each; 0: none")
    options.add_argument(
        "--ways",
        nargs="+",
        choices=[f"{name}:{road}" for name in ("today", "new") for road in ("ui", "queue")],
        help="default: the first checkout's ui, the last one's queue",
    )
    options.add_argument("--patience", type=float, default=3_600, help="seconds of each way")
    given = options.parse_args()
    ways = given.ways or [f"{'new' if given.today is None else 'today'}:ui", "new:queue"]
    if given.today is None and any(way.startswith("today:") for way in ways):
        options.error("a way of today needs --today")
    prefixes = {way: way.replace(":", "-") for way in ways}
    specs = {way: shops(prefix, given.shops) for way, prefix in prefixes.items()}
    few = shops("baseline", given.baseline)
    served = [*few, *(spec for group in specs.values() for spec in group)]
    measured: dict[str, Figures] = {}
    with sides(given.today, served, latency=LATENCY) as both:
        by_name = {side.name: side for side in both}
        for way in ways:
            name, road = way.split(":")
            started = time.monotonic()
            measured[way] = found = measure(
                by_name[name], road, prefixes[way], specs[way], given.patience
            )
            print(
                f"{way:<12}{found.published} of {given.shops} shops in {found.seconds:.0f} s: "
                f"{found.per_minute:.0f} a minute, {1000 * found.cpu / given.shops:.0f} CPU ms a "
                f"shop, largest worker {found.megabytes:.0f} MB "
                f"({time.monotonic() - started:.0f} s with start and stop)",
                flush=True,
            )
        baseline = one_run_per_shop(by_name["new"], few) if few else None
    table(measured)
    first, last = measured[ways[0]], measured[ways[-1]]
    print(f"{ways[-1]} / {ways[0]}: {last.seconds / first.seconds:.2f} (goal at most 0.7)")
    if baseline is not None:
        print(
            f"one run per shop, stock storage: {baseline:.0f} shops a minute; {ways[-1]} is "
            f"x {last.per_minute / baseline:.1f} (at least 12)"
        )


if __name__ == "__main__":
    main()
