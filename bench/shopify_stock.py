"""Compute what it costs to know which of a Shopify shop's variants have tracked stock.

    python bench/shopify_stock.py

It sends no request. Points follow from Shopify's formula (docs/facts/shopify.md, Query cost), the
used ones by the real size of each page; seconds are the time until the last query can be sent from
a full bucket of 2,000 points that restores 100 a second, if all else takes no time. The shops have
30,000 variants; the ways:

- not asked: the page as it was before, `inventoryQuantity` alone
- inline: `inventoryItem { tracked }` in the same page, variants nested by 250
- inline, 148: the same, nested by 148
- afterwards, flat: pages of 250 of `productVariants { id inventoryItem { tracked } }`
- afterwards, by id: `nodes` of 100 variants each, with `inventoryItem { tracked }`
- search: `inventoryItems(query: "tracked:false") { variant { id } }`, which lists the untracked
  ones alone, here one in twenty. It is not exact: Shopify's search lags behind its products.
"""

import math
from dataclasses import dataclass
from typing import Final

VARIANTS: Final = 30_000
MAXIMUM, RATE = 2_000, 100
UNTRACKED: Final = VARIANTS // 20
SHAPES: Final = (1, 3, 10, 30, 100)
"""Variants of each product."""


@dataclass(frozen=True, slots=True)
class Query:
    """The points of one query."""

    requested: int
    used: int


def factor(size: int) -> int:
    """The number by which a page multiplies the cost of its children."""
    return math.floor(2 * math.log(max(2, size)))


def products(of_each: int, *, nested: int, objects: int) -> list[Query]:
    """Pages of 250 products; a variant costs so many `objects`."""
    count = VARIANTS // of_each
    queries: list[Query] = []
    for start in range(0, count, 250):
        there = min(250, count - start)
        asked = 2 + (6 + objects * factor(nested)) * factor(250)
        used = 2 + (6 + objects * factor(min(nested, of_each))) * factor(there)
        queries.append(Query(asked, used))
    return queries


def flat(count: int) -> list[Query]:
    """Pages of 250 objects with one object in each."""
    return [
        Query(2 + 2 * factor(250), 2 + 2 * factor(min(250, count - start)))
        for start in range(0, count, 250)
    ]


def by_id() -> list[Query]:
    """Questions for 100 variants and their inventory items each."""
    return [Query(200, 200)] * math.ceil(VARIANTS / 100)


def seconds(queries: list[Query]) -> float:
    """The time until the last query can be sent."""
    at, held = 0.0, float(MAXIMUM)
    for query in queries:
        wait = max(0.0, (query.requested - held) / RATE)
        at, held = at + wait, min(MAXIMUM, held + wait * RATE) - query.used
    return at


def main() -> None:
    """Print a table for each shape of a shop."""
    for of_each in SHAPES:
        before = products(of_each, nested=250, objects=2)
        ways = {
            "not asked": before,
            "inline": products(of_each, nested=250, objects=3),
            "inline, 148": products(of_each, nested=148, objects=3),
            "afterwards, flat": before + flat(VARIANTS),
            "afterwards, by id": before + by_id(),
            "search (not exact)": before + flat(UNTRACKED),
        }
        print(f"{VARIANTS // of_each:,} products of {of_each} variants")
        for name, queries in ways.items():
            used = sum(query.used for query in queries)
            print(
                f"  {name:<20} {len(queries):>4} requests  {used:>7,} points"
                f"  {seconds(queries):>7.1f} s"
            )


if __name__ == "__main__":
    main()
