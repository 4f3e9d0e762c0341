"""Simulate from which number of products a bulk operation reads a shop sooner than paging.

    python bench/shopify_bulk_threshold.py

It sends no request. The time of paging follows from the price of the adapter's own queries and the
restore rates of Shopify's plans (https://shopify.dev/docs/api/usage/limits). Shopify publishes
nowhere how long itself takes for a page or a bulk operation: the simulation prints its assumptions
first, and the table has the result for each of them.
"""

import math
from typing import Final

from connector_pipeline.platforms.shopify.bulk.export import BULK_THRESHOLD
from connector_pipeline.platforms.shopify.bulk.operation import BulkPatience
from connector_pipeline.platforms.shopify.cost import requested_cost
from connector_pipeline.platforms.shopify.queries import PRODUCTS

PLANS: Final = {
    "Standard": (2_000, 100),
    "Advanced": (4_000, 200),
    "Plus": (20_000, 1_000),
    "Enterprise": (40_000, 2_000),
}
"""The points in the bucket, and the points restored per second."""

PAGE_OF: Final = 250
VARIANTS: Final = (1, 3, 10, 30)
PAGE_SECONDS: Final = 0.3
PAGE_SECONDS_PER_OBJECT: Final = 0.0004
BULK_START: Final = 20.0
BULK_OBJECTS_PER_SECOND: Final = {"slow": 1_000, "usual": 2_500, "quick": 5_000}
LONGEST_POLL: Final = BulkPatience().longest_interval
BYTES_PER_OBJECT: Final = 350
BYTES_PER_SECOND: Final = 20_000_000
LARGEST_SHOP: Final = 1_000_000


def paging_seconds(products: int, variants: int, plan: str) -> float:
    """Seconds of paging: of the pages in a row, or of their points, if those take longer."""
    pages = math.ceil(products / PAGE_OF)
    bucket, rate = PLANS[plan]
    # Shopify refunds a page down to its real cost, which depends on its number of variants.
    points = pages * requested_cost(PRODUCTS, {"first": PAGE_OF, "variants": variants})
    latency = PAGE_SECONDS + PAGE_SECONDS_PER_OBJECT * PAGE_OF * (1 + variants)
    return max(pages * latency, (points - bucket) / rate)


def bulk_seconds(products: int, variants: int, speed: str) -> float:
    """Seconds of queue and start, the operation itself, half a poll, and the download."""
    objects = products * (1 + variants)
    running = BULK_START + objects / BULK_OBJECTS_PER_SECOND[speed]
    # Each interval is 1.5 times the one before, so that the last is a third of the whole.
    return (
        running
        + min(LONGEST_POLL, running / 3) / 2
        + objects * BYTES_PER_OBJECT / (BYTES_PER_SECOND)
    )


def crossing(variants: int, plan: str, speed: str) -> int | None:
    """The smallest number of products, in whole pages, for which bulk wins, or None."""
    for products in range(PAGE_OF, LARGEST_SHOP + 1, PAGE_OF):
        if bulk_seconds(products, variants, speed) < paging_seconds(products, variants, plan):
            return products
    return None


def main() -> None:
    """Print the assumptions, the crossings, and both times at the threshold."""
    print(
        f"assumed of a page: {PAGE_SECONDS} s and {PAGE_SECONDS_PER_OBJECT * 1000} ms an object;\n"
        f"of a bulk operation: {BULK_START:.0f} s before its first object, then "
        + ", ".join(f"{rate:,} ({name})" for name, rate in BULK_OBJECTS_PER_SECOND.items())
        + f" objects a second;\nof its result: {BYTES_PER_OBJECT} bytes an object at "
        f"{BYTES_PER_SECOND // 1_000_000} MB/s\n"
    )
    print("bulk wins from so many products on ('-': never up to 1,000,000)")
    print(f"{'plan':<11} {'variants':>8} " + "".join(f"{n:>10}" for n in BULK_OBJECTS_PER_SECOND))
    for plan in PLANS:
        for variants in VARIANTS:
            found = [crossing(variants, plan, speed) for speed in BULK_OBJECTS_PER_SECOND]
            cells = "".join(f"{'-' if each is None else f'{each:,}':>10}" for each in found)
            print(f"{plan:<11} {variants:>8} {cells}")
    print(f"\nat the threshold of {BULK_THRESHOLD:,} products, seconds on Standard")
    print(f"{'variants':>8} {'paging':>8} " + "".join(f"{n:>10}" for n in BULK_OBJECTS_PER_SECOND))
    for variants in VARIANTS:
        times = [bulk_seconds(BULK_THRESHOLD, variants, speed) for speed in BULK_OBJECTS_PER_SECOND]
        print(
            f"{variants:>8} {paging_seconds(BULK_THRESHOLD, variants, 'Standard'):>8.0f} "
            + "".join(f"{seconds:>10.0f}" for seconds in times)
        )


if __name__ == "__main__":
    main()
