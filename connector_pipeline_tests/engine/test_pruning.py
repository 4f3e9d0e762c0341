"""Old runs are deleted from Dagster's storage, and its UI shows the same state as before."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    Definitions,
    DynamicPartitionsDefinition,
    Failure,
    asset,
    in_process_executor,
    multi_asset_check,
)
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.events import DagsterEventType
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.execution.plan.outputs import StepOutputData
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.test_utils import create_run_for_test

from connector_pipeline.definitions import build_definitions
from connector_pipeline.engine.check_history import last_evaluation
from connector_pipeline.engine.pruning import (
    RIGHT_REVISIONS,
    NotPostgres,
    UnknownRevision,
    prune,
)
from connector_pipeline.settings import load_settings

KEEP = timedelta(days=14)
PARTITIONS = DynamicPartitionsDefinition(name="shops")
KEYS = [f"shopify/pruned-{number}.myshopify.com" for number in range(8)]
THING = AssetKey("thing")
CHECK = AssetCheckKey(THING, "fine")
FAILING = "fails"


@asset(partitions_def=PARTITIONS)
def thing(context: AssetExecutionContext) -> None:
    """Fail the shops that the run's tag names, as assets/reporting.py does."""
    failing = json.loads(context.run.tags.get(FAILING, "[]"))
    if not failing:
        for key in context.partition_keys:
            context.add_asset_metadata({"pages": 3}, partition_key=key)
        return
    for key in context.partition_keys:
        if key not in failing:
            context.log_event(AssetMaterialization("thing", partition=key))
    raise Failure("some failed", allow_retries=False)


@multi_asset_check(specs=[AssetCheckSpec("fine", asset=THING)])
def fine() -> Iterator[AssetCheckResult]:
    """A check like the project's: of the run and not of a partition."""
    yield AssetCheckResult(check_name="fine", passed=True)


JOB = Definitions(
    assets=[thing], asset_checks=[fine], executor=in_process_executor
).resolve_implicit_global_asset_job_def()


@pytest.fixture
def instance(stored_instance: DagsterInstance) -> DagsterInstance:
    """An instance over the real storage, with a partition for each shop."""
    stored_instance.add_dynamic_partitions("shops", KEYS)
    return stored_instance


def run(
    instance: DagsterInstance, first: int, last: int, *, failing: tuple[int, ...] = (), days: int
) -> str:
    """Make a run over a range of shops that ended this many days ago. Returns its id."""
    tags = {
        "dagster/asset_partition_range_start": KEYS[first],
        "dagster/asset_partition_range_end": KEYS[last],
    }
    if failing:
        tags[FAILING] = json.dumps([KEYS[number] for number in failing])
    run_id = str(uuid4())
    JOB.execute_in_process(
        instance=instance,
        tags=tags,
        run_id=run_id,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    age(run_id, days)
    return run_id


def age(run_id: str, days: int) -> None:
    with admin() as connection:
        connection.execute(
            "UPDATE runs SET create_timestamp = create_timestamp - %(age)s, "
            "update_timestamp = update_timestamp - %(age)s WHERE run_id = %(run_id)s",
            {"age": timedelta(days=days), "run_id": run_id},
        )


def admin() -> psycopg.Connection:
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    return psycopg.connect(url, autocommit=True)


def shown(instance: DagsterInstance) -> dict[str, Any]:
    """The state on the pages of partitions, of an asset and of a check, by the UI's own queries."""
    with admin() as connection:
        # Read anew, and not from its cache.
        connection.execute("UPDATE asset_keys SET cached_status_data = NULL")
    status = get_and_update_asset_status_cache_value(instance, THING, PARTITIONS)
    assert status is not None
    with partition_loading_context(dynamic_partitions_store=instance):
        partitions = [
            sorted(subset.get_partition_keys())
            for subset in (
                status.deserialize_materialized_partition_subsets(PARTITIONS),
                status.deserialize_failed_partition_subsets(PARTITIONS),
                status.deserialize_in_progress_partition_subsets(PARTITIONS),
            )
        ]
    log = instance.event_log_storage
    latest = log.get_latest_storage_id_by_partition(THING, DagsterEventType.ASSET_MATERIALIZATION)
    record = next(iter(instance.get_asset_records([THING]))).asset_entry
    check = log.get_latest_asset_check_execution_by_key([CHECK])[CHECK]
    return {
        "partitions": partitions,
        "latest": latest,
        "latest_tags": log.get_latest_tags_by_partition(
            THING, DagsterEventType.ASSET_MATERIALIZATION, tag_keys=["dagster/data_version"]
        ),
        "latest_run": (record.last_run_id, record.last_materialization_storage_id),
        "check": (check.id, check.run_id, check.status),
    }


def page(instance: DagsterInstance, run_id: str) -> tuple[Any, ...]:
    """The rows that a run's page shows."""
    return instance.get_run_by_id(run_id), instance.all_logs(run_id), instance.get_run_stats(run_id)


def rows() -> dict[str, int]:
    tables = ("runs", "run_tags", "event_logs", "asset_event_tags", "asset_check_executions")
    with admin() as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in tables
        }


