"""Say what a deployment of any size needs, from what its syncs cost here.

    python bench/capacity.py                                    about 6 minutes
    python bench/capacity.py --shops 20 --partitions 2000       a trial
    python bench/capacity.py --table 5000 --variants 300 --interval 600

It measures on this machine: a code server, a daemon and an embedded Postgres sync shops of a
sandbox through the queue, shops of 20 variants, shops of 400, all of them again unchanged, and once
more with one price changed in each. From that comes the cost of a sync: CPU of the run workers, of
the daemon with the code server, of Postgres; commits, WAL, the sizes of both databases, files and
bytes of the archive, events. Then other shops of 100 variants are synced, and what the costs
foretell for them is printed beside what was measured.

Then `capacity_model` simulates a day for 100 to 1,000,000 shops, and the table names the limit that
is nearest. The limits of one daemon, one Postgres and one stream are assumptions, printed below it.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

import psutil
import psycopg
from capacity_model import Cost, Costs, Demand, Limits, Line, Load, simulate
from dagster import DagsterInstance
from deployment import deployment
from sandbox_process import shopify_shops, write_csv
from soak import Soak, wait_for
from syncs import ended, put_requests

from connector_pipeline.engine.forked_runs import RUN_NAME
from connector_pipeline.postgres.embedded.postmaster import data_directory
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.records import ShopifyProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec

FEW, MANY, BETWEEN = 20, 400, 100
ALONE: Final = 6
PATIENCE: Final = 900.0
POWERS: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
IDLE: Final = 20.0
"""Seconds in which the processes' own work is measured, which is there without any sync."""


def cpu(pid: int) -> float:
    """CPU seconds of a process, its children, and those of its children that have ended."""
    total = 0.0
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def own_cpu(pid: int) -> float:
    """CPU seconds of a process alone."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@dataclass(frozen=True, slots=True)
class Measured:
    """What some syncs cost in all, and how many runs they took."""

    cost: Cost
    syncs: int
    runs: int

    def a_sync(self, run: Cost) -> Cost:
        """What one of them cost, without its share of a run."""
        return (self.cost - run.times(self.runs)).times(1 / self.syncs)


@dataclass(slots=True)
class Measuring:
    """The deployment under measurement."""

    soak: Soak
    idle: Cost = field(default_factory=Cost)
    """A second of the processes without any sync."""

    def reading(self) -> Cost:
        """What was spent until now."""
        soak = self.soak
        pid_file = data_directory(soak.folder / "postgres") / "postmaster.pid"
        code = soak.deployed.code.pid
        with soak.connect() as connection:
            [(wal,)] = connection.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
            ).fetchall()
            [(commits,)] = connection.execute(
                "SELECT sum(xact_commit) FROM pg_stat_database"
            ).fetchall()
            sizes = [
                connection.execute("SELECT pg_database_size(%s)", (name,)).fetchall()[0][0]
                for name in ("catalog", "dagster")
            ]
            [(events,)] = connection.execute("SELECT count(*) FROM connector.outbox").fetchall()
            [(requests,)] = connection.execute(
                "SELECT coalesce(sum(requests), 0) FROM connector.syncs"
            ).fetchall()
        files = [file for file in (soak.folder / "raw").rglob("*") if file.is_file()]
        served = own_cpu(code)
        return Cost(
            worker_cpu=cpu(code) - served,
            daemon_cpu=cpu(soak.deployed.daemon.pid) + served,
            postgres_cpu=cpu(int(pid_file.read_text().split()[0])),
            commits=float(commits),
            wal=float(wal),
            catalog=float(sizes[0]),
            dagster=float(sizes[1]),
            archive=float(sum(file.stat().st_size for file in files)),
            archive_files=float(len(files)),
            events=float(events),
            requests=float(requests),
        )

    def measure_idle(self) -> None:
        """Measure what goes on without syncs."""
        before, began = self.reading(), time.monotonic()
        time.sleep(IDLE)
        self.idle = (self.reading() - before).times(1 / (time.monotonic() - began))

    def syncs(self, name: str, specs: Sequence[ShopSpec]) -> Measured:
        """Sync these shops through the queue."""
        before, began = self.reading(), time.monotonic()
        with self.soak.connect() as connection:
            put_requests(connection, name, specs)
            wait_for(
                lambda: ended(connection, "sync_id", f"{name}-").total == len(specs),
                patience=PATIENCE,
            )
            done = ended(connection, "sync_id", f"{name}-")
            if done.failed:
                raise RuntimeError(f"{name}: {done.failed} syncs failed")
            seconds = time.monotonic() - began
            # A run worker's last work is behind its last sync.
            wait_for(lambda: not self._workers(), patience=120)
            connection.execute("CHECKPOINT")
            [(runs,)] = connection.execute(
                "SELECT count(DISTINCT run_id) FROM connector.syncs WHERE starts_with(sync_id, %s)",
                (f"{name}-",),
            ).fetchall()
        spent = self.reading() - before - self.idle.times(time.monotonic() - began)
        print(f"{name}: {len(specs)} syncs in {runs} runs and {seconds:.0f} s", flush=True)
        return Measured(spent, len(specs), runs)

    def _workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.soak.deployed.code.pid).children(recursive=True)
        return [child for child in children if _name(child) == RUN_NAME]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def change_a_price(shops: Iterable[SandboxShop]) -> None:
    """One price of each shop's first product."""
    for shop in shops:
        product = shop.product(next(iter(shop.product_ids())))
        if isinstance(product, ShopifyProduct):
            shop.edit_variant(product.variants[0].id, {"price": "1234.56"}, at=now())


