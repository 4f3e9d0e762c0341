"""A run whose worker is dead is failed; one that may still go on is left alone."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import psutil
import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.utils import make_new_run_id

from connector_pipeline.assets.sync_shops import JOB
from connector_pipeline.automation.dead_workers import is_dead
from connector_pipeline.engine.run_tags import EXECUTED_BY_A_COMMAND
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import queued_runs
from connector_pipeline.state.liveness import (
    FENCE,
    UNHEARD_FOR,
    Silence,
    Worker,
    alive,
    claim,
    lives,
    this_host,
)
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.automation.test_sync_outcomes import (
    ASSETS,
    ELSEWHERE,
    FAILURE,
    GONE,
    HERE,
    ORIGIN,
    STARTED,
    ago,
    last_beat,
    launched,
    look,
    requests,
    taken,
)
from connector_pipeline_tests.catalog.snapshots import ACME
from connector_pipeline_tests.state.test_inbox import Inbox
from connector_pipeline_tests.state.test_outbox import Syncs

__all__ = ["requests"]


def ranged(instance: DagsterInstance) -> DagsterRun:
    """Make a run of a backfill that is at work."""
    return create_run_for_test(
        instance,
        status=STARTED,
        tags={".dagster/grpc_info": "{}"},
        asset_selection=frozenset({AssetKey("catalog_items")}),
    )


def test_a_run_whose_worker_is_dead_is_failed(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """It is failed after two looks at a missing process. Dagster itself would wait for hours."""
    made = launched(instance, database, STARTED)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        worker = Worker(this_host(), process.pid, psutil.Process(process.pid).create_time())
        last_beat(database, made, worker)
        lives_yet = look(instance, database, {made.run_id: ago(days=1)})
        assert (lives_yet.failed_runs, list(lives_yet.suspects)) == ([], [made.run_id])
        process.kill()
    first = look(instance, database)
    assert first.failed_runs == []
    assert list(first.suspects) == [made.run_id]
    assert look(instance, database, first.suspects).failed_runs == []
    second = look(instance, database, first.suspects, later=timedelta(minutes=1))
    assert second.failed_runs == [made.run_id]
    found = instance.get_run_by_id(made.run_id)
    assert found is not None
    assert found.status is FAILURE


def test_a_dead_workers_run_is_failed_though_its_syncs_have_ended(
    instance: DagsterInstance, database: Database
) -> None:
    """A run that was killed after its last shop would count as running for hours."""
    made = ranged(instance)
    last_beat(database, made, GONE)
    looked = look(instance, database, {made.run_id: ago(days=1)})
    assert (looked.unfinished, looked.failed_runs) == (0, [made.run_id])


@pytest.mark.parametrize(
    ("worker", "lasted", "seen_for", "dead"),
    [
        (HERE, timedelta(minutes=4), timedelta(minutes=4), False),
        (HERE, timedelta(minutes=6), timedelta(minutes=6), True),
        (GONE, timedelta(seconds=35), timedelta(seconds=15), False),
        (GONE, timedelta(seconds=51), timedelta(seconds=31), True),
        (ELSEWHERE, timedelta(seconds=70), timedelta(seconds=50), False),
        (ELSEWHERE, timedelta(seconds=76), timedelta(seconds=30), True),
        (ELSEWHERE, timedelta(minutes=30), timedelta(seconds=10), False),
        (None, None, timedelta(minutes=1), False),
        (None, None, timedelta(minutes=3), True),
    ],
)
def test_a_silent_worker_is_dead_when_its_process_is_gone(
    worker: Worker | None, lasted: timedelta | None, seen_for: timedelta, dead: bool
) -> None:
    """One that cannot be seen has more time, one that exists is busy for longer. After an outage of
    the database all were silent, and only those that stay so are dead."""
    assert is_dead(Silence(worker, lasted), seen_for=seen_for) == dead


def test_a_worker_ends_its_run_before_another_can_take_it_for_dead() -> None:
    """The fence has room for a sign that takes long to reach the database, and to be read there."""
    assert FENCE.cancel_after < FENCE.kill_after
    assert timedelta(seconds=FENCE.kill_after + 10) < UNHEARD_FOR


def test_a_worker_elsewhere_cannot_be_seen_from_here() -> None:
    """Nor can one that never showed a sign. A pid that was used again is another process."""
    here = Worker.here()
    assert lives(here)
    assert lives(replace(here, host="elsewhere")) is None
    assert lives(None) is None
    assert lives(replace(here, process_started=here.process_started - 60)) is False


def test_a_run_without_any_sign_has_time(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """Its worker may still be importing modules on a busy machine."""
    made = launched(instance, database, STARTED)
    suspects = look(instance, database).suspects
    assert list(suspects) == [made.run_id]
    assert look(instance, database, suspects, later=timedelta(minutes=1)).failed_runs == []
    later = look(instance, database, suspects, later=timedelta(minutes=4))
    assert later.failed_runs == [made.run_id]


def test_a_worker_that_lives_is_left_alone(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """It shows signs of life while it works."""
    made = launched(instance, database, STARTED)
    suspects = look(instance, database).suspects
    with alive(database, made.run_id):
        pass
    later = look(instance, database, suspects, later=timedelta(minutes=1))
    assert (later.failed_runs, later.suspects) == ([], {})


def test_a_commands_run_is_failed_once_its_command_is_dead(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """Its shops wait again: a killed `backfill` leaves none behind."""
    launch = taken(database)
    run_id = make_new_run_id()
    marks = {EXECUTED_BY_A_COMMAND: run_id}
    made = create_run_for_test(instance, JOB, run_id=run_id, status=STARTED, tags=marks)
    with database.connect() as connection:
        queued_runs.seen(connection, {launch.launch_id: made.run_id})
    last_beat(database, made, GONE)
    # No other process can be about to start in its place.
    assert look(instance, database).failed_runs == [made.run_id]
    # Dagster says so at once of a run that it may not retry (engine/run_storage.py).
    instance.add_run_tags(made.run_id, {"dagster/will_retry": "false"})
    assert look(instance, database).relaunched == ["s-1"]


def test_a_run_that_no_launcher_of_dagsters_knows_is_failed_too(
    instance: DagsterInstance, database: Database, requests: Inbox
) -> None:
    """Only the default launcher tags its runs. A lost Celery worker's stayed started for hours."""
    made = create_run_for_test(instance, JOB, status=STARTED, remote_job_origin=ORIGIN)
    last_beat(database, made, ELSEWHERE)
    suspects = look(instance, database).suspects
    looked = look(instance, database, suspects, later=timedelta(seconds=20))
    assert looked.failed_runs == [made.run_id]


