"""Measure what a command and a run cost apart from the shops: CPU, wall time, Postgres sessions.

    python bench/fixed_costs.py --today ../base
    python bench/fixed_costs.py --today ../base --rounds 1 --variants 1000 --shops 10    a trial

The checkouts alternate, and each figure is the least of the rounds: CPU seconds of the process and
its children (user and system), and wall seconds from start to exit.

- `--help` and `shops list` (20 registered shops);
- `import connector_pipeline.definitions` beside `import dagster`, and what the first adds;
- `sync` of one Shopify shop of 10,000 variants, 5 to a product, each time a full one. The sandbox
  answers at once, and the shop has the points of a Plus plan, full again before each sync: with
  those of the lowest plan the shop would dictate the time;
- `backfill` of 100 shops of 200 variants without a daemon, so that one process executes the run;
  each round has shops of its own. From this come the CPU per shop, with and without what a
  backfill of one shop costs, and the sessions opened on the Postgres server meanwhile.

Goals, against the older checkout: `--help` and `shops list` at most 0.4 x the CPU, definitions at
most 0.6 x, `sync` at most 0.6 x in CPU and wall time, CPU per shop at most 0.6 x; and at most 40
sessions for 100 shops.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import httpx
import psycopg
from checkouts import Side, Spent, parser, sides
from sandbox_process import shopify_shops

from connector_pipeline.sandbox.shops.spec import ShopSpec

LISTED: Final = 20
PLUS: Final = {"maximum": 20_000, "restore_rate": 1_000}
DEFINITIONS: Final = "import connector_pipeline.definitions"
DAGSTER: Final = "import dagster"


@dataclass(frozen=True, slots=True)
class Goal:
    """At most so much of the older checkout's CPU; of its wall time, too, where `wall`."""

    ratio: float
    wall: bool = False


GOALS: Final = {
    "--help": Goal(0.4),
    "shops list": Goal(0.4),
    DEFINITIONS: Goal(0.6),
    "sync": Goal(0.6, wall=True),
    "backfill": Goal(0.6),
}

Measured = dict[str, dict[str, list[Spent]]]


def sessions(connection: psycopg.Connection) -> int:
    """The sessions that were opened on the server, in all databases, once no more are counted."""
    before = -1
    while True:
        [(count,)] = connection.execute(
            "SELECT sum(sessions)::bigint FROM pg_stat_database"
        ).fetchall()
        if count == before:
            return count
        before = count
        # A session that ends reports itself a moment later.
        time.sleep(1)


def backfill(side: Side, specs: Sequence[ShopSpec]) -> tuple[Spent, int]:
    """Backfill shops in the command's own process. Counts the sessions meanwhile, too."""
    side.register(specs)
    with side.connect() as connection:
        before = sessions(connection)
        spent = side.cli("backfill", "--merchant-id", specs[0].merchant_id)
        opened = sessions(connection) - before
        [(done,)] = connection.execute(
            "SELECT count(*) FROM connector.syncs WHERE status = 'succeeded' "
            "AND merchant_id = %s AND sync_type = 'full'",
            (specs[0].merchant_id,),
        ).fetchall()
    if done != len(specs):
        raise RuntimeError(f"{side.name}: {done} of {len(specs)} shops:\n{spent.output[-2000:]}")
    return spent, opened


