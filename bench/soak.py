"""Sync 200 shops round after round, with faults and kills, and look that nothing grows.

    python bench/soak.py                                    30 minutes
    python bench/soak.py --minutes 2 --shops 10 --kills 2   a trial

Two in a hundred of the sandbox's answers are spoiled: by 500, 429, resets, bodies cut off, pages in
HTML, hangs. A round edits, adds and deletes products in a part of the shops and syncs all shops by
`connector-pipeline backfill`, while a run worker, the daemon, the code server or Postgres is killed
by kill -9 now and then and started again. Then the faults end, and the shops are synced until every
row of the catalog equals the sandbox's truth: at most three times, and a difference that stays is
printed and is exit status 1.

A line for each round has the memory of the long-lived processes and their open files, the
sessions of Postgres, the temporary files, and the sizes of both databases and of the archive. It
ends by itself.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from deployment import Deployment, deployment
from sandbox_process import write_csv

from connector_pipeline.postgres.embedded.postmaster import data_directory
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.records import ShopifyProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec

SHARE: Final = 0.02
MOST_SYNCS_AFTER: Final = 3
VICTIMS: Final = ("worker", "daemon", "code", "postgres")
MEGABYTE: Final = 1_000_000
COLUMNS: Final = (
    "product_id, variant_id, product_title, variant_title, sku, price, currency, inventory, "
    "product_status, sellable"
)


class Sometimes(FaultRule):
    """A rule that hits a share of the requests at random."""

    share = 0.0

    def hits(self) -> bool:
        self.matched += 1
        hit = random.random() < self.share
        self.applied += hit
        return hit


def faults(share: float) -> list[FaultRule]:
    """Every kind of spoiled answer, so that the share of all requests is hit in all."""
    kinds: list[dict[str, Any]] = [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503},
        {"kind": "throttled", "seconds": 1},
        {"kind": "reset", "at": "start"},
        {"kind": "reset", "at": "middle"},
        {"kind": "truncate"},
        {"kind": "html"},
        {"kind": "captcha"},
        {"kind": "garbage"},
        {"kind": "hang", "at": "start", "seconds": 3},
    ]
    rules: list[FaultRule] = []
    for each in kinds:
        rule = Sometimes(**each)
        rule.share = share / len(kinds)
        rules.append(rule)
    return rules


def specs(count: int) -> list[ShopSpec]:
    """Every second one is a WooCommerce shop."""
    return [
        ShopSpec(
            platform=("shopify", "woocommerce")[number % 2],
            domain=f"soak-{number}.{('myshopify.com', 'example.com')[number % 2]}",
            merchant_id=f"merchant-{number % 37}",
            platform_shop_id=str(number),
            products=12,
            variants=(1, 4),
            seed=number + 1,
        )
        for number in range(count)
    ]


def edit(shop: SandboxShop) -> None:
    """Change a shop as a merchant does: a product, a price, a new product, a deletion."""
    ids = list(shop.product_ids())
    product_id = random.choice(ids)
    product = shop.product(product_id)
    match random.choice(("title", "price", "add", "delete")):
        case "add" if len(ids) < 30:
            shop.append_products(1, at=now())
        case "delete" if len(ids) > 6:
            shop.remove_product(product_id, at=now())
        case "price" if isinstance(product, ShopifyProduct):
            price = f"{random.randint(1, 99_999) / 100:.2f}"
            shop.edit_variant(product.variants[0].id, {"price": price}, at=now())
        case _:
            name = "title" if isinstance(product, ShopifyProduct) else "name"
            shop.edit_product(product_id, {name: f"edited {random.random()}"}, at=now())


@dataclass(slots=True)
class Soak:
    """What a trial runs: the deployment and its servers."""

    folder: Path
    sandbox: SandboxServer
    postgres: EmbeddedPostgres
    deployed: Deployment

    def connect(self, database: str = "catalog") -> psycopg.Connection:
        return psycopg.connect(self.postgres.url(database), autocommit=True)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        with (self.folder / "commands.log").open("a") as log:
            return subprocess.run(
                [sys.executable, "-m", "connector_pipeline.cli", *words],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )

    def kill(self, victim: str) -> str:
        """Kill one of the processes and start it again. Returns what was killed."""
        match victim:
            case "worker" if self.deployed.code.kill_worker():
                return victim
            case "worker":
                return "no worker"
            case "daemon":
                self.deployed.daemon.kill()
                time.sleep(random.uniform(0, 3))
                self.deployed.daemon.start()
            case "code":
                self.deployed.code.kill()
                time.sleep(random.uniform(0, 3))
                self.deployed.start_code()
            case _:
                pid_file = data_directory(self.folder / "postgres") / "postmaster.pid"
                pid = int(pid_file.read_text().split()[0])
                psutil.Process(pid).kill()
                time.sleep(random.uniform(0.5, 3))
                wait_for(self.postgres.revive, patience=60)
        return victim


def wait_for(done: Callable[[], object], *, patience: float) -> None:
    until = time.monotonic() + patience
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {patience:.0f} s")
        time.sleep(0.5)


def truth(shop: SandboxShop) -> set[tuple[Any, ...]]:
    names = COLUMNS.split(", ")
    return {tuple(row[name] for name in names) for row in expected_items(shop)}


def different(soak: Soak) -> Iterator[str]:
    """The shops whose live rows are not the sandbox's truth, with the number of differences."""
    with soak.connect() as connection:
        for shop in soak.sandbox.store:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM catalog.catalog_items"  # noqa: S608
                " WHERE platform_name = %s AND domain = %s AND deleted_at IS NULL",
                (shop.spec.platform, shop.spec.domain),
            ).fetchall()
            if differing := set(rows) ^ truth(shop):
                an_example = min(map(str, differing))
                yield f"{shop.spec.platform}/{shop.spec.domain}: {len(differing)}, {an_example}"


