"""The sensor that takes shops out of the queue and launches runs over them.

Every shop that is to be synced waits in `connector.sync_queue`, where waiting costs nothing. Each
tick first takes in the requests that arrived, then takes as many shops as the runs have room for.
A tick that finds nothing to do goes on looking until Dagster's next one is near: a request that
arrives alone is launched at once, and does not wait for Dagster's loop of five seconds.
Runs are of two lanes. Somebody waits for the shops of the foreground (requests, changes) now. The
background (backfills, sweeps) leaves one run free for them, and is left one by them.
"""

import time
from collections.abc import Sequence
from typing import Final

import psycopg
from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.run_identity import (
    BACKFILL_TAG,
    LANE_TAG,
    LAUNCH_TAG,
    REASON_TAG,
    SHOPS_TAG,
)
from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.automation.busy_shops import busy_shops
from connector_pipeline.automation.request_intake import Intake
from connector_pipeline.engine.daemon import gives_each_sensor_a_thread
from connector_pipeline.engine.run_queue import most_runs_at_once
from connector_pipeline.engine.run_tags import BEHIND_OTHERS
from connector_pipeline.engine.runs_under_way import runs_under_way
from connector_pipeline.messaging.arrivals import Source
from connector_pipeline.model.counted import counted
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.queue import Lane
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import inbox, queued_runs, sync_queue
from connector_pipeline.state.queued_runs import Capacity, Launch

EVERY_SECONDS: Final = 1
"""Less than the 5 seconds in which Dagster's daemon goes round its sensors: at every round."""
LOOKS_FOR_SECONDS: Final = 4.5
"""A tick that finds nothing looks on for so long, and ends before the daemon's next round."""
AHEAD: Final = 2
"""Runs that wait in Dagster's queue, so that one starts as soon as another ends between two ticks.

Dagster's queue lets runs of the foreground pass those of the background."""


def capacity_for(
    *, foreground: int, background: int, background_waits: bool, runs_at_once: int, ahead: int
) -> Capacity:
    """How many runs to launch, where so many of each lane are under way.

    Each lane leaves one run to the other, if that has shops. Of one run at a time the queue's order
    decides, in which a shop of a sweep comes first at last. `ahead` runs more than `runs_at_once`
    may wait in Dagster's queue.
    """
    if runs_at_once == 1:
        free = 1 - foreground - background
        return Capacity(free, free, free)
    beside = background_waits or background > 0
    return Capacity(
        foreground=runs_at_once - 1 - foreground if beside else runs_at_once + ahead - foreground,
        background=runs_at_once - 1 + ahead - background,
        in_all=runs_at_once + ahead - foreground - background,
    )


def sync_queue_sensor(
    source: Source | None = None, *, looks_for: float = LOOKS_FOR_SECONDS
) -> SensorDefinition:
    """Make the sensor over the queue; it first puts the requests of `source` into the inbox.

    A tick that finds nothing to launch looks on for `looks_for` seconds.
    """

    @sensor(
        name="sync_queue",
        job_name=JOB,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Launches runs over the shops that wait in connector.sync_queue.",
    )
    def evaluate(
        context: SensorEvaluationContext, database: ResourceParam[Database]
    ) -> SensorResult | SkipReason:
        """Take in the requests that arrived, then launch runs over the next shops."""
        intake = Intake(context, database, source, hint_pause=load_settings().hint_pause)
        # Without threads the daemon ticks one sensor after the other, and the others would wait.
        may_look = gives_each_sensor_a_thread(context.instance)
        until = time.monotonic() + (looks_for if may_look else 0)
        try:
            intake.take_in()
            launches, waiting = launch_next(context.instance, database)
            while not launches and intake.wait(until, shops_wait=waiting > 0):
                launches, waiting = launch_next(context.instance, database)
        except ConnectorError as error:
            # Nothing is lost: the next tick takes again all that was not committed.
            return SkipReason(f"{error.code}: {error}")
        cursor = intake.cursor
        if not launches:
            return SensorResult(
                skip_reason=f"Waiting for a run: {counted(waiting, 'shop')}."
                if waiting
                else "No shop waits.",
                cursor=cursor,
            )
        keys = {shop.partition_key for launch in launches for shop in launch.shops}
        new = sorted(keys - set(context.instance.get_dynamic_partitions(str(shops.name))))
        context.log.info(
            f"launching {counted(len(launches), 'run')} over {counted(len(keys), 'shop')}; "
            f"waiting: {counted(waiting, 'shop')}"
        )
        return SensorResult(
            run_requests=[run_request(launch) for launch in launches],
            dynamic_partitions_requests=[shops.build_add_request(new)] if new else [],
            cursor=cursor,
        )

    return evaluate