def test_a_run_that_was_taken_up_and_never_began_is_failed(
    instance: DagsterInstance, database: Database
) -> None:
    """Its worker died while the run was starting. One that waits to be taken up is left alone."""
    waiting, begun = (
        create_run_for_test(
            instance, JOB, status=DagsterRunStatus.STARTING, remote_job_origin=ORIGIN
        )
        for _ in range(2)
    )
    last_beat(database, begun, GONE)
    looked = look(instance, database, {each.run_id: ago(days=1) for each in (waiting, begun)})
    assert looked.failed_runs == [begun.run_id]


def test_a_run_is_claimed_once(database: Database) -> None:
    """However often a broker delivers it."""
    assert claim(database, "r-1")
    assert not claim(database, "r-1")
    assert claim(database, "r-2")


def test_a_commands_run_has_all_the_time_to_show_its_first_sign(
    instance: DagsterInstance, database: Database, registry: ShopRegistry
) -> None:
    """The command executes it in its own process. A job that syncs nothing never shows a sign."""
    syncs = Syncs(database, registry)
    run_id = make_new_run_id()
    create_run_for_test(
        instance,
        run_id=run_id,
        status=STARTED,
        asset_selection=ASSETS,
        tags={EXECUTED_BY_A_COMMAND: run_id},
    )
    SyncRecords(registry.database).start(syncs.sync("own"), ACME, run_id)
    create_run_for_test(
        instance, job_name="prune_logs", status=STARTED, tags={".dagster/grpc_info": "{}"}
    )
    assert look(instance, database).suspects == {}
