"""One large shop by each route of each platform: the first part of bench/table.py.

Every way has a shop of its own of the same catalog. A shop is read once before anything is timed,
so that the sandbox has generated its catalog; Shopify's bucket is full before each sync.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

import httpx
from checkouts import Side
from publish import copy_bare
from table_report import Report, Row
from table_ways import Ours, Programs, Took, WarmRuns, key

from connector_pipeline.model.catalog_item import ITEM_COLUMNS
from connector_pipeline.platforms.shopify.queries import PRODUCTS
from connector_pipeline.sandbox.shops.spec import ShopSpec

VARIANTS: Final = 5
AT_ONCE: Final = 4
"""WOOCOMMERCE_MAX_CONCURRENCY as shipped."""
BUCKET: Final = {"maximum": 2_000, "restore_rate": 100}
"""The points of a standard plan, which the sandbox has by default."""
FIRST, UNCHANGED, CHANGED, INCREMENT = (
    "first sync",
    "unchanged, all read again",
    "1 % changed, all read again",
    "1 % changed, increment",
)
WARM, COMMAND, DLT, DECLARED, ORIGINAL, BOUND = (
    "ours, a run in `dev`",
    "ours, `sync`",
    "dlt, its fastest",
    "dlt, its REST source",
    "the original's shape",
    "bound",
)
BY_COMMAND: Final = "command"
BY_RUN: Final = "warm"
BY_DLT: Final = "dlt"
BY_DECLARED: Final = "declared"
DECLARABLE: Final = ("root", "pages")
"""Routes that dlt's REST source can be given without code of one's own for requests."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way to read a platform. `settings` make the project choose it."""

    name: str
    title: str
    platform: str
    settings: tuple[tuple[str, str], ...] = ()

    def spec(self, of: str, products: int) -> ShopSpec:
        """A shop of this route, for one way and round."""
        suffix = ".myshopify.com" if self.platform == "shopify" else ".example"
        spec = ShopSpec(
            platform="shopify" if self.platform == "shopify" else "woocommerce",
            domain=f"{self.name}-{of}{suffix}",
            merchant_id=f"one-{self.name}",
            platform_shop_id=f"{self.name}-{of}",
            products=products,
            variants=(VARIANTS, VARIANTS),
            awkward=False,
        )
        if self.name == "parents":
            return replace(spec, root_variations=False, analytics_variations=False)
        return spec


ROUTES: Final = (
    Route("root", "WooCommerce, list of all variations", "woocommerce"),
    Route("parents", "WooCommerce, variations of each product", "woocommerce"),
    Route("pages", "Shopify, pages", "shopify"),
    Route("bulk", "Shopify, bulk operation", "shopify", (("SHOPIFY_BULK_THRESHOLD", "1"),)),
)


class Shops:
    """The shops of this part, and what the sandbox does with them."""

    def __init__(self, routes: Sequence[Route], products: int, original_products: int, rounds: int):
        self.routes, self.products, self.rounds = routes, products, rounds
        self.original_products = min(original_products, products)

    def rounds_of(self, route: Route) -> int:
        """One alone for routes without a target."""
        return self.rounds if route.name in ("root", "pages") else 1

    def spec(self, route: Route, way: str, turn: int) -> ShopSpec:
        return route.spec(f"{way}-{turn}", self.products)

    def original(self, route: Route) -> ShopSpec:
        """A smaller shop on WooCommerce, where the original takes ten minutes for all of it."""
        products = self.original_products if route.platform == "woocommerce" else self.products
        return route.spec("original", products)

    def specs(self) -> list[ShopSpec]:
        """All of them."""
        ways = (BY_COMMAND, BY_RUN, BY_DLT)
        return [
            *(
                self.spec(route, way, turn)
                for route in self.routes
                for way in ways
                for turn in range(self.rounds_of(route))
            ),
            *(
                spec
                for route in self.routes
                if route.name in DECLARABLE
                for spec in (self.original(route), self.spec(route, BY_DECLARED, 0))
            ),
        ]