def test_the_ui_shows_the_same_before_and_after(instance: DagsterInstance) -> None:
    """The last events of every partition, also of failed ones, stay with their runs."""
    first = run(instance, 0, 7, days=90)  # the last run that materialized 6 and 7
    second = run(instance, 0, 5, days=60)  # the last run that materialized 5
    superseded = [
        run(instance, 0, 4, days=55),
        run(instance, 0, 4, failing=(2,), days=50),
    ]
    failed = run(instance, 3, 5, failing=(5,), days=40)  # 5 still counts as failed in it
    recent = run(instance, 0, 4, days=3)
    kept = [first, second, failed, recent]
    before, pages = shown(instance), [page(instance, run_id) for run_id in kept]
    assert before["partitions"] == [KEYS, [KEYS[5]], []]
    held = rows()

    pruned = prune(instance, keep=KEEP, now=datetime.now(UTC))

    assert (pruned.runs, pruned.kept_runs) == (2, 3)
    assert pruned.events > 20
    assert [table for table, count in rows().items() if not 0 < count < held[table]] == []
    assert shown(instance) == before
    assert [page(instance, run_id) for run_id in kept] == pages
    assert {each.run_id for each in instance.get_runs()} == set(kept)
    for run_id in superseded:
        assert instance.all_logs(run_id) == []
    with admin() as connection:
        for table in ("asset_check_executions", "run_tags", "event_logs"):
            left = connection.execute(f"SELECT DISTINCT run_id FROM {table}").fetchall()
            assert {run_id for (run_id,) in left} <= set(kept)
        orphans = connection.execute(
            "SELECT count(*) FROM asset_event_tags "
            "WHERE event_id NOT IN (SELECT id FROM event_logs)"
        )
        assert orphans.fetchall() == [(0,)]

    # A later run supersedes an old one, which then goes. A second pruning deletes nothing more.
    run(instance, 5, 7, days=0)
    before = shown(instance)
    assert prune(instance, keep=KEEP, now=datetime.now(UTC)).runs == 3
    assert shown(instance) == before
    left = rows()
    assert prune(instance, keep=KEEP, now=datetime.now(UTC)).runs == 0
    assert rows() == left


