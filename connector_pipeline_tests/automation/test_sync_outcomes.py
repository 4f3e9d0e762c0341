"""A sync whose run is over ends or waits again; a sync that may still go on is left alone."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import (
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
)
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test

from connector_pipeline.assets.run_identity import LAUNCH_TAG
from connector_pipeline.assets.sync_shops import JOB
from connector_pipeline.automation.dead_workers import fail_runs_of_dead_workers
from connector_pipeline.automation.sync_outcomes import (
    UnfinishedSync,
    end_abandoned_syncs,
    ending,
    may_run_again,
)
from connector_pipeline.engine.retries import LastRun
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import backfills, queue_intake, queued_runs
from connector_pipeline.state.liveness import Worker
from connector_pipeline.state.queued_runs import Capacity, Launch
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.catalog.snapshots import ACME, OTHER
from connector_pipeline_tests.state.test_inbox import Inbox, request
from connector_pipeline_tests.state.test_outbox import Syncs

ORIGIN = RemoteJobOrigin(
    RemoteRepositoryOrigin(
        GrpcServerCodeLocationOrigin(host="localhost", port=1, location_name="here"), "repository"
    ),
    JOB,
)
"""By it Dagster finds the job of a run that it launched, to retry it."""
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FAILURE, CANCELED = DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
SUCCESS, STARTED = DagsterRunStatus.SUCCESS, DagsterRunStatus.STARTED


def ago(**since: float) -> datetime:
    return NOW - timedelta(**since)


ASSETS = frozenset({AssetKey("raw_products"), AssetKey("catalog_items")})
HERE = Worker.here()
ELSEWHERE = replace(HERE, host="elsewhere")
GONE = replace(HERE, process_started=HERE.process_started - 60)


AN_HOUR_AGO, JUST_NOW = ago(hours=1), ago(minutes=2)


def sync(fetched_at: datetime | None = None, since: datetime = AN_HOUR_AGO) -> UnfinishedSync:
    return UnfinishedSync("s-1", "running", since, fetched_at, "r-1", since)


def run(
    status: DagsterRunStatus,
    ended_at: datetime | None = JUST_NOW,
    *,
    will_retry: bool | None = None,
    publishes: bool = True,
) -> LastRun:
    assets = None if publishes else frozenset({AssetKey("raw_products")})
    return LastRun("r-1", status, ended_at, will_retry, assets)


@pytest.mark.parametrize(
    ("unfinished", "last", "why"),
    [
        (sync(), None, "is gone"),
        (sync(since=ago(seconds=5)), None, None),
        (sync(), run(STARTED, None), None),
        (sync(), run(DagsterRunStatus.QUEUED, None), None),
        (sync(), run(CANCELED, NOW), "was cancelled"),
        (sync(), run(FAILURE), "failed before"),
        (sync(), run(FAILURE, ago(seconds=5)), None),
        (sync(), run(FAILURE, ago(seconds=5), will_retry=False), "failed before"),
        (sync(), run(FAILURE, will_retry=True), None),
        (sync(), run(FAILURE, ago(hours=2), will_retry=True), "failed before"),
        (sync(), run(SUCCESS), "without publishing"),
        (sync(fetched_at=ago(minutes=3)), run(SUCCESS), "without publishing"),
        (sync(fetched_at=ago(hours=5)), run(SUCCESS, publishes=False), None),
        (sync(fetched_at=ago(hours=5)), run(FAILURE, publishes=False), None),
        (sync(fetched_at=ago(hours=7)), run(SUCCESS, publishes=False), "without publishing"),
        (sync(), run(FAILURE, publishes=False), "failed before"),
    ],
)
def test_a_sync_has_ended_when_no_run_works_on_it(
    unfinished: UnfinishedSync, last: LastRun | None, why: str | None
) -> None:
    """It has not while its run waits, works or is retried, nor between a UI backfill's parts."""
    found = ending(unfinished, last, now=NOW)
    assert (found is None) == (why is None)
    assert (why or "") in (found or "")