def launch_next(instance: DagsterInstance, database: Database) -> tuple[list[Launch], int]:
    """Find the runs that were asked for, and take the next shops.

    Returns the runs to ask Dagster for, and how many shops wait. Raises DatabaseUnavailable.
    """
    settings = load_settings()
    most = most_runs_at_once(instance)
    runs_at_once = min(settings.runs_at_once or most, most)
    runs = runs_under_way(instance)
    with database.connect() as connection:
        _see(connection, instance)
    with database.connect() as connection:
        _leave_out_inactive(connection)
        _, background_waits = sync_queue.waiting(connection)
        asked_for = {launch.launch_id: launch.lane for launch in queued_runs.unseen(connection)}
        under_way = list((asked_for | _lanes_of(runs)).values())
        queued_runs.take(
            connection,
            capacity=capacity_for(
                foreground=under_way.count(Lane.FOREGROUND),
                background=under_way.count(Lane.BACKGROUND),
                background_waits=background_waits > 0,
                runs_at_once=runs_at_once,
                # Dagster would start runs that are ahead of a smaller number.
                ahead=AHEAD if runs_at_once >= most else 0,
            ),
            shops_per_run=settings.shops_per_run,
            busy=_busy(instance, runs),
        )
        return queued_runs.unseen(connection), sum(sync_queue.waiting(connection))


def launch_here(
    instance: DagsterInstance, database: Database, *, of: str, run_id: str
) -> Launch | None:
    """Take the next shops of a backfill for a run `run_id` of this process. None if none waits.

    The run counts as seen at once: no daemon that starts meanwhile asks for it. Other runs that are
    under way take no capacity from it, because without a daemon they may never go on. Raises
    DatabaseUnavailable.
    """
    runs = runs_under_way(instance)
    with database.connect() as connection:
        _see(connection, instance)
    with database.connect() as connection:
        _leave_out_inactive(connection)
        launch = _unseen_of(connection, of)
        if launch is None:
            queued_runs.take(
                connection,
                capacity=Capacity(1, 1, 1),
                shops_per_run=load_settings().shops_per_run,
                busy=_busy(instance, runs),
                of=of,
            )
            launch = _unseen_of(connection, of)
        if launch is not None:
            queued_runs.seen(connection, {launch.launch_id: run_id})
        return launch


def shops_of(launch: Launch) -> list[ShopToSync]:
    """The shops of a run, as its run config lists them."""
    return [
        ShopToSync(
            partition_key=shop.partition_key,
            sync_type=RequestedSyncType(shop.sync_type),
            sync_id=shop.sync_id,
            correlation_id=shop.correlation_id,
        )
        for shop in launch.shops
    ]


def tags_of(launch: Launch) -> dict[str, str]:
    """The tags of a run: its shops, its launch_id, its lane, why its shops are synced.

    The list of runs shows them by name, and cuts long ones: the shops are first.
    """
    first, *others = [shop.partition_key for shop in launch.shops]
    tags = {
        SHOPS_TAG: f"{first} and {len(others)} more" if others else first,
        LAUNCH_TAG: launch.launch_id,
        LANE_TAG: launch.lane.value,
        REASON_TAG: ", ".join(sorted({shop.reason for shop in launch.shops})),
    }
    backfills = {backfill for shop in launch.shops for backfill in shop.backfills}
    if len(backfills) == 1:
        tags[BACKFILL_TAG] = backfills.pop()
    return tags | (BEHIND_OTHERS if launch.lane is Lane.BACKGROUND else {})


def run_request(launch: Launch) -> RunRequest:
    """The run to ask for. Dagster launches a run key once, so repeating it has no effect."""
    return RunRequest(
        run_key=launch.launch_id,
        job_name=JOB,
        run_config=run_config(shops_of(launch)),
        tags=tags_of(launch),
    )


def _leave_out_inactive(connection: psycopg.Connection) -> None:
    inbox.refuse_paused(connection)
    sync_queue.withdraw_inactive(connection)


def _busy(instance: DagsterInstance, runs: Sequence[DagsterRun]) -> set[str]:
    """The shops of the runs that the queue did not launch.

    It knows itself which shops of its own runs have ended: a run may go on for long because of one
    slow shop.
    """
    return busy_shops(instance, [run for run in runs if LAUNCH_TAG not in run.tags])


def _unseen_of(connection: psycopg.Connection, backfill_id: str) -> Launch | None:
    """A run with shops of the backfill that was asked for, for example by a daemon that died."""
    launches = queued_runs.unseen(connection)
    return next(
        (each for each in launches if any(backfill_id in shop.backfills for shop in each.shops)),
        None,
    )


def _see(connection: psycopg.Connection, instance: DagsterInstance) -> None:
    """Record the runs that were asked for and that Dagster has.

    If the daemon died before it submitted a run, there is none yet: it is asked for again, and
    Dagster submits it under the same run id.
    """
    asked_for = [launch.launch_id for launch in queued_runs.unseen(connection)]
    if not asked_for:
        return
    # Oldest last: a retry has the tag, too, and the first run is the root of its line.
    runs = instance.get_runs(RunsFilter(tags={LAUNCH_TAG: asked_for}))
    queued_runs.seen(
        connection,
        {
            run.tags[LAUNCH_TAG]: run.run_id
            for run in runs
            if run.status is not DagsterRunStatus.NOT_STARTED
        },
    )


def _lanes_of(runs: Sequence[DagsterRun]) -> dict[str, str]:
    """The lanes of the queue's runs among these, by launch_id."""
    return {run.tags[LAUNCH_TAG]: run.tags[LANE_TAG] for run in runs if LAUNCH_TAG in run.tags}