def resources(soak: Soak) -> dict[str, float]:
    """Megabytes and counts, as they are now."""
    found: dict[str, float] = {}
    for process in (soak.deployed.code, soak.deployed.daemon):
        with suppress(psutil.Error):
            of = psutil.Process(process.pid)
            found[f"{process.name} MB"] = of.memory_info().rss / MEGABYTE
            found[f"{process.name} files"] = of.num_fds()
            found[f"{process.name} children"] = len(of.children(recursive=True))
    with soak.connect() as connection:
        for name in ("catalog", "dagster"):
            [(size,)] = connection.execute("SELECT pg_database_size(%s)", (name,)).fetchall()
            found[f"{name} MB"] = size / MEGABYTE
        [(found["sessions"],)] = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        ).fetchall()
    archive = [file for file in (soak.folder / "raw").rglob("*") if file.is_file()]
    found["archive MB"] = sum(file.stat().st_size for file in archive) / MEGABYTE
    found["archive files"] = len(archive)
    found["temporary"] = sum(1 for _ in (soak.folder / "tmp").rglob("*"))
    return found


def one_round(soak: Soak, kills: int, every: float) -> tuple[Counter[str], Counter[str], int]:
    """Edit, sync with faults and kills, then until all is equal. Returns outcomes, kills, syncs."""
    shops = list(soak.sandbox.store)
    for shop in random.sample(shops, k=max(1, len(shops) // 4)):
        edit(shop)
    soak.sandbox.faults.set(faults(SHARE))
    outcomes: Counter[str] = Counter()
    killed: Counter[str] = Counter()

    def sync() -> None:
        done = soak.command("backfill", "--json")
        for line in done.stdout.splitlines():
            with suppress(ValueError):
                outcomes[str(json.loads(line).get("status"))] += 1

    syncing = threading.Thread(target=sync)
    syncing.start()
    for _ in range(kills):
        syncing.join(random.uniform(0.5, 1.5) * every)
        if not syncing.is_alive():
            break
        killed[soak.kill(random.choice(VICTIMS))] += 1
    syncing.join()
    soak.sandbox.faults.clear()
    for number in range(1, MOST_SYNCS_AFTER + 1):
        soak.command("backfill", "--json")
        if not list(different(soak)):
            return outcomes, killed, number
    return outcomes, killed, MOST_SYNCS_AFTER + 1


def trial(soak: Soak, options: argparse.Namespace) -> int:
    """Rounds until the time is over. Returns the number of shops that were wrong after a round."""
    began, number, wrong = time.monotonic(), 0, 0
    while number == 0 or time.monotonic() - began < options.minutes * 60:
        number += 1
        outcomes, killed, healthy = one_round(soak, options.kills, options.every)
        for line in different(soak):
            wrong += 1
            print(f"  differs: {line}", flush=True)
        figures = ", ".join(f"{name} {value:.0f}" for name, value in resources(soak).items())
        print(
            f"round {number} at {time.monotonic() - began:.0f} s: {dict(outcomes)}, killed "
            f"{dict(killed)}, equal after {healthy} more; {figures}",
            flush=True,
        )
    with soak.connect() as connection:
        counted = connection.execute(
            "SELECT status, error_code, count(*) FROM connector.syncs GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
    print("; ".join(f"{status} {code or ''} {count}" for status, code, count in counted))
    return wrong


def main() -> None:
    """Run the trial in a folder of its own, which is deleted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--shops", type=int, default=200)
    parser.add_argument("--kills", type=int, default=2, help="at most in a round")
    parser.add_argument("--every", type=float, default=15.0, help="seconds before a kill")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="connector-soak-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "tmp").mkdir(mode=0o1777)
        with (
            SandboxServer(specs(options.shops)) as sandbox,
            EmbeddedPostgres(folder / "postgres") as postgres,
        ):
            deployed = deployment(
                folder,
                sandbox.environment(),
                postgres,
                TMPDIR=str(folder / "tmp"),
                SHOPS_PER_RUN="25",
                # So that rounds have full syncs too, which the archive forgets older pages by.
                FULL_SYNC_EVERY="5m",
            )
            soak = Soak(folder, sandbox, postgres, deployed)
            soak.command("migrate").check_returncode()
            shops = write_csv(folder / "shops.csv", (each.spec for each in sandbox.store))
            soak.command("shops", "import", str(shops)).check_returncode()
            deployed.start_code()
            wait_for(deployed.socket.exists, patience=120)
            deployed.daemon.start()
            try:
                wrong = trial(soak, options)
            finally:
                deployed.kill()
    print(f"{wrong} shops were wrong after a round")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