@pytest.mark.parametrize(
    ("last", "again"),
    [
        (run(FAILURE), True),
        (run(SUCCESS), True),
        (run(CANCELED), False),
        (None, False),
    ],
)
def test_a_shop_waits_again_unless_somebody_ended_its_run(
    last: LastRun | None, again: bool
) -> None:
    """Somebody who cancels or deletes a run does not want to see it return."""
    assert may_run_again(last) is again


@pytest.fixture
def requests(database: Database, registry: ShopRegistry) -> Inbox:
    """The inbox with one request that waits in the queue."""
    requests = Inbox(database)
    requests.put(request("s-1"))
    requests.accept()
    return requests


@dataclass(frozen=True)
class Look:
    """The results of one tick of the sensor."""

    unfinished: int
    relaunched: list[str]
    ended: dict[str, str]
    failed_runs: list[str]
    suspects: dict[str, datetime]


def look(
    instance: DagsterInstance,
    database: Database,
    suspects: dict[str, datetime] | None = None,
    *,
    later: timedelta = timedelta(0),
) -> Look:
    now = datetime.now(UTC) + later
    syncs = end_abandoned_syncs(instance, database, now=now)
    workers = fail_runs_of_dead_workers(instance, database, suspects or {}, now=now)
    return Look(syncs.number, syncs.relaunched, syncs.ended, workers.failed_runs, workers.suspects)


def taken(database: Database) -> Launch:
    """Take the shops that wait, for one run."""
    with database.connect() as connection:
        queued_runs.take(connection, capacity=Capacity(1, 1, 1), shops_per_run=100)
        [launch] = queued_runs.unseen(connection)
    return launch


def launched(instance: DagsterInstance, database: Database, status: DagsterRunStatus) -> DagsterRun:
    """Take the shops that wait, make their run as the daemon does, and let the sensor see it."""
    launch = taken(database)
    made = create_run_for_test(
        instance,
        JOB,
        status=status,
        remote_job_origin=ORIGIN,
        tags={LAUNCH_TAG: launch.launch_id, ".dagster/grpc_info": "{}"},
    )
    with database.connect() as connection:
        queued_runs.seen(connection, {launch.launch_id: made.run_id})
    return made


def die(instance: DagsterInstance, run: DagsterRun) -> None:
    """End the run as one that Dagster gave up to retry."""
    instance.report_run_failed(run)
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})


def last_beat(database: Database, run: DagsterRun, worker: Worker) -> None:
    """Record that the run's worker showed its last sign of life two minutes ago."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO connector.run_workers (run_id, host, pid, process_started, beat_at)"
            " VALUES (%s, %s, %s, %s, now() - interval '2 minutes')",
            (run.run_id, worker.host, worker.pid, worker.process_started),
        )


def queue(requests: Inbox) -> list[tuple[str, str | None, str | None]]:
    """State, outcome and error code of every row of the queue."""
    rows = requests.rows("SELECT state, outcome, error_code FROM connector.sync_queue ORDER BY id")
    return [(row["state"], row["outcome"], row["error_code"]) for row in rows]


def outcomes(requests: Inbox) -> list[tuple[str, Any]]:
    return [(event["event_type"], event["data"].get("error")) for event in requests.events()]


def test_a_run_that_was_cancelled_while_it_waited_is_reported_once(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """The run never came to its first step, so only this sensor can report it."""
    queued = launched(instance, database, DagsterRunStatus.STARTING)
    assert look(instance, database).ended == {}
    instance.report_run_canceled(queued)
    assert list(look(instance, database).ended) == ["s-1"]
    assert look(instance, database).ended == {}
    [(event_type, error)] = outcomes(requests)
    assert event_type == "evt.platform.fetch.failed"
    assert error.startswith(f"SyncAbandoned: its run {queued.run_id} was cancelled.")
    [row] = requests.rows("SELECT status, error_code FROM connector.syncs")
    assert row == {"status": "failed", "error_code": "SyncAbandoned"}
    assert queue(requests) == [("ended", "failed", "SyncAbandoned")]


def test_a_request_that_waits_in_the_queue_is_not_abandoned(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """However long it waits for a run, and for that run to be seen."""
    assert look(instance, database, later=timedelta(days=2)).ended == {}
    taken(database)
    assert look(instance, database, later=timedelta(days=2)).ended == {}


def test_a_crashed_run_is_waited_for_while_it_is_retried(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """Dagster's tags lead from each retry to the next, to the last one."""
    first = launched(instance, database, STARTED)
    instance.report_run_failed(first)
    instance.add_run_tags(first.run_id, {"dagster/will_retry": "true"})
    assert look(instance, database, later=timedelta(minutes=30)).ended == {}
    second = create_run_for_test(
        instance,
        status=DagsterRunStatus.STARTING,
        root_run_id=first.run_id,
        parent_run_id=first.run_id,
    )
    instance.add_run_tags(first.run_id, {"dagster/auto_retry_run_id": second.run_id})
    assert look(instance, database, later=timedelta(hours=3)).ended == {}
    instance.report_run_failed(second)
    instance.add_run_tags(second.run_id, {"dagster/will_retry": "false"})
    assert look(instance, database).relaunched == ["s-1"]