def merchant_shops(
    merchant: str, count: int, variants: int, *, of_product: int = 2
) -> list[ShopSpec]:
    """`count` shops of one merchant, of so many variants each."""
    shops = shopify_shops(merchant, count, products=variants // of_product, variants=of_product)
    return [replace(spec, merchant_id=merchant) for spec in shops]


def sync(side: Side, key: str) -> Spent:
    """Sync the shop, whose bucket is full of points."""
    control = side.sandbox_environment["TOKEN_SERVICE_URL"].removesuffix("/token-service")
    httpx.put(
        f"{control}/sandbox/shops/{key}/throttle", json=PLUS, trust_env=False
    ).raise_for_status()
    return side.cli("sync", key, "--type", "full")


def table(measured: Measured) -> None:
    """Print the least of each, and the ratio to the first checkout."""
    print(f"{'':<38}{'side':<7}{'CPU s':>8}{'wall s':>8}{'CPU x':>8}{'wall x':>8}")
    for what, by_side in measured.items():
        first: tuple[float, float] | None = None
        for name, spents in by_side.items():
            cpu, wall = min(each.cpu for each in spents), min(each.wall for each in spents)
            first = first or (cpu, wall)
            ratios = (
                "" if first == (cpu, wall) else f"{cpu / first[0]:>8.2f}{wall / first[1]:>8.2f}"
            )
            goal = GOALS.get(what.split(":")[0])
            if ratios and goal is not None:
                ratios += f"   goal {goal.ratio}{' and wall' if goal.wall else ''}"
            print(f"{what:<38}{name:<7}{cpu:>8.2f}{wall:>8.2f}{ratios}")


def main() -> None:
    """Print the figures of the docstring."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5, help="of the short commands")
    options.add_argument("--long-rounds", type=int, default=3, help="of sync and backfill")
    options.add_argument("--variants", type=int, default=10_000, help="of the shop of `sync`")
    options.add_argument("--shops", type=int, default=100, help="of a backfill")
    given = options.parse_args()
    long_rounds = min(given.rounds, given.long_rounds)
    listed = merchant_shops("listed", LISTED, 2)
    big = merchant_shops("big", 1, given.variants, of_product=5)
    many = [merchant_shops(f"many-{turn}", given.shops, 200) for turn in range(long_rounds)]
    single = [merchant_shops(f"single-{turn}", 1, 200) for turn in range(long_rounds)]
    specs = [*listed, *big, *(spec for group in (*many, *single) for spec in group)]
    key = f"{big[0].platform}/{big[0].domain}"
    opened: defaultdict[str, list[int]] = defaultdict(list)
    measured: Measured = {}
    with sides(given.today, specs, latency=0) as both:

        def alternately(what: str, rounds: int, action: Callable[[Side, int], Spent]) -> None:
            by_side = measured.setdefault(what, {side.name: [] for side in both})
            for turn in range(rounds):
                for side in both:
                    by_side[side.name].append(action(side, turn))
            print(f"measured: {what}", flush=True)

        def backfilled(side: Side, turn: int) -> Spent:
            spent, count = backfill(side, many[turn])
            opened[side.name].append(count)
            return spent

        for side in both:
            side.register([*listed, *big])
            # The first run compiles modules, and makes Dagster's tables and the sandbox's catalog.
            sync(side, key)
        alternately("--help", given.rounds, lambda side, _: side.cli("--help"))
        alternately("shops list", given.rounds, lambda side, _: side.cli("shops", "list"))
        for code in (DAGSTER, DEFINITIONS):
            alternately(
                code, given.rounds, lambda side, _, c=code: side.run([side.python, "-c", c])
            )
        alternately(
            f"sync: {given.variants} variants",
            long_rounds,
            lambda side, _: sync(side, key),
        )
        alternately("one shop", long_rounds, lambda side, turn: backfill(side, single[turn])[0])
        alternately(f"backfill: {given.shops} shops", long_rounds, backfilled)
        table(measured)
        for side in both:
            whole, one = (
                min(spent.cpu for spent in measured[what][side.name])
                for what in (f"backfill: {given.shops} shops", "one shop")
            )
            least = min(opened[side.name])
            print(
                f"{side.name}: CPU ms per shop {1000 * whole / given.shops:.0f}, without the fixed "
                f"costs {1000 * (whole - one) / (given.shops - 1):.0f}; Postgres sessions for "
                f"{given.shops} shops: {least} (goal 40 for 100)"
            )


if __name__ == "__main__":
    main()