class Controls:
    """The sandbox's controls, by HTTP."""

    def __init__(self, side: Side):
        origin = side.sandbox_environment["TOKEN_SERVICE_URL"].removesuffix("/token-service")
        self._http = httpx.Client(base_url=origin, timeout=300, trust_env=False)

    def prepare(self, spec: ShopSpec) -> None:
        """Fill the bucket of a Shopify shop."""
        if spec.platform == "shopify":
            self._http.put(f"/sandbox/shops/{key(spec)}/throttle", json=BUCKET).raise_for_status()

    def variants(self, spec: ShopSpec) -> list[str]:
        """Ids of all variants whose product is public."""
        found = self._http.get(f"/sandbox/shops/{key(spec)}/expected").raise_for_status().json()
        return [row["variant_id"] for row in found]

    def reprice(self, spec: ShopSpec, variants: Sequence[str], price: str) -> None:
        """Give these variants this price."""
        for variant in variants:
            path = f"/sandbox/shops/{key(spec)}/variants/{variant}"
            self._http.patch(path, json={"price": price}).raise_for_status()

    def points_of_a_page(self, spec: ShopSpec) -> tuple[float, float]:
        """What a page of 250 products requests and uses."""
        tokens = f"/token-service/api/v1/tokens/{key(spec)}"
        answer = self._http.get(tokens, headers={"X-Correlation-ID": "bench"}).raise_for_status()
        page = self._http.post(
            f"/shopify/{spec.domain}/admin/api/2026-07/graphql.json",
            json={"query": PRODUCTS, "variables": {"first": 250, "variants": 250}},
            headers={"X-Shopify-Access-Token": answer.json()["data"]["access_token"]},
        )
        cost = page.raise_for_status().json()["extensions"]["cost"]
        return cost["requestedQueryCost"], cost["actualQueryCost"]