def test_what_was_reported_without_a_run_is_pruned_but_for_the_latest(
    instance: DagsterInstance,
) -> None:
    """A sensor reports the health of shops every hour; nothing of another asset is touched."""
    other = AssetKey("other")
    for key, number in ((THING, 3), (other, 2)):
        for _ in range(number):
            instance.report_runless_asset_event(AssetMaterialization(key))
            instance.report_runless_asset_event(
                AssetCheckEvaluation(
                    asset_key=key, check_name="fine", passed=True, metadata={}, blocking=False
                )
            )
    with admin() as connection:
        connection.execute("UPDATE event_logs SET timestamp = timestamp - interval '30 days'")
        connection.execute(
            "UPDATE asset_check_executions SET create_timestamp = create_timestamp"
            " - interval '30 days'"
        )
    pruned = prune(instance, keep=KEEP, now=datetime.now(UTC), reported=[THING])
    assert (pruned.events, pruned.check_executions) == (4, 2)
    with admin() as connection:
        left = connection.execute(
            "SELECT dagster_event_type, count(*) FROM event_logs WHERE run_id = ''"
            " GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert left == [("ASSET_CHECK_EVALUATION", 3), ("ASSET_MATERIALIZATION", 3)]
    assert instance.get_latest_materialization_event(THING) is not None
    assert last_evaluation(instance, CHECK) is not None


def test_a_run_that_goes_on_is_never_pruned(instance: DagsterInstance) -> None:
    """Nor are the ended runs of a backfill that goes on, because the daemon reads them."""
    old = run(instance, 0, 2, days=60)
    of_backfill = run(instance, 0, 2, days=60)
    going_on = run(instance, 0, 2, days=60)
    run(instance, 0, 7, days=1)
    with admin() as connection:
        connection.execute("UPDATE runs SET status = 'STARTED' WHERE run_id = %s", (going_on,))
    backfills = {
        "underway": BulkActionStatus.REQUESTED,
        "finished": BulkActionStatus.COMPLETED_SUCCESS,
    }
    for backfill_id, status in backfills.items():
        instance.add_backfill(
            PartitionBackfill(
                backfill_id=backfill_id,
                status=status,
                from_failure=False,
                tags={},
                backfill_timestamp=(datetime.now(UTC) - timedelta(days=60)).timestamp(),
                asset_selection=[THING],
                serialized_asset_backfill_data="{}",
            )
        )
    instance.add_run_tags(of_backfill, {"dagster/backfill": "underway"})
    instance.add_run_tags(old, {"dagster/backfill": "finished"})
    with admin() as connection:
        connection.execute(
            "UPDATE runs SET update_timestamp = update_timestamp - interval '60 days' "
            "WHERE run_id = ANY(%s)",
            ([old, of_backfill],),
        )
        connection.execute("UPDATE bulk_actions SET timestamp = timestamp - interval '60 days'")
    pruned = prune(instance, keep=KEEP, now=datetime.now(UTC))
    assert (pruned.runs, pruned.backfills) == (1, 1)
    assert instance.get_run_by_id(old) is None
    assert instance.get_run_by_id(of_backfill) is not None
    assert instance.get_run_by_id(going_on) is not None
    assert [each.backfill_id for each in instance.get_backfills()] == ["underway"]


OURS = RemoteRepositoryOrigin(
    GrpcServerCodeLocationOrigin("localhost", port=4000, location_name="connector_pipeline"),
    "__repository__",
)
THEIRS = RemoteRepositoryOrigin(
    GrpcServerCodeLocationOrigin("localhost", port=4001, location_name="another_project"),
    "__repository__",
)


def stored(
    instance: DagsterInstance,
    of: RemoteRepositoryOrigin | None,
    tags: dict[str, str],
    *,
    module: str = "connector_pipeline.definitions",
) -> str:
    """An old run that succeeded; if it is `of` none, `dg launch` of the module executed it."""
    repository = RepositoryPythonOrigin("python", ModuleCodePointer(module, "defs"))
    made = create_run_for_test(
        instance,
        status=DagsterRunStatus.SUCCESS,
        tags=tags,
        remote_job_origin=None if of is None else RemoteJobOrigin(of, "job"),
        job_code_origin=None if of else JobPythonOrigin("job", repository),
    )
    age(made.run_id, 30)
    return made.run_id


def test_runs_and_backfills_of_other_projects_are_left_alone(instance: DagsterInstance) -> None:
    """Several projects may share Dagster's storage, and each keeps its runs as long as it likes."""
    for key in ("ours", "theirs"):
        backfill = PartitionBackfill(
            backfill_id=key,
            status=BulkActionStatus.COMPLETED_SUCCESS,
            from_failure=False,
            tags={},
            backfill_timestamp=time.time() - 30 * 86_400,
        )
        instance.add_backfill(backfill)
    ours = {
        stored(instance, OURS, {"dagster/backfill": "ours"}),
        stored(instance, OURS, {}),
        stored(instance, None, {}),
    }
    theirs = {
        stored(instance, THEIRS, {}),
        stored(instance, THEIRS, {"connector/sync_id": "a-copy-of-ours"}),
        stored(instance, None, {}, module="another_project.definitions"),
    }
    pruned = prune(instance, keep=KEEP, now=datetime.now(UTC), repository=OURS.get_label())
    assert pruned.runs == len(ours)
    assert {run.run_id for run in instance.get_runs()} == theirs
    assert [each.backfill_id for each in instance.get_backfills()] == ["theirs"]


def test_a_temporary_storage_is_left_alone() -> None:
    """The storage ends with its process."""
    with DagsterInstance.ephemeral() as ephemeral, pytest.raises(NotPostgres):
        prune(ephemeral, keep=KEEP, now=datetime.now(UTC))


def test_the_job_prunes_every_day(
    instance: DagsterInstance, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedule runs by default, keeps what EVENT_LOG_KEEP says, and reports the numbers."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", database_url)
    monkeypatch.setenv("EVENT_LOG_KEEP", "2d")
    definitions = build_definitions(load_settings())
    schedule = definitions.resolve_schedule_def("prune_logs_daily")
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    old, newer = run(instance, 0, 1, days=3), run(instance, 0, 1, days=1)
    result = definitions.resolve_job_def(schedule.job_name).execute_in_process(
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success
    assert instance.get_run_by_id(old) is None
    assert instance.get_run_by_id(newer) is not None
    [output] = [
        event.event_specific_data
        for event in result.all_events
        if event.is_successful_output and event.step_key == "prune_event_log"
    ]
    assert isinstance(output, StepOutputData)
    assert output.metadata["runs"].value == 1


@pytest.mark.parametrize("revisions", [[], ["of-another-version"], ["29b539ebc72a", "another"]])
def test_nothing_is_deleted_from_tables_of_an_unknown_revision(
    instance: DagsterInstance,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    revisions: list[str],
) -> None:
    """The job fails and names the revisions."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", database_url)
    old = run(instance, 0, 1, days=90)
    run(instance, 0, 1, days=0)
    with admin() as connection:
        connection.execute("DELETE FROM alembic_version")
        for revision in revisions:
            connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
    before = rows()
    with pytest.raises(UnknownRevision, match=", ".join(sorted(revisions)) or "none"):
        prune(instance, keep=KEEP, now=datetime.now(UTC))
    assert rows() == before
    result = (
        build_definitions(load_settings())
        .resolve_job_def("prune_logs")
        .execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    )
    [failure] = [
        event.step_failure_data.user_failure_data
        for event in result.all_events
        if event.is_step_failure and event.step_key == "prune_event_log"
    ]
    assert failure is not None
    assert "No run and no event was deleted." in (failure.description or "")
    assert instance.get_run_by_id(old) is not None


def test_the_installed_dagster_makes_tables_of_a_known_revision(instance: DagsterInstance) -> None:
    """An upgrade of Dagster that changes its tables fails this test before it prunes anything."""
    assert instance.get_runs() == []
    with admin() as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert [revision for (revision,) in found] == sorted(RIGHT_REVISIONS)
