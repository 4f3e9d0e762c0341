"""One table of speed: this project, the original's shape, dlt at its best, and the bound.

    make bench                                  under 15 minutes on two quiet cores
    make bench-full                             with 1,000 shops and a shop of 1,000,000 variants
    python bench/table.py --products 50 --shops 6 --sizes 1000 3000 --rounds 1     a trial

All ways read the same sandbox and write to the same Postgres server on this machine, in one call,
so their ratios are comparable and their seconds are this machine's. The parts:

- one shop of 2,000 products with five variants each, 50 ms a request, by each route of each
  platform: first sync; everything read again, unchanged and with 1 % of the prices changed; and our
  increment. Ours is measured as a run that `dev` launches with the default launcher, when it has
  run before, and as `connector-pipeline sync`. The original's shape and dlt are programs of their
  own (bench/original_shape.py, bench/dlt_pipeline.py); dlt has its own environment
  (bench/dlt_environment.py). dlt has no increment here, since it could then not see deletions. Its
  fastest way has code of its own for requests, threads and Arrow tables; its REST source
  (bench/dlt_declared.py) is what its documentation begins with. The targets are judged by both;
- 100 shops of 20 variants: our `backfill` without a daemon, dlt by a run a shop, and by one run;
- one shop of 1,000 to 100,000 variants at no latency: exponents of time and memory, CPU a variant;
- the seconds from a sync request, and from a webhook, to readable rows.

Prints Markdown, and writes it and JSON to the folder of --out. A part that is left out (--parts)
leaves its targets unjudged. The exit status is 0 whether or not targets are met.
"""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from checkouts import sides
from dlt_environment import dlt_python
from sandbox_process import shopify_shops
from table_latency import hinted_shops, measure_latency, requested_shops
from table_many import (
    ALL,
    GROWING,
    LOOP,
    OURS,
    PRODUCTS,
    TOGETHER,
    VARIANTS,
    ManyShops,
    growing_shops,
    measure_growth,
)
from table_report import Report, Target, as_json, as_markdown, this_machine
from table_shop import COMMAND, DECLARED, DLT, FIRST, ORIGINAL, ROUTES, WARM, OneShop, Shops
from table_ways import Ours, Programs

LATENCY: Final = 0.05
STATUSES: Final = "publish,draft,pending,private,future"
"""All that WooCommerce's word `any`, which dlt's program sends, stands for."""
PARTS: Final = ("shop", "many", "growth", "latency")


def targets(report: Report, counts: Sequence[int]) -> list[Target]:
    """What a table is to show, with the figures of this one."""
    titles = {route.name: route.title for route in ROUTES}
    found: list[Target] = []

    def against_dlt(name: str, readable: float, to_exit: float, cpu: float) -> None:
        title = titles[name]
        for column, words, limit in (
            ("readable", "to readable rows", readable),
            ("exit", "to exit", to_exit),
            ("cpu", "CPU", cpu),
        ):
            for other in (DLT, DECLARED):
                for way in (WARM, COMMAND):
                    ratio = report.ratio(title, FIRST, way, other, column)
                    found.append(Target(f"{title}: {way} / {other}, {words}", ratio, limit))

    against_dlt("root", 0.4, 0.5, 0.8)
    against_dlt("pages", 0.6, 0.8, 1.0)
    for count in counts:
        title = f"{count} shops of {PRODUCTS * VARIANTS} variants"
        for way, limit in ((LOOP, 0.12), (TOGETHER, 0.4)):
            ratio = report.ratio(title, ALL, OURS, way)
            found.append(Target(f"{title}: {OURS} / {way}, to exit", ratio, limit))
    found.append(
        Target(
            f"{titles['root']}: {ORIGINAL} / {WARM}, to exit",
            report.ratio(titles["root"], FIRST, ORIGINAL, WARM),
            50,
            at_least=True,
        )
    )
    million = next(
        (row for row in report.rows if (row.part, row.step) == (GROWING, "1,000,000 variants")),
        None,
    )
    found += [
        Target("1,000,000 variants in one shop, no latency", million and million.exit, 90, "s"),
        Target("the same, memory", million and million.peak, 300, "MB"),
    ]
    for name, limit, unit in (
        ("exponent of the time", 1.05, "x"),
        ("exponent of the time without the smallest shop's", 1.05, "x"),
        ("exponent of the memory", 0.05, "x"),
    ):
        found.append(Target(name, report.figures.get(name), limit, unit))
    for route in ROUTES:
        for name, limit, unit in (("catalog rows written", 0, "rows"), ("MB of WAL", 0.3, "MB")):
            name = f"unchanged, {route.title}: {name}"
            found.append(Target(name, report.figures.get(name), limit, unit))
    return found