class OneShop:
    """Measures all routes and adds their rows to the report."""

    def __init__(
        self, side: Side, shops: Shops, programs: Programs, report: Report, latency: float
    ):
        self._side, self._shops, self._programs = side, shops, programs
        self._report, self._latency = report, latency
        self._ours, self._controls = Ours(side), Controls(side)
        self._prices = 0

    def measure(self, warm_up: ShopSpec, *, with_dlt: bool) -> None:
        """All routes, one after the other; the ways alternate within each round."""
        for route in self._shops.routes:
            took: dict[tuple[str, str], list[Took]] = {}
            print(f"{route.title}:", end="", file=sys.stderr, flush=True)
            with self._side.dev(**dict(route.settings)) as dev:
                warm = WarmRuns(self._side, dev)
                warm.warm(warm_up)
                for turn in range(self._shops.rounds_of(route)):
                    self._runs(route, warm, turn, took)
            # Without `dev`, whose processes would take part of the machine from a command.
            for turn in range(self._shops.rounds_of(route)):
                self._commands(route, turn, took)
                if with_dlt:
                    self._dlt(route, turn, took)
            if with_dlt and route.name in DECLARABLE:
                self._declared(route, took)
            print(file=sys.stderr, flush=True)
            for (step, way), tooks in sorted(took.items(), key=_order):
                self._report.add(route.title, step, way, tooks)
            self._bound(route)
        self._originals()

    def _runs(
        self, route: Route, warm: WarmRuns, turn: int, took: dict[tuple[str, str], list[Took]]
    ) -> None:
        spec = self._shops.spec(route, BY_RUN, turn)
        for step, kind, price, wanted in self._steps(route, BY_RUN, spec):
            seen = None if wanted is None else self._ours.seen([spec], wanted, price)
            self._controls.prepare(spec)
            took.setdefault((step, WARM), []).append(warm.run(spec, kind, seen))

    def _commands(self, route: Route, turn: int, took: dict[tuple[str, str], list[Took]]) -> None:
        spec = self._shops.spec(route, BY_COMMAND, turn)
        for step, kind, price, wanted in self._steps(route, BY_COMMAND, spec):
            seen = None if wanted is None else self._ours.seen([spec], wanted, price)
            self._controls.prepare(spec)
            counted = step == UNCHANGED and turn == 0
            if counted:
                self._tidy()
            before = self._written() if counted else (0, 0.0)
            found = self._ours.command(spec, kind, seen, dict(route.settings))
            took.setdefault((step, COMMAND), []).append(found)
            if counted:
                rows, wal = (after - b for after, b in zip(self._written(), before, strict=True))
                self._report.figure(f"unchanged, {route.title}: catalog rows written", rows)
                self._report.figure(f"unchanged, {route.title}: MB of WAL", wal / 1e6)

    def _dlt(self, route: Route, turn: int, took: dict[tuple[str, str], list[Took]]) -> None:
        spec, dataset = self._shops.spec(route, BY_DLT, turn), self._programs.new_dataset()
        for step, _, price, wanted in self._steps(route, BY_DLT, spec):
            self._controls.prepare(spec)
            found = self._programs.dlt([(spec, route.name)], dataset, wanted=wanted, price=price)
            took.setdefault((step, DLT), []).append(found)

    def _declared(self, route: Route, took: dict[tuple[str, str], list[Took]]) -> None:
        """Once: no target is about it."""
        spec, dataset = self._shops.spec(route, BY_DECLARED, 0), self._programs.new_dataset()
        for step in (FIRST, UNCHANGED):
            wanted = spec.products * VARIANTS if step == FIRST else None
            self._controls.prepare(spec)
            found = self._programs.dlt([(spec, route.name)], dataset, wanted=wanted, declared=True)
            took.setdefault((step, DECLARED), []).append(found)

    def _steps(
        self, route: Route, way: str, spec: ShopSpec
    ) -> Iterator[tuple[str, str, str | None, int | None]]:
        """Each step, its sync type, and the price and the number of rows that tell its end."""
        steps = [FIRST, UNCHANGED, CHANGED, INCREMENT]
        if way == BY_DLT:
            steps.remove(INCREMENT)
        if route.name == "parents":
            # Half a minute each: those alone that differ from the other routes.
            steps = [FIRST] if way == BY_RUN else [each for each in steps if each != CHANGED]
        variants, whole = self._controls.variants(spec), spec.products * VARIANTS
        for step in steps:
            kind = "incremental" if step == INCREMENT else "full"
            if step in (FIRST, UNCHANGED):
                yield step, kind, None, whole if step == FIRST else None
                continue
            self._prices += 1
            price = f"{10_000 + self._prices}.00"
            changed = variants[::100]
            self._controls.reprice(spec, changed, price)
            yield step, kind, price, len(changed)

    def _tidy(self) -> None:
        """Do autovacuum's work, which is due for the rows that the syncs before have written.

        It would come at a time of its own and be counted as the next sync's: 3.4 MB of WAL for
        10,000 new rows after a checkpoint, where an unchanged sync writes 0.2 MB.
        """
        for connect in (self._side.connect, self._side.dagster):
            with connect() as connection:
                connection.execute("VACUUM ANALYZE")

    def _written(self) -> tuple[int, float]:
        """Rows of the catalog written so far, and bytes of WAL of the whole server."""
        # A session that ends reports its rows a moment later.
        time.sleep(1.5)
        with self._side.connect() as connection:
            [(rows, wal)] = connection.execute(
                "SELECT n_tup_ins + n_tup_upd + n_tup_del, pg_current_wal_lsn() - '0/0'::pg_lsn"
                " FROM pg_stat_all_tables"
                " WHERE schemaname = 'catalog' AND relname = 'catalog_items'"
            ).fetchall()
        return rows, float(wal)

    def _bound(self, route: Route) -> None:
        """Latency and points that nobody can avoid, and a bare COPY of the rows."""
        spec = self._shops.spec(route, BY_COMMAND, 0)
        with self._side.connect() as connection:
            [(requests,)] = connection.execute(
                "SELECT requests FROM connector.syncs WHERE domain = %s AND sync_type = 'full'"
                " ORDER BY started_at LIMIT 1",
                (spec.domain,),
            ).fetchall()
            columns = ", ".join(ITEM_COLUMNS)
            rows = connection.execute(
                f"SELECT {columns}, first_synced_at, changed_at, sync_id"  # noqa: S608  our names
                " FROM catalog.catalog_items WHERE domain = %s",
                (spec.domain,),
            ).fetchall()
        copied = min(copy_bare(self._side.url, rows) for _ in range(3))
        if route.platform == "woocommerce":
            # The first page states how many there are; the others come four at once.
            chain = 2 + ceil((requests - 1) / AT_ONCE)
            note = f"{requests} requests, {AT_ONCE} at once: {chain} after each other"
        else:
            chain, note = 1 + requests, f"{requests} requests after each other"
        waited = 0.0
        if route.name == "pages":
            self._controls.prepare(spec)
            requested, used = self._controls.points_of_a_page(spec)
            pages = ceil(self._shops.products / 250)
            missing = (pages - 1) * used + requested - BUCKET["maximum"]
            waited = max(0.0, missing / BUCKET["restore_rate"])
            note += f", {pages} pages of {used:.0f} points: {waited:.1f} s for points"
        elif route.name == "bulk":
            # The sandbox's operations end at the second poll; polls are a second apart or more.
            waited, note = 1.0, f"{note}, 1 s between the polls"
        whole = chain * self._latency + waited + copied
        self._report.put(
            Row(route.title, FIRST, BOUND, whole, whole, note=f"{note}; COPY {copied:.2f} s")
        )

    def _originals(self) -> None:
        for route in self._shops.routes:
            if route.name not in DECLARABLE:
                continue
            spec = self._shops.original(route)
            wanted = spec.products * VARIANTS
            self._controls.variants(spec)
            self._controls.prepare(spec)
            by = self._shops.products / spec.products
            found = self._programs.original(spec, route.name, wanted).scaled(by)
            note = "" if by == 1 else f"{spec.products} products measured, times {by:g}"
            self._report.add(route.title, FIRST, ORIGINAL, [found], note)


def _order(found: tuple[tuple[str, str], list[Took]]) -> tuple[int, int]:
    (step, way), _ = found
    return (
        (FIRST, UNCHANGED, CHANGED, INCREMENT).index(step),
        (WARM, COMMAND, DLT, DECLARED).index(way),
    )
