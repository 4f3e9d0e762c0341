"""`connector-pipeline backfill`: syncs many shops and prints how they ended."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from dagster import DagsterInstance, DagsterRunStatus, JobDefinition

from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.automation.dead_workers import fail_runs_of_dead_workers
from connector_pipeline.automation.shop_partitions import add_active_partitions
from connector_pipeline.automation.sync_outcomes import end_abandoned_syncs
from connector_pipeline.automation.sync_queue import launch_here, shops_of, tags_of
from connector_pipeline.cli.dev_session import running_session
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import LocalServices, SchemaUse, local_services
from connector_pipeline.cli.output import err, new_table, print_table
from connector_pipeline.cli.progress import sync_progress
from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.engine.daemon import runs_sensors
from connector_pipeline.engine.run_tags import was_interrupted
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.sync import BackfillStatus
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import backfills, queue_intake
from connector_pipeline.state.queued_runs import Launch
from connector_pipeline.state.registry import ShopRegistry

_EVERY_SECONDS: Final = 0.5
_SETTLE_SECONDS: Final = 15.0
_PATIENCE: Final = 180.0
"""Seconds to wait without a daemon and without an outcome: its last run may still go on."""
_ENDED: Final = (BackfillStatus.SUCCEEDED, BackfillStatus.FAILED)
_EXAMPLES: Final = 3


class RunsStay(ConnectorError):
    """Shops of the backfill are in runs, and no daemon launches them."""

    default_remedy = "Start a daemon, and the runs go on."


@dataclass(frozen=True, slots=True)
class Selection:
    """The active shops to sync: all, or those that meet all conditions."""

    platform: str | None = None
    merchant_id: str | None = None
    failed: bool = False
    stale: timedelta | None = None


def run_backfill(selection: Selection, *, as_json: bool) -> bool:
    """Sync the selected shops and print the outcomes. Returns whether all succeeded.

    If a daemon runs, it does the work, and goes on after a Ctrl-C. Else this process executes the
    runs, one after another, and Ctrl-C cancels the backfill. Raises SettingsError,
    DatabaseUnavailable.
    """
    with local_services(SchemaUse.ROWS) as services, DagsterInstance.get() as instance:
        database = Database()
        registry = ShopRegistry(database=database)
        register_sandbox_shops(registry, services.sandbox_shops())
        keys = registry.active_partition_keys_where(
            platform_name=selection.platform,
            merchant_id=selection.merchant_id,
            failed=selection.failed,
            stale=selection.stale,
        )
        if not keys:
            err.print("The selection has no active shop: there is nothing to sync.")
            return True
        add_active_partitions(instance, registry)
        backfill_id = str(uuid4())
        with database.connect() as connection:
            queue_intake.put_shops(
                connection, keys, reason=QueueReason.BACKFILL, backfill_id=backfill_id
            )
        followed = _Followed(backfill_id, services, instance, database)
        try:
            statuses = followed.to_the_end()
        except KeyboardInterrupt:
            followed.print_interrupted()
            raise
    _print(backfill_id, statuses, as_json=as_json)
    return all(status == BackfillStatus.SUCCEEDED for status, _ in statuses.values())


class _Followed:
    """A backfill whose shops are on record. The daemon launches its runs, or this process does."""

    def __init__(
        self,
        backfill_id: str,
        services: LocalServices,
        instance: DagsterInstance,
        database: Database,
    ):
        self._backfill_id = backfill_id
        self._services = services
        self._instance = instance
        self._database = database
        self._job: JobDefinition | None = None
        self._suspects: Mapping[str, datetime] = {}
        self._ended = 0
        self._last_news = time.monotonic()

    def to_the_end(self) -> Mapping[str, tuple[str, str | None]]:
        """Show progress until every shop has ended. Returns their statuses and error codes."""
        settled = time.monotonic()
        with sync_progress(err) as progress:
            task = progress.add_task("backfill", total=None, note="waiting")
            while True:
                if time.monotonic() - settled > _SETTLE_SECONDS:
                    self._settle()
                    settled = time.monotonic()
                with self._database.connect() as connection:
                    statuses = backfills.statuses(connection, self._backfill_id)
                counts = Counter(status for status, _ in statuses.values())
                ended = sum(counts[status] for status in _ENDED)
                progress.update(
                    task, total=len(statuses), completed=ended, note=_note(counts, len(statuses))
                )
                if ended == len(statuses):
                    return statuses
                if ended > self._ended:
                    self._ended, self._last_news = ended, time.monotonic()
                if self.has_daemon():
                    self._last_news = time.monotonic()
                elif self._execute_one():
                    continue
                elif time.monotonic() - self._last_news > _PATIENCE:
                    raise RunsStay(
                        f"{len(statuses) - ended} shops are in runs that wait for a daemon, and no "
                        "daemon runs any more."
                    )
                time.sleep(_EVERY_SECONDS)

    def _settle(self) -> None:
        """Do what a daemon does for runs that died, of this command and of earlier ones."""
        now = datetime.now(UTC)
        workers = fail_runs_of_dead_workers(
            self._instance,
            self._database,
            self._suspects,
            now=now,
            # On a server, Dagster's storage may have runs of other deployments.
            is_of_others=lambda _: not self._services.embedded,
        )
        self._suspects = workers.suspects
        end_abandoned_syncs(self._instance, self._database, now=now)

    def has_daemon(self) -> bool:
        """Whether a daemon launches the runs."""
        if running_session(self._services.settings.home) is not None:
            return True
        if self._services.embedded:
            # Only the daemon of `dev` uses this server, so its last heartbeat is of an ended `dev`.
            return False
        return runs_sensors(self._instance)

    def print_interrupted(self) -> None:
        """Print what happens to the shops after Ctrl-C; without a daemon, withdraw them."""
        if self.has_daemon():
            err.print(
                "\nThe backfill goes on without this command: see the runs tagged "
                f"connector/backfill={self._backfill_id} in the UI. To cancel it, first delete its "
                "waiting rows of connector.sync_queue, or more runs follow; then cancel the runs.",
                soft_wrap=True,
            )
        else:
            with self._database.connect() as connection:
                left = backfills.withdraw(connection, self._backfill_id)
            err.print(
                f"\nCancelled: {left} shops were not synced; the others are as their syncs ended.",
                soft_wrap=True,
            )

    def _execute_one(self) -> bool:
        """Execute a run in this process, as `sync` does. Returns False if no shop waits."""
        run_id = str(uuid4())
        launch = launch_here(self._instance, self._database, of=self._backfill_id, run_id=run_id)
        if launch is None:
            return False
        self._execute(launch, run_id)
        return True

    def _execute(self, launch: Launch, run_id: str) -> None:
        if self._job is None:
            # Imported here: beside a daemon the command executes no run.
            from connector_pipeline.cli.runs import command_definitions

            self._job = command_definitions().resolve_job_def(JOB)
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        self._job.execute_in_process(
            instance=self._instance,
            run_config=run_config(shops_of(launch)) | quiet,
            tags=tags_of(launch),
            run_id=run_id,
            raise_on_error=False,
        )
        executed = self._instance.get_run_by_id(run_id)
        if executed is not None and (
            was_interrupted(executed) or executed.status is DagsterRunStatus.CANCELED
        ):
            # Dagster turns Ctrl-C into the end of this run alone.
            raise KeyboardInterrupt


def _note(counts: Counter[str], total: int) -> str:
    ended = sum(counts[status] for status in _ENDED)
    failed = counts[BackfillStatus.FAILED]
    under_way = counts[BackfillStatus.TAKEN]
    return f"{ended} of {total} shops, {failed} failed, {under_way} under way"


def _print(
    backfill_id: str, statuses: Mapping[str, tuple[str, str | None]], *, as_json: bool
) -> None:
    if as_json:
        for shop, (status, code) in statuses.items():
            print_json(
                {
                    "backfill_id": backfill_id,
                    "shop": shop,
                    "status": status,
                    "error_code": code,
                }
            )
        return
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for shop, (_, code) in statuses.items():
        groups[code or "succeeded"].append(shop)
    table = new_table()
    table.add_column("status", no_wrap=True)
    table.add_column("shops", justify="right")
    table.add_column("for example", overflow="fold")
    for status, shops in sorted(groups.items(), key=lambda group: -len(group[1])):
        more = " …" if len(shops) > _EXAMPLES else ""
        table.add_row(status, str(len(shops)), ", ".join(shops[:_EXAMPLES]) + more)
    print_table(table)