def test_a_request_whose_run_died_is_put_in_again(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """Dagster gives up a retry that it cannot launch. After two more runs the request is blamed."""
    launches: set[str] = set()
    for relaunches in (1, 2):
        died = launched(instance, database, STARTED)
        launches.add(died.tags[LAUNCH_TAG])
        die(instance, died)
        looked = look(instance, database)
        assert (looked.relaunched, looked.ended) == (["s-1"], {})
        assert look(instance, database, later=timedelta(days=2)).ended == {}
        [row] = requests.rows("SELECT status, run_id FROM connector.syncs")
        assert row == {"status": "pending", "run_id": None}
        [row] = requests.rows(
            "SELECT state, reason, priority, relaunches FROM connector.sync_queue"
        )
        assert row == {
            "state": "waiting",
            "reason": "retry",
            "priority": 0,
            "relaunches": relaunches,
        }
    assert outcomes(requests) == []
    died = launched(instance, database, STARTED)
    assert len({*launches, died.tags[LAUNCH_TAG]}) == 3
    die(instance, died)
    assert list(look(instance, database).ended) == ["s-1"]
    assert queue(requests) == [("ended", "failed", "SyncAbandoned")]
    assert len(outcomes(requests)) == 1


def test_a_shop_whose_run_died_before_its_sync_began_is_put_in_again(
    instance: DagsterInstance, database: Database, registry: ShopRegistry
) -> None:
    """Nobody waits for it, so there is no record of a sync. It is put in again twice, too."""
    registry.add(ACME)
    with database.connect() as connection:
        queue_intake.put_shops(
            connection, [ACME.partition_key], reason=QueueReason.BACKFILL, backfill_id="b-1"
        )
    for again in (True, True, False):
        die(instance, launched(instance, database, STARTED))
        looked = look(instance, database)
        assert [len(looked.relaunched), len(looked.ended)] == [again, not again]
    with database.connect() as connection:
        statuses = backfills.statuses(connection, "b-1")
    assert statuses == {ACME.partition_key: ("failed", "SyncAbandoned")}
    assert outcomes(Inbox(database)) == []


def test_a_shop_whose_run_was_cancelled_is_not_put_in_again(
    instance: DagsterInstance, database: Database, requests: Inbox, registry: ShopRegistry
) -> None:
    """Neither one that was requested nor one that nobody waits for."""
    registry.add(OTHER)
    with database.connect() as connection:
        queue_intake.put_shops(connection, [OTHER.partition_key], reason=QueueReason.SWEEP)
        queued_runs.take(connection, capacity=Capacity(2, 2, 2), shops_per_run=100)
        runs = {
            launch.launch_id: create_run_for_test(instance, JOB, status=CANCELED).run_id
            for launch in queued_runs.unseen(connection)
        }
        assert len(runs) == 2
        queued_runs.seen(connection, runs)
    looked = look(instance, database)
    assert (looked.relaunched, len(looked.ended)) == ([], 2)
    assert queue(requests) == [("ended", "failed", "SyncAbandoned")] * 2


def test_a_run_is_ended_for_each_of_its_shops(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """A shop whose outcome the run recorded keeps it; the others of the run wait again."""
    requests.put(request("s-2", "beta"), request("s-3", "gamma"))
    requests.accept()
    died = launched(instance, database, STARTED)
    requests.fail("s-2")
    die(instance, died)
    looked = look(instance, database)
    assert (sorted(looked.relaunched), looked.ended) == (["s-1", "s-3"], {})
    assert queue(requests) == [
        ("waiting", None, None),
        ("ended", "failed", "PlatformUnavailable"),
        ("waiting", None, None),
    ]


def test_a_retry_that_dagster_missed_is_not_waited_for(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """The daemon looks at each failure once, and the code server may be away at that moment."""
    died = launched(instance, database, STARTED)
    instance.report_run_failed(died)
    instance.add_run_tags(died.run_id, {"dagster/will_retry": "true"})
    failed = instance.get_records_for_run(died.run_id, of_type=DagsterEventType.RUN_FAILURE)
    [failure] = failed.records

    def daemon_has_seen(event: int) -> None:
        instance.daemon_cursor_storage.set_cursor_values(
            {"EVENT_LOG_CONSUMER_CURSOR-PIPELINE_FAILURE": str(event)}
        )

    assert look(instance, database).relaunched == []
    daemon_has_seen(failure.storage_id - 1)
    assert look(instance, database).relaunched == []
    daemon_has_seen(failure.storage_id)
    assert look(instance, database).relaunched == ["s-1"]
    missed = instance.get_run_by_id(died.run_id)
    assert missed is not None
    assert missed.tags["dagster/will_retry"] == "false"


def test_a_request_whose_run_published_another_syncs_snapshot_is_put_in_again(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """A retry that only publishes takes the newest snapshot, and not the request's own."""
    launched(instance, database, SUCCESS)
    assert look(instance, database).relaunched == ["s-1"]


def test_the_shops_of_a_run_that_the_queue_did_not_launch_are_left_alone_while_it_goes_on(
    instance: DagsterInstance, database: Database, registry: ShopRegistry
) -> None:
    """Somebody launched `sync_shops` in the UI.

    Between a crash and the retry its shops are left alone, too.
    """
    syncs = Syncs(database, registry)
    first = create_run_for_test(
        instance, job_name="sync_shops", status=STARTED, remote_job_origin=ORIGIN
    )
    SyncRecords(registry.database).start(syncs.sync("own"), ACME, first.run_id)
    assert look(instance, database, later=timedelta(hours=3)).ended == {}
    instance.report_run_failed(first)
    assert look(instance, database).ended == {}
    instance.add_run_tags(first.run_id, {"dagster/will_retry": "true"})
    assert look(instance, database, later=timedelta(minutes=30)).ended == {}
    second = create_run_for_test(instance, job_name="sync_shops", status=STARTED)
    instance.add_run_tags(first.run_id, {"dagster/auto_retry_run_id": second.run_id})
    assert look(instance, database, later=timedelta(hours=3)).ended == {}
    instance.report_dagster_event(
        DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, second.job_name), second.run_id
    )
    looked = look(instance, database)
    assert (list(looked.ended), looked.relaunched) == (["own"], [])


def test_a_deleted_run_has_ended_its_sync(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """Somebody may delete a run in the UI."""
    made = launched(instance, database, STARTED)
    instance.delete_run(made.run_id)
    ended = look(instance, database, later=timedelta(minutes=5)).ended
    assert ended == {"s-1": "its run is gone."}


def test_a_sync_that_nobody_requested_does_not_run_for_ever_either(
    instance: DagsterInstance, database: Database, registry: ShopRegistry
) -> None:
    """The table connector.syncs is right about scheduled syncs, too."""
    syncs = Syncs(database, registry)
    made = create_run_for_test(instance, status=CANCELED)
    started = syncs.sync("own")
    SyncRecords(registry.database).start(started, ACME, made.run_id)
    assert list(look(instance, database).ended) == ["own"]
    assert registry.get(ACME.partition_key).consecutive_failures == 1