def measure(given: argparse.Namespace, report: Report) -> None:
    """Measure the parts that were asked for."""
    python = None if given.without_dlt else dlt_python()
    with_dlt = python is not None
    routes = [route for route in ROUTES if route.name in given.routes]
    shops = Shops(routes, given.products, given.original_products, given.rounds)
    many = ManyShops(given.shops, loop_up_to=given.loop_up_to)
    [warm_up] = shopify_shops("warm", 1)
    requested, hinted = requested_shops(given.requests), hinted_shops(given.hinted)
    served = [warm_up]
    registered = [warm_up]
    if "shop" in given.parts:
        served += shops.specs()
        registered += shops.specs()
    if "many" in given.parts:
        served += many.specs()
        registered += many.ours()
    if "latency" in given.parts:
        # The sandbox changes prices in the shops that it has first.
        served = [*hinted, *served, *requested]
        registered += [*requested, *hinted]
    with sides(None, served, latency=LATENCY, WOOCOMMERCE_STATUSES=STATUSES) as [side]:
        with side.connect() as connection:
            report.environment = this_machine(connection, python)
        programs = Programs(side, python)
        side.register(registered)
        if "shop" in given.parts:
            OneShop(side, shops, programs, report, LATENCY).measure(warm_up, with_dlt=with_dlt)
        if "many" in given.parts:
            many.measure(Ours(side), programs, report, with_dlt=with_dlt)
        if "latency" in given.parts:
            measure_latency(side, requested, hinted, report, changes=given.changes)
    if "growth" in given.parts:
        grown = growing_shops(given.sizes, given.rounds)
        specs = [spec for group in grown.values() for spec in group]
        with sides(None, specs, latency=0) as [side]:
            side.register(specs)
            measure_growth(side, grown, report)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="1,000 shops and 1,000,000 variants")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    names = [route.name for route in ROUTES]
    parser.add_argument("--routes", nargs="+", choices=names, default=names)
    parser.add_argument("--products", type=int, default=2_000, help="of the one shop")
    parser.add_argument("--original-products", type=int, default=100, help="read by the original")
    parser.add_argument("--shops", type=int, nargs="+", default=[100])
    parser.add_argument("--loop-up-to", type=int, default=100, help="shops of dlt's run a shop")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--requests", type=int, default=5)
    parser.add_argument("--hinted", type=int, default=10, help="shops whose prices change")
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--without-dlt", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for table.md and table.json")
    given = parser.parse_args()
    if given.full:
        given.shops = [*given.shops, 1_000]
        given.sizes = [*given.sizes, 1_000_000]
        given.loop_up_to = 1_000
    return given


def main() -> None:
    """Measure, print and write."""
    given = options()
    random.seed(given.seed)
    began = time.monotonic()
    size = {
        "products": given.products,
        "shops": given.shops,
        "variants of the growing shop": given.sizes,
        "rounds": given.rounds,
        "latency": LATENCY,
    }
    report = Report(size)
    measure(given, report)
    report.figure("minutes of this call", (time.monotonic() - began) / 60)
    judged = targets(report, given.shops)
    print()
    print(as_markdown(report, judged))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "table.md").write_text(as_markdown(report, judged))
        (given.out / "table.json").write_text(as_json(report, judged) + "\n")


if __name__ == "__main__":
    main()
