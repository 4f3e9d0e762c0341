"""Many small shops at once, and one shop as it grows: parts of bench/table.py."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import httpx
from checkouts import Side
from sandbox_process import shopify_shops
from table_report import Report
from table_ways import Ours, Programs, key

from connector_pipeline.sandbox.shops.spec import ShopSpec

PRODUCTS: Final = 10
VARIANTS: Final = 2
OURS, LOOP, TOGETHER = "ours, `backfill`", "dlt, a run a shop", "dlt, all in one run"
ALL: Final = "first sync of all"
PLENTY: Final = {"maximum": 10_000_000, "restore_rate": 1_000_000}
GROWING: Final = "one shop as it grows, no latency, points aplenty"


def many_shops(prefix: str, count: int) -> list[ShopSpec]:
    """Shops of 20 variants of one merchant; every second one is a WooCommerce shop."""
    return [
        replace(
            spec,
            merchant_id=prefix,
            **(
                {}
                if number % 2
                else {"platform": "woocommerce", "domain": f"{prefix}-{number}.example"}
            ),
        )
        for number, spec in enumerate(
            shopify_shops(prefix, count, products=PRODUCTS, variants=VARIANTS)
        )
    ]


class ManyShops:
    """So many shops by each way, each with shops of its own."""

    def __init__(self, counts: Sequence[int], *, loop_up_to: int):
        self._loop_up_to = loop_up_to
        self.groups = {
            (way, count): many_shops(f"many-{way}-{count}", count)
            for count in (1, *counts)
            for way in (("ours",) if count == 1 else ("ours", "loop", "together"))
        }
        self.counts = counts

    def specs(self) -> list[ShopSpec]:
        return [spec for group in self.groups.values() for spec in group]

    def ours(self) -> list[ShopSpec]:
        """Those that are to be registered."""
        return [spec for (way, _), group in self.groups.items() if way == "ours" for spec in group]

    def measure(self, ours: Ours, programs: Programs, report: Report, *, with_dlt: bool) -> None:
        """Add a row for each way and number, and our CPU per shop."""
        cpu: dict[int, float] = {}
        for count in (1, *self.counts):
            title = f"{count} shops of {PRODUCTS * VARIANTS} variants"
            group = self.groups["ours", count]
            wanted = count * PRODUCTS * VARIANTS
            found = ours.backfill(group, ours.seen(group, wanted))
            cpu[count] = found.cpu
            if count > 1:
                report.add(title, ALL, OURS, [found])
                report.figure(
                    f"CPU ms per shop, {count} shops, without the fixed costs of one",
                    1000 * (cpu[count] - cpu[1]) / (count - 1),
                )
            if count == 1 or not with_dlt:
                continue
            for way, name in (("loop", LOOP), ("together", TOGETHER)):
                if way == "loop" and count > self._loop_up_to:
                    continue
                shops = [
                    (spec, "pages" if spec.platform == "shopify" else "root")
                    for spec in self.groups[way, count]
                ]
                took = programs.dlt(
                    shops, programs.new_dataset(), wanted=wanted, together=way == "together"
                )
                report.add(title, ALL, name, [took])


def growing_shops(sizes: Sequence[int], rounds: int) -> dict[int, list[ShopSpec]]:
    """Shopify shops of so many variants, ten to a product; the largest ones only once."""
    return {
        size: shopify_shops(
            f"grown-{size}", rounds if size <= 10_000 else 1, products=size // 10, variants=10
        )
        for size in sizes
    }


def measure_growth(side: Side, shops: dict[int, list[ShopSpec]], report: Report) -> None:
    """Sync each size by `sync`, and fit exponents of time and memory.

    The time's exponent is fitted twice: of the whole, and without the time of the smallest shop,
    which is mostly start; the second is the stricter one.
    """
    ours = Ours(side)
    origin = side.sandbox_environment["TOKEN_SERVICE_URL"].removesuffix("/token-service")
    for size, specs in shops.items():
        tooks = []
        for spec in specs:
            url = f"{origin}/sandbox/shops/{key(spec)}/throttle"
            httpx.put(url, json=PLENTY, trust_env=False, timeout=300).raise_for_status()
            tooks.append(ours.command(spec, "full", ours.seen([spec], size), {}))
        report.add(GROWING, f"{size:,} variants", "ours, `sync`", tooks)
    rows = [row for row in report.rows if row.part == GROWING]
    sizes = list(shops)
    times = [row.exit or 0.0 for row in rows]
    if len(sizes) < 2:
        return
    report.figure("exponent of the time", exponent(sizes, times))
    if len(sizes) > 2:
        grown = [time - times[0] for time in times[1:]]
        more = [size - sizes[0] for size in sizes[1:]]
        report.figure("exponent of the time without the smallest shop's", exponent(more, grown))
    report.figure("exponent of the memory", exponent(sizes, [row.peak or 0.0 for row in rows]))
    for (small, large), (first, last) in zip(pairwise(sizes), pairwise(rows), strict=True):
        report.figure(
            f"CPU µs per variant between {small:,} and {large:,}",
            1e6 * ((last.cpu or 0.0) - (first.cpu or 0.0)) / (large - small),
        )


def exponent(sizes: Sequence[int], figures: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms, by least squares."""
    across = [math.log(size) for size in sizes]
    # A figure that noise made negative would have no logarithm.
    up = [math.log(max(figure, 1e-6)) for figure in figures]
    mean_across, mean_up = sum(across) / len(across), sum(up) / len(up)
    return sum((x - mean_across) * (y - mean_up) for x, y in zip(across, up, strict=True)) / sum(
        (x - mean_across) ** 2 for x in across
    )
