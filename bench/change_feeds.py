"""Compare looks at change feeds with sweeps alone: requests of shops, and how fresh they are.

    python bench/change_feeds.py                     10,000 shops, a day by a clock of its own
    python bench/change_feeds.py --real --seconds 120   200 sandbox shops, real looks

The first part has no shop, but the functions by which the sensor decides: `after_its_sync`,
`after_a_look`, `Pacing`, `Quota`. Of 10,000 shops 2 % change in an hour, on the average:

- even: every shop as often, at any time, so that there is nothing to learn;
- uneven: a few shops often and most hardly ever (log-normal rates, sigma 2);
- sessions: as uneven, and each change begins half an hour of changes every four minutes.

The first day is for learning, and the second is measured. A change is known at the next look or
sweep. The shops' looks are spread evenly for `fixed`, and by the sensor's own rules for `adaptive`.

The second part ticks the real sensor with an embedded Postgres, over 100 Shopify and 100
WooCommerce shops of the sandbox, which is a process of its own. All looks are due at each tick, and
a tenth of the shops have changed.
"""

import argparse
import heapq
import os
import random
import statistics
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import exp, log
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from dagster import build_sensor_context
from sandbox_process import sandbox
from sensor_ticks import instance

from connector_pipeline.automation.change_feeds import change_feeds
from connector_pipeline.automation.look_pacing import Pacing, after_a_look, after_its_sync
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.hint import Hint
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.webhooks import Changes
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.state.change_looks import DueShop
from connector_pipeline.state.look_distances import (
    FIRST_RATE,
    Quota,
    price_of_a_look,
    wanted_rate,
)
from connector_pipeline.state.registry import ShopRegistry

DUE: Final = "UPDATE connector.change_looks SET look_at = now(), looked_at = now()"
BEGIN: Final = datetime(2026, 11, 28, tzinfo=UTC)
TICK: Final = timedelta(seconds=30)
EVERY: Final = timedelta(minutes=5)
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
CHANGING: Final = 0.02
SHOP: Final = Shop(
    merchant_id="m", platform_name="shopify", platform_shop_id="1", domain="a.myshopify.com"
)


@dataclass(slots=True)
class Simulated:
    """One shop: when it changes, up to where its changes are known, and what the sensor knows."""

    changes: list[datetime]
    first_sweep: datetime
    known_to: datetime = BEGIN
    swept: datetime = BEGIN
    due: DueShop = field(
        default_factory=lambda: DueShop(
            SHOP, None, None, BEGIN, FIRST_RATE, 0, BEGIN, False, False, None
        )
    )


@dataclass(slots=True)
class Result:
    """The delays of the second day's changes, in minutes, and the requests of its looks."""

    delays: list[float] = field(default_factory=list[float])
    looks: int = 0
    sweeps: int = 0
    seconds: float = 0.0


def world(kind: str, shops: int, rng: random.Random) -> list[list[datetime]]:
    """When each shop changes in two days; in an hour CHANGING of the shops do, on the average."""
    # How many shops change in an hour: a share of 1 - exp(-rate) of those of each rate.
    weights = [1.0 if kind == "even" else rng.lognormvariate(0, 2) for _ in range(shops)]
    low, high = 1e-9, 1e3
    while high / low > 1.0001:
        middle = (low * high) ** 0.5
        share = statistics.fmean(1 - exp(-middle * weight) for weight in weights)
        low, high = (low, middle) if share > CHANGING else (middle, high)
    made: list[list[datetime]] = []
    for weight in weights:
        at, times = BEGIN, list[datetime]()
        while True:
            at += HOUR * rng.expovariate(weight * high)
            if at > BEGIN + 2 * DAY:
                break
            times.append(at)
            if kind == "sessions":
                times += [at + timedelta(minutes=4 * each) for each in range(1, 8)]
        made.append(sorted(times))
    return made


