"""A deployment with Celery workers, but without daemon and code server: tests do their part."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RemoteRepositoryOrigin

from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.automation.dead_workers import fail_runs_of_dead_workers
from connector_pipeline.automation.sync_outcomes import end_abandoned_syncs
from connector_pipeline.automation.sync_queue import launch_next, shops_of, tags_of
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.definitions import build_definitions
from connector_pipeline.engine.code_location import workspace_target
from connector_pipeline.engine.run_tags import RETRY_NUMBER, ROOT_RUN_ID, WILL_RETRY
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline.state import queue_intake
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.engine.redis_server import RedisServer

PATIENCE = 240.0
"""Seconds to wait for what must come, long enough for a busy machine."""


def wait_for(seen: Callable[[], Any], *, or_show: Callable[[], str] = str) -> Any:
    """Wait until the condition holds, and return its value."""
    until = time.monotonic() + PATIENCE
    while not (value := seen()):
        assert time.monotonic() < until, or_show()
        time.sleep(0.02)
    return value


class WorkerProcess:
    """One `connector-pipeline worker` in a process group of its own, with all its children."""

    def __init__(self, log: Path, **variables: str):
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "connector_pipeline.cli", "worker"],
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | variables,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def children(self) -> set[int]:
        """The pids of its processes that execute runs."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def kill(self) -> None:
        """As if its machine had gone: nothing of it is left, and nothing was cleaned up."""
        children = self.children()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_for(lambda: not any(_lives(pid) for pid in children))

    def stop(self) -> int:
        """Stop it as an orchestrator does, and return its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE)


@dataclass
class World:
    """The servers, and what a daemon would do between them."""

    folder: Path
    instance: DagsterInstance
    database: Database
    sandbox: SandboxServer
    redis: RedisServer
    workers: list[WorkerProcess] = field(default_factory=list[WorkerProcess])
    shops: int = 0

    def living(self, number: int) -> list[WorkerProcess]:
        """So many workers of one process each, ready. Starts those that are missing."""
        living = [worker for worker in self.workers if worker.process.poll() is None]
        new = [
            WorkerProcess(self.folder / f"worker-{len(self.workers) + each}.log")
            for each in range(number - len(living))
        ]
        self.workers += new
        for worker in new:
            wait_for(
                lambda worker=worker: " ready." in worker.log or worker.process.poll() is not None,
                or_show=lambda worker=worker: worker.log,
            )
            assert worker.process.poll() is None, worker.log
        return [*living, *new]

    def processes(self) -> int:
        """How many runs Dagster's queue lets go on."""
        queue = self.instance.get_concurrency_config().run_queue_config
        assert queue is not None
        return queue.max_concurrent_runs

    def new_shop(self) -> str:
        """Put a shop into the sandbox and the registry. Returns its partition key."""
        self.shops += 1
        spec = ShopSpec(
            "shopify", f"s{self.shops}.myshopify.com", "m-1", str(self.shops), products=3
        )
        self.sandbox.store.put(spec)
        ShopRegistry(database=self.database).add(
            Shop(
                merchant_id="m-1",
                platform_name="shopify",
                platform_shop_id=spec.platform_shop_id,
                domain=spec.domain,
            )
        )
        return f"shopify/{spec.domain}"

    def queue(self, *keys: str) -> None:
        """Have the shops wait for a sync."""
        with self.database.connect() as connection:
            queue_intake.put_shops(
                connection, keys, reason=QueueReason.BACKFILL, backfill_id=f"b-{keys[0]}"
            )

    def launch(self) -> list[str]:
        """Launch runs over the shops that wait, as the daemon does. Returns their ids."""
        launches, _ = launch_next(self.instance, self.database)
        runs = [
            self._launch(run_config=run_config(shops_of(launch)), tags=tags_of(launch))
            for launch in launches
        ]
        # The next look at the queue sees them.
        launch_next(self.instance, self.database)
        return runs

    def retry(self, run_id: str) -> str:
        """Retry a run that has failed, as the daemon does where it has promised that."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        assert run.tags[WILL_RETRY] == "true"
        tags = {name: value for name, value in run.tags.items() if name.startswith("connector/")}
        return self._launch(
            run_config=run.run_config,
            tags=tags | {ROOT_RUN_ID: run_id, RETRY_NUMBER: "1"},
            root_run_id=run_id,
            parent_run_id=run_id,
        )

    def _launch(self, **described: Any) -> str:
        job = build_definitions(load_settings()).resolve_job_def(JOB)
        pointer = ModuleCodePointer("connector_pipeline.definitions", "defs", str(Path.cwd()))
        origin = JobPythonOrigin(JOB, RepositoryPythonOrigin(sys.executable, pointer))
        # As the daemon's runs are: without it, the storage takes them for those of a command.
        [location] = workspace_target(None, load_settings().code_server).create_origins()
        remote = RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(JOB)
        run = self.instance.create_run_for_job(
            job, job_code_origin=origin, remote_job_origin=remote, **described
        )
        self.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
        return run.run_id

    def launch_one(self, key: str) -> str:
        """Launch a run over this shop alone."""
        self.queue(key)
        [run_id] = self.launch()
        return run_id

    def status(self, run_id: str) -> DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def ended(self, run_id: str) -> DagsterRunStatus:
        """Wait for the run's end."""
        wait_for(
            lambda: self._run_is_finished(run_id),
            or_show=lambda: f"{self.status(run_id)} {self.workers[-1].log}",
        )
        return self.status(run_id)

    def _run_is_finished(self, run_id: str) -> bool:
        run = self.instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    def pid_of(self, run_id: str) -> int | None:
        """The process that showed the run's last sign of life."""
        with self.database.connect() as connection:
            row = connection.execute(
                "SELECT pid FROM connector.run_workers WHERE run_id = %s", (run_id,)
            ).fetchone()
        return None if row is None else int(row[0])

    def items(self, key: str) -> int:
        """How many rows the catalog has of the shop."""
        with self.database.connect() as connection:
            [(found,)] = connection.execute(
                "SELECT count(*) FROM catalog.catalog_items WHERE domain = %s", (key.split("/")[1],)
            ).fetchall()
        return int(found)

    def hang(self, *keys: str) -> None:
        """Let the shops accept every request and answer none."""
        self.sandbox.faults.set(
            [
                {"kind": "hang", "at": "start", "match": {"domain": key.split("/")[1]}}
                for key in keys
            ]
        )

    def is_asked(self, key: str) -> bool:
        """Whether a run has asked the shop for anything."""
        domain = key.split("/")[1]
        return any(domain in str(each) for each in self.sandbox.requests.requests())

    def settle(self) -> list[str]:
        """Do what the sensor `sync_outcomes` does, as if minutes had passed. The runs it failed."""
        with self.database.connect() as connection:
            found = connection.execute("SELECT DISTINCT pid FROM connector.run_workers").fetchall()
            # Not of those that live: their next sign would end them.
            connection.execute(
                "UPDATE connector.run_workers SET beat_at = beat_at - interval '2 minutes' "
                "WHERE pid = ANY(%s)",
                ([pid for (pid,) in found if not _lives(pid)],),
            )
        now = datetime.now(UTC)
        first = fail_runs_of_dead_workers(
            self.instance, self.database, {}, now=now - timedelta(minutes=5)
        )
        second = fail_runs_of_dead_workers(self.instance, self.database, first.suspects, now=now)
        end_abandoned_syncs(self.instance, self.database, now=now + timedelta(minutes=5))
        return first.failed_runs + second.failed_runs


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def dagster_home(folder: Path) -> Path:
    """A DAGSTER_HOME with dagster.yaml as shipped."""
    home = folder / "dagster"
    home.mkdir()
    shutil.copyfile(instance_config(), home / "dagster.yaml")
    return home
