"""Measure how long one merchant's single request waits behind the work of others.

    python bench/fairness.py --today ../base
    python bench/fairness.py --requests 40 --shops 10 --backfill 40 --patience 60 --today ../base

`connector-pipeline dev` runs. The shops are sandbox shops (Shopify, 20 variants, 50 ms an answer).

- burst: a merchant requests 5,000 syncs (`--requests`) of 500 shops (`--shops`) at once, a second
  later another merchant requests 1;
- backfill: `connector-pipeline backfill` of 1,000 shops (`--backfill`) is under way, its first
  shops published, when a merchant requests 1;
- sweep: the same during a sweep over these shops.

Printed are the seconds from the insert of the one to its end, and the others that ended before it.
A request that has not ended after `--patience` seconds is reported as such, with the work of the
others done until then.
"""

import argparse
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from checkouts import Dev, Side, parser, sides
from sandbox_process import shopify_shops
from syncs import ended, put_requests, wait_for

from connector_pipeline.sandbox.shops.spec import ShopSpec

LATENCY: Final = 0.05
EVERY_MINUTE: Final = "* * * * *"
SCENARIOS: Final = ("burst", "backfill", "sweep")


def one_behind(side: Side, dev: Dev, spec: ShopSpec, others: str, patience: float) -> str:
    """Request one sync, and wait for its end. `others` begins the domains of the others' shops."""
    with side.connect() as connection:
        [(before,)] = connection.execute(_ENDED, [others]).fetchall()
        put_at = put_requests(connection, f"one-{spec.domain}", [spec])
        try:
            done = wait_for(
                lambda: (
                    found
                    if (found := ended(connection, "sync_id", f"one-{spec.domain}-")).total
                    else None
                ),
                patience=patience,
                every=0.1,
                check=dev.check,
            )
        except TimeoutError:
            done = None
        [(after,)] = connection.execute(_ENDED, [others]).fetchall()
    waited = f"more than {patience:.0f} s" if done is None else ""
    if done is not None and done.last is not None:
        waited = f"{(done.last - put_at).total_seconds():.1f} s"
    failed = ", FAILED" if done is not None and done.failed else ""
    return f"waited {waited}{failed}; {after - before} syncs of the others ended meanwhile"


_ENDED: Final = (
    "SELECT count(*) FROM connector.syncs WHERE finished_at IS NOT NULL AND starts_with(domain, %s)"
)


def burst(side: Side, given: argparse.Namespace, one: ShopSpec) -> str:
    """One merchant's many requests, a second before the other merchant's one."""
    shops = shopify_shops("many", given.shops, merchants=1)
    with side.dev() as dev, side.connect() as connection:
        _warm(side, dev)
        asked = [shops[number % len(shops)] for number in range(given.requests)]
        put_requests(connection, "many", asked)
        time.sleep(1)
        return one_behind(side, dev, one, "many-", given.patience)


def backfill(side: Side, given: argparse.Namespace, one: ShopSpec) -> str:
    """One request while a backfill is under way."""
    with side.dev() as dev, _command(side, "backfill", "--merchant-id", "merchant-backfill"):
        _wait_for_others(side, dev, "backfill-", given.patience)
        return one_behind(side, dev, one, "backfill-", given.patience)


def sweep(side: Side, given: argparse.Namespace, one: ShopSpec) -> str:
    """One request while a sweep is under way."""
    with side.connect() as connection:
        # A shop registered after the sweep's time is not due.
        connection.execute("UPDATE connector.shops SET registered_at = now() - interval '1 year'")
    with side.dev(SYNC_CRON=EVERY_MINUTE) as dev:
        _wait_for_others(side, dev, "backfill-", given.patience)
        return one_behind(side, dev, one, "backfill-", given.patience)


def _warm(side: Side, dev: Dev) -> None:
    # A daemon that just started has loops that have not begun.
    with side.connect() as connection:
        put_requests(connection, "warm", [_WARM])
        wait_for(
            lambda: ended(connection, "sync_id", "warm-").total,
            patience=300,
            every=0.5,
            check=dev.check,
        )


def _wait_for_others(side: Side, dev: Dev, domains: str, patience: float) -> None:
    with side.connect() as connection:
        wait_for(
            lambda: ended(connection, "domain", domains).succeeded,
            patience=max(300, patience),
            every=0.2,
            check=dev.check,
        )


@contextmanager
def _command(side: Side, *arguments: str) -> Generator[None]:
    """A command of the side under way. It is killed at the end; its work is the daemon's."""
    process = subprocess.Popen(
        [side.program, *arguments],
        cwd=side.checkout,
        env=side.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


_WARM: Final = shopify_shops("warm", 1)[0]
_ONES: Final = shopify_shops("one", len(SCENARIOS))


def main() -> None:
    """Print the figures of the docstring."""
    options = parser(__doc__)
    options.add_argument("--requests", type=int, default=5_000)
    options.add_argument("--shops", type=int, default=500)
    options.add_argument("--backfill", type=int, default=1_000)
    options.add_argument("--patience", type=float, default=600, help="seconds for the one request")
    options.add_argument("--only", choices=SCENARIOS)
    given = options.parse_args()
    ones = {
        name: replace(one, merchant_id=f"one-{name}")
        for name, one in zip(SCENARIOS, _ONES, strict=True)
    }
    many = shopify_shops("many", given.shops, merchants=1)
    background = [
        replace(spec, merchant_id="merchant-backfill")
        for spec in shopify_shops("backfill", given.backfill)
    ]
    scenarios: dict[str, Callable[[Side, argparse.Namespace, ShopSpec], str]] = {
        "burst": burst,
        "backfill": backfill,
        "sweep": sweep,
    }
    for name, scenario in scenarios.items():
        if given.only not in (None, name):
            continue
        # Each scenario begins with fresh databases: work left over from one would disturb another.
        specs = [_WARM, ones[name], *(many if name == "burst" else background)]
        with sides(given.today, specs, latency=LATENCY) as both:
            for side in both:
                side.register(specs)
                print(f"{name}, {side.name}: {scenario(side, given, ones[name])}", flush=True)


if __name__ == "__main__":
    main()