def simulated(
    changes: Sequence[list[datetime]], *, per_minute: int, sweeps: timedelta, way: str
) -> Result:
    """Two days of these shops; `way` is none, fixed or adaptive."""
    result, began = Result(), time.process_time()
    shops = [
        Simulated(times, BEGIN + sweeps * number / len(changes))
        for number, times in enumerate(changes)
    ]

    def learn(shop: Simulated, at: datetime) -> list[datetime]:
        found = shop.changes[
            bisect_right(shop.changes, shop.known_to) : bisect_right(shop.changes, at)
        ]
        shop.known_to = max(shop.known_to, at)
        if at > BEGIN + DAY:
            result.delays += [
                (at - each) / timedelta(minutes=1) for each in found if each > BEGIN + DAY
            ]
        return found

    def sweep(shop: Simulated, until: datetime) -> None:
        """The sweeps of the shop up to a time."""
        while (at := max(shop.first_sweep, shop.swept + sweeps)) <= until:
            changed = bool(learn(shop, at))
            shop.swept = at
            shop.due = replace(shop.due, synced_at=at, sync_changed=changed)
            result.sweeps += at > BEGIN + DAY

    for shop in shops:
        shop.swept = shop.first_sweep - sweeps
    if way != "none":
        _look(shops, result, learn, sweep, per_minute=per_minute, sweeps=sweeps, way=way)
    for shop in shops:
        sweep(shop, BEGIN + 2 * DAY)
        learn(shop, BEGIN + 2 * DAY)
    result.seconds = time.process_time() - began
    return result


def _look(
    shops: list[Simulated],
    result: Result,
    learn: Callable[[Simulated, datetime], list[datetime]],
    sweep: Callable[[Simulated, datetime], None],
    *,
    per_minute: int,
    sweeps: timedelta,
    way: str,
) -> None:
    """Tick for two days."""
    quota, now, tick = Quota(per_minute), BEGIN, 0
    fixed = timedelta(minutes=len(shops) / per_minute)
    heap = [
        (BEGIN + (fixed if way == "fixed" else EVERY) * number / len(shops), number)
        for number in range(len(shops))
    ]
    heapq.heapify(heap)
    pacing = Pacing(1.0, EVERY, sweeps)
    while now < BEGIN + 2 * DAY:
        now, tick = now + TICK, tick + 1
        if tick % 10 == 1:
            rates = Counter(
                wanted_rate(
                    exp(round(log(max(each.due.changes_an_hour, 0.001)) * 20) / 20),
                    has_webhooks=False,
                )
                for each in shops
            )
            price = price_of_a_look(rates, per_minute=per_minute, every=EVERY, sweeps=sweeps)
            pacing = Pacing(price, EVERY, sweeps)
        while heap and heap[0][0] <= now:
            look_at, number = heap[0]
            shop = shops[number]
            sweep(shop, now)
            if way == "adaptive":
                synced = after_its_sync(shop.due, pacing)
                if synced is not None:
                    shop.due = replace(
                        shop.due, looked_at=synced.looked_at, changes_an_hour=synced.changes_an_hour
                    )
                    if synced.look_at > now:
                        heapq.heapreplace(heap, (synced.look_at, number))
                        continue
            if not quota.take(now):
                break
            result.looks += now > BEGIN + DAY
            found = learn(shop, now)
            if way == "fixed":
                heapq.heapreplace(heap, (look_at + fixed, number))
                continue
            hints = [Hint("changed", str(place), each) for place, each in enumerate(found)]
            look = after_a_look(shop.due, Changes(hints, ""), hints, pacing, now)
            shop.due = replace(
                shop.due, looked_at=look.looked_at, changes_an_hour=look.changes_an_hour
            )
            heapq.heapreplace(heap, (look.look_at, number))


def compare(shops: int, per_minute: int) -> None:
    """Print a table of the ways, in each world, with sweeps every hour and once a day."""
    print(f"{shops} shops, {per_minute} looks a minute at most; delays in minutes")
    heading = "world", "sweeps", "looks", "changes", "looks/shop/h", "median", "p90", "p99", "mean"
    row = "{:<9} {:<7} {:<9} {:>8} {:>13} {:>7} {:>7} {:>7} {:>7}"
    print(row.format(*heading))
    for kind in ("even", "uneven", "sessions"):
        changes = world(kind, shops, random.Random(17))
        for sweeps in (HOUR, DAY):
            for way in ("none", "fixed", "adaptive"):
                found = simulated(changes, per_minute=per_minute, sweeps=sweeps, way=way)
                cuts = statistics.quantiles(found.delays, n=100)
                print(
                    row.format(
                        kind,
                        f"{sweeps / HOUR:.0f} h",
                        way,
                        len(found.delays),
                        f"{found.looks / shops / 24:.2f}",
                        *(f"{each:.1f}" for each in (cuts[49], cuts[89], cuts[98])),
                        f"{statistics.fmean(found.delays):.1f}",
                    ),
                    flush=True,
                )