def measured(measuring: Measuring, shops: int, partitions: int) -> Costs:
    """The costs of a run and of the three kinds of syncs."""
    few = specs("few", shops, FEW)
    many = specs("many", max(10, shops // 4), MANY)
    small = measuring.syncs("few", few)
    large = measuring.syncs("many", many)
    both = [*few, *many]
    unchanged = measuring.syncs("unchanged", both)
    change_a_price(measuring.soak.sandbox.store)
    changed = measuring.syncs("changed", both)
    alone = [measuring.syncs(f"alone{n}", [spec]).cost for n, spec in enumerate(few[:ALONE])]
    single = sum(alone, start=Cost()).times(1 / len(alone))
    # A sync alone is a run and a sync; so many of one and so many of the other are known together.
    sync = (unchanged.cost - single.times(unchanged.runs)).times(
        1 / (unchanged.syncs - unchanged.runs)
    )
    run = (single - sync).not_below_nothing()
    return Costs(
        full=Line.through((FEW, small.a_sync(run)), (MANY, large.a_sync(run))),
        unchanged=sync.not_below_nothing(),
        changed=changed.a_sync(run).not_below_nothing(),
        run=run,
        partition_seconds=partition_seconds(partitions),
    )


def partition_seconds(partitions: int) -> float:
    """Seconds a partition that Dagster takes to list all of them, as several ticks do."""
    with DagsterInstance.get() as instance:
        name = "capacity"
        for first in range(0, partitions, 5_000):
            keys = [f"shopify/{number}" for number in range(first, min(partitions, first + 5_000))]
            instance.add_dynamic_partitions(name, keys)
        began = time.perf_counter()
        found = instance.get_dynamic_partitions(name)
        return (time.perf_counter() - began) / len(found)


def specs(prefix: str, count: int, variants: int) -> list[ShopSpec]:
    return shopify_shops(f"capacity-{prefix}", count, products=variants // 2, variants=2)


def foretold(measuring: Measuring, costs: Costs, shops: int) -> Iterator[str]:
    """What the costs foretell for shops of a size between, beside what these then cost."""
    between = specs("between", shops, BETWEEN)
    done = measuring.syncs("between", between)
    spent = done.cost
    expected = costs.full.at(BETWEEN).times(done.syncs) + costs.run.times(done.runs)
    yield f"\n{len(between)} shops of {BETWEEN} variants, in full:\n"
    yield "| | foretold | measured | ratio |\n| --- | --- | --- | --- |"
    for name, unit in UNITS.items():
        ours, theirs = getattr(expected, name), getattr(spent, name)
        ratio = f"{ours / theirs:.2f}" if theirs else ""
        yield f"| {unit[0]} | {ours / unit[1]:.1f} | {theirs / unit[1]:.1f} | {ratio} |"


UNITS: Final = {
    "worker_cpu": ("CPU s of run workers", 1),
    "daemon_cpu": ("CPU s of daemon and code server", 1),
    "postgres_cpu": ("CPU s of Postgres", 1),
    "commits": ("commits", 1),
    "wal": ("MB of WAL", 1e6),
    "catalog": ("MB of the catalog's database", 1e6),
    "dagster": ("MB of Dagster's database", 1e6),
    "archive": ("MB of the archive", 1e6),
    "archive_files": ("files of the archive", 1),
    "events": ("events", 1),
    "requests": ("requests to the platform", 1),
}


def costs_table(costs: Costs) -> Iterator[str]:
    yield "\nA sync costs, and a run besides its syncs:\n"
    yield f"| | full, {FEW} variants | each variant more | unchanged | one price changed | a run |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for each in fields(Cost):
        few, variant = costs.full.at(FEW), costs.full.variant
        values = (few, variant, costs.unchanged, costs.changed, costs.run)
        words = UNITS[each.name][0].replace("MB", "kB")
        factor = 1_000 if "kB" in words else 1
        cells = " | ".join(f"{getattr(value, each.name) / factor:.4g}" for value in values)
        yield f"| {words} | {cells} |"


def row(load: Load, demand: Demand) -> str:
    busiest = demand.busiest
    cells = (
        f"{load.shops:,}",
        f"{demand.syncs:.3g}",
        f"{demand.workers:,}",
        f"{demand.longest_wait:.0f} s",
        f"{busiest.daemon_cpu:.2g}",
        f"{busiest.postgres_cpu:.2g}",
        f"{busiest.commits:,.0f}",
        f"{busiest.wal / 1e6:.2g}",
        f"{demand.catalog / 1e9:.3g}",
        f"{demand.dagster / 1e9:.3g}",
        f"{demand.a_day.archive / 1e9:.3g}",
        f"{busiest.events:.2g}",
        f"{demand.bottleneck} ({demand.used[demand.bottleneck]:.0%})",
    )
    return f"| {' | '.join(cells)} |"


def table(costs: Costs, sizes: Sequence[int], options: argparse.Namespace) -> Iterator[str]:
    limits = Limits()
    yield (
        f"\n{options.variants} variants a shop, looked at every {options.interval} s, of which "
        f"{options.changing:.0%} find a change; in full once a day. Dagster's events are kept for "
        "14 days, syncs for 90. Figures a second are of the busiest minute.\n"
    )
    yield (
        "| shops | syncs/s | worker processes | longest wait | daemon cores | Postgres cores "
        "| commits/s | WAL MB/s | catalog GB | Dagster GB | archive GB/day | events/s "
        "| nearest limit |"
    )
    yield "| --- " * 13 + "|"
    for shops in sizes:
        load = Load(shops, options.variants, options.interval, options.changing)
        yield row(load, simulate(costs, load, limits))
    yield f"\nLimits: {asdict(limits)}"


def main() -> None:
    """Measure in a folder of its own, which is deleted, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shops", type=int, default=100)
    parser.add_argument("--partitions", type=int, default=20_000)
    parser.add_argument("--table", type=int, nargs="+", default=POWERS)
    parser.add_argument("--variants", type=int, default=200)
    parser.add_argument("--interval", type=int, default=3_600)
    parser.add_argument("--changing", type=float, default=0.02)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="connector-capacity-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with SandboxServer(()) as sandbox, EmbeddedPostgres(folder / "postgres") as postgres:
            count = options.shops
            all_specs = [
                *specs("few", count, FEW),
                *specs("many", max(10, count // 4), MANY),
                *specs("between", count, BETWEEN),
            ]
            for spec in all_specs:
                sandbox.store.put(spec).bucket.resize(20_000, 1_000)
            deployed = deployment(folder, sandbox.environment(), postgres, SHOPS_PER_RUN="50")
            soak = Soak(folder, sandbox, postgres, deployed)
            soak.command("migrate").check_returncode()
            listed = write_csv(folder / "shops.csv", all_specs)
            soak.command("shops", "import", str(listed)).check_returncode()
            deployed.start_code()
            wait_for(deployed.socket.exists, patience=120)
            deployed.daemon.start()
            try:
                wait_for(lambda: _has_partitions(soak, len(all_specs)), patience=120)
                measuring = Measuring(soak)
                measuring.measure_idle()
                costs = measured(measuring, count, options.partitions)
                lines = [*costs_table(costs), *foretold(measuring, costs, count)]
            finally:
                deployed.kill()
    print("\n".join([*lines, *table(costs, options.table, options)]))


def _has_partitions(soak: Soak, count: int) -> bool:
    with psycopg.connect(soak.postgres.url("dagster"), autocommit=True) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM dynamic_partitions").fetchall()
    return found >= count


if __name__ == "__main__":
    main()
