"""Measure a burst of sync requests against a backfill of as many shops by the same daemon.

    python bench/request_burst.py --today ../base                   1,000 shops each way
    python bench/request_burst.py --requests 5000                   5,000 shops each way
    python bench/request_burst.py --requests 40 --today ../base --today-requests 10    a trial

`connector-pipeline dev` runs. A request for each of N sandbox shops (Shopify, 20 variants, 50 ms
an answer) is inserted in one statement: first insert to the last sync that ended. Then, under the
same `dev`, `connector-pipeline backfill` of N other shops with the same catalogs: first row on
record to the last sync that ended. All syncs are the first of their shops, hence full ones. With
`--today` an older checkout does the same before, with fewer shops (`--today-requests`): it starts
a run for each request.

Goals: the burst takes at most 1.3 x the backfill; 5,000 requests come within 10 % of the
backfill's shops per minute.
"""

from dataclasses import dataclass
from typing import Final

from checkouts import Dev, Side, parser, sides
from sandbox_process import shopify_shops
from syncs import backfill_put_at, ended, per_minute, put_requests, wait_for

from connector_pipeline.sandbox.shops.spec import ShopSpec

LATENCY: Final = 0.05
WARM_UP: Final = 3
GOAL: Final = "1.3; 1.11 for 5,000 requests"


@dataclass(frozen=True, slots=True)
class Figures:
    """N shops one way: seconds, CPU seconds of `dev` and its runs, failed syncs, runs."""

    shops: int
    seconds: float
    cpu: float
    failed: int
    runs: int

    def line(self, name: str) -> str:
        return (
            f"  {name:<10} {self.shops:>6} shops  {self.seconds:>8.1f} s  "
            f"{self.shops * 60 / self.seconds:>7.0f} shops/min  "
            f"{self.cpu / self.shops:>6.2f} CPU s/shop  {self.runs:>5} runs  {self.failed} failed"
        )


def burst(side: Side, dev: Dev, specs: list[ShopSpec], prefix: str, patience: float) -> Figures:
    """Request a sync of each shop at once, and wait for the last outcome."""
    with side.connect() as connection:
        runs, cpu = _runs(side), dev.cpu()
        first = put_requests(connection, prefix, specs)
        done = wait_for(
            lambda: (
                found
                if (found := ended(connection, "sync_id", f"{prefix}-")).total == len(specs)
                else None
            ),
            patience=patience,
            every=0.5,
            check=dev.check,
        )
        seconds = (done.last - first).total_seconds()
        return Figures(len(specs), seconds, dev.cpu() - cpu, done.failed, _runs(side) - runs)


def backfill(side: Side, dev: Dev, shops: int, patience: float) -> Figures:
    """Backfill the shops that have had no sync, and wait for the last outcome."""
    runs, cpu = _runs(side), dev.cpu()
    spent = side.cli("backfill", "--stale", "1000", patience=patience, check=False)
    with side.connect() as connection:
        done = ended(connection, "domain", "backfill-")
        if done.total != shops or done.last is None:
            raise RuntimeError(f"{done} of {shops} shops:\n{spent.output[-2000:]}")
        first = backfill_put_at(connection)
        print("  backfill, shops fetched and published in each minute:", end="")
        for _, fetched, published in per_minute(connection, "backfill-", first):
            print(f" {fetched}/{published}", end="")
        print()
    seconds = (done.last - first).total_seconds()
    return Figures(shops, seconds, dev.cpu() - cpu, done.failed, _runs(side) - runs)


def _runs(side: Side) -> int:
    with side.dagster() as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM runs").fetchall()
        return count


def main() -> None:
    """Print the figures of the docstring."""
    options = parser(__doc__)
    options.add_argument("--requests", type=int, default=1_000)
    options.add_argument("--today-requests", type=int, default=100)
    options.add_argument("--patience", type=float, default=3_600, help="seconds each way")
    given = options.parse_args()
    bursts = shopify_shops("burst", given.requests)
    others = shopify_shops("backfill", given.requests)
    warm = shopify_shops("warm", WARM_UP)
    with sides(given.today, [*warm, *bursts, *others], latency=LATENCY) as both:
        for side in both:
            shops = given.today_requests if side.name == "today" else given.requests
            side.register([*warm, *bursts[:shops], *others[:shops]])
            with side.dev() as dev:
                burst(side, dev, warm, "first", given.patience)
                print(f"{side.name}: {side.checkout}", flush=True)
                requested = burst(side, dev, bursts[:shops], "burst", given.patience)
                print(requested.line("requests"), flush=True)
                backfilled = backfill(side, dev, shops, given.patience)
                print(backfilled.line("backfill"))
                ratio = requested.seconds / backfilled.seconds
                print(f"  requests / backfill: {ratio:.2f} (goal at most {GOAL})", flush=True)


if __name__ == "__main__":
    main()