def real(shops: int, seconds: float) -> None:
    """Tick the sensor for so long over real looks, and print what they cost."""
    specs = list(_specs(shops))
    edited = {spec.domain: list(SandboxShop(spec).product_ids()) for spec in specs}
    with (
        tempfile.TemporaryDirectory(prefix="connector-") as name,
        sandbox(specs, latency=0) as settings,
        httpx.Client(base_url=_origin(settings["TOKEN_SERVICE_URL"]), trust_env=False) as control,
    ):
        home = Path(name)
        home.chmod(0o711)
        with instance(home) as (dagster, database):
            os.environ.update(settings, CHANGE_LOOKS_PER_MINUTE="60000")
            _register(database, specs)
            resources = {
                "database": database,
                "token_service": TokenService(url=settings["TOKEN_SERVICE_URL"]),
            }

            def tick() -> int:
                """Tick once; return how many shops were looked at."""
                with build_sensor_context(instance=dagster, resources=resources) as context:
                    said = str(getattr(change_feeds(context), "skip_message", ""))
                return int(said.partition("due; ")[2].split()[0])

            # The first look of each shop, at which nothing has changed.
            tick()
            _execute(database, DUE)
            tick()
            _execute(database, DUE)
            control.delete("/sandbox/requests")
            rng, looks, spent, longest = random.Random(17), 0, 0.0, 0.0
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                for spec in rng.sample(specs, shops // 10):
                    product_id = rng.choice(edited[spec.domain])
                    control.patch(
                        f"/sandbox/shops/{spec.platform}/{spec.domain}/products/{product_id}",
                        json={},
                    ).raise_for_status()
                cpu, wall = time.process_time(), time.monotonic()
                looks += tick()
                spent += time.process_time() - cpu
                longest = max(longest, time.monotonic() - wall)
                _execute(database, "UPDATE connector.hints SET gathered_at = now()")
                _execute(database, DUE)
            counts = control.get("/sandbox/requests").json()["shops"]
            hints = _execute(database, "SELECT count(*) FROM connector.hints")
    for service in sorted({key.partition("/")[0] for key in counts}):
        number = sum(each["count"] for key, each in counts.items() if key.startswith(f"{service}/"))
        print(f"requests to {service}: {number}, {number / looks:.2f} a look")
    print(
        f"{looks} looks, {1000 * spent / looks:.1f} ms of CPU each; {hints} hints; the longest "
        f"tick, of {shops} looks, took {longest:.1f} s"
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _register(database: Database, specs: Sequence[ShopSpec]) -> None:
    registry = ShopRegistry(database=database)
    for spec in specs:
        registry.add(
            Shop(
                merchant_id="m",
                platform_name=spec.platform,
                platform_shop_id=spec.platform_shop_id,
                domain=spec.domain,
            )
        )
    _execute(
        database,
        "UPDATE connector.shops SET last_successful_sync_at = now();"
        "INSERT INTO connector.change_looks (platform_name, domain, look_at, looked_at)"
        " SELECT platform_name, domain, now(), clock_timestamp() FROM connector.shops",
    )


def _specs(shops: int) -> Iterator[ShopSpec]:
    for number in range(shops):
        of_woo = number % 2
        yield ShopSpec(
            platform="woocommerce" if of_woo else "shopify",
            domain=f"s{number}.example" if of_woo else f"s{number}.myshopify.com",
            merchant_id="m",
            platform_shop_id=str(number),
            products=50,
            variants=(0, 3) if of_woo else (1, 3),
            seed=number + 1,
            awkward=False,
        )


def _execute(database: Database, statement: str) -> int:
    with database.connect() as connection:
        found = connection.execute(statement.encode())
        return 0 if found.description is None else found.fetchall()[0][0]


def main() -> None:
    """Run one of the two parts."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shops", type=int)
    options.add_argument("--per-minute", type=int, default=60)
    options.add_argument("--real", action="store_true")
    options.add_argument("--seconds", type=float, default=120)
    given = options.parse_args()
    if given.real:
        real(given.shops or 200, given.seconds)
    else:
        compare(given.shops or 10_000, given.per_minute)


if __name__ == "__main__":
    main()
