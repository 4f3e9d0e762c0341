"""Events that a run writes together are one transaction in Dagster's storage."""

import os
from collections.abc import Callable
from typing import LiteralString

import psycopg
import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSpec,
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    DagsterInstance,
    MaterializeResult,
    OpExecutionContext,
    asset,
    job,
    materialize,
    op,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from sqlalchemy.event import listen

from connector_pipeline.engine.asset_events import (
    log_check_evaluations,
    plan_materializations,
    write_materializations,
)
from connector_pipeline.engine.event_log import BatchingEventLog

ASSET = AssetKey("catalog")
PARTITIONS = [f"shop-{number}" for number in range(5)]
CHECKS = {"right": True, "wrong": False, "right_too": True}


def connected() -> psycopg.Connection:
    """A connection of the test's own to the storage's database."""
    return psycopg.connect(os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", ""))


def query(statement: LiteralString, *values: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    with connected() as connection:
        return connection.execute(statement, values).fetchall()


def run(instance: DagsterInstance, write: Callable[[OpExecutionContext], None]) -> str:
    """Make a run whose op writes events. Returns the run's id."""

    @op
    def writes(context: OpExecutionContext) -> None:
        write(context)

    @job
    def writing() -> None:
        writes()

    result = writing.execute_in_process(instance=instance)
    assert result.success
    return result.run_id


def transactions(kind: DagsterEventType) -> list[tuple[object, ...]]:
    """How many events of the kind each transaction wrote."""
    return query(
        "SELECT count(*) FROM event_logs WHERE dagster_event_type = %s GROUP BY xmin::text",
        kind.value,
    )


def evaluations() -> list[AssetCheckEvaluation]:
    return [
        AssetCheckEvaluation(
            asset_key=ASSET, check_name=name, passed=passed, description="as it is", metadata={}
        )
        for name, passed in CHECKS.items()
    ]


def test_planned_materializations_are_one_transaction(stored_instance: DagsterInstance) -> None:
    """Each partition is planned, and the asset knows its latest run."""
    run_id = run(stored_instance, lambda context: plan_materializations(context, ASSET, PARTITIONS))
    planned = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    assert transactions(planned) == [(len(PARTITIONS),)]
    found = stored_instance.event_log_storage.get_latest_storage_id_by_partition(ASSET, planned)
    assert set(found) == set(PARTITIONS)
    assert query("SELECT asset_key, last_run_id FROM asset_keys") == [(ASSET.to_string(), run_id)]


def test_materializations_are_one_transaction(stored_instance: DagsterInstance) -> None:
    """The asset shows the last one."""
    run(
        stored_instance,
        lambda context: write_materializations(
            context, [AssetMaterialization(ASSET, partition=each) for each in PARTITIONS]
        ),
    )
    assert transactions(DagsterEventType.ASSET_MATERIALIZATION) == [(len(PARTITIONS),)]
    latest = stored_instance.get_latest_materialization_event(ASSET)
    assert latest is not None
    assert latest.asset_materialization is not None
    assert latest.asset_materialization.partition == PARTITIONS[-1]


@pytest.mark.parametrize("planned", [False, True])
def test_evaluations_of_checks_are_one_transaction(
    stored_instance: DagsterInstance, planned: bool
) -> None:
    """Each check has one execution of the run, whether Dagster planned it or not."""

    def write(context: OpExecutionContext) -> None:
        if planned:
            plan_checks(context.run_id)
        log_check_evaluations(context, evaluations())

    def plan_checks(run_id: str) -> None:
        with connected() as connection:
            for name in CHECKS:
                connection.execute(
                    "INSERT INTO asset_check_executions"
                    " (asset_key, check_name, run_id, execution_status)"
                    " VALUES (%s, %s, %s, 'PLANNED')",
                    (ASSET.to_string(), name, run_id),
                )

    run_id = run(stored_instance, write)
    assert transactions(DagsterEventType.ASSET_CHECK_EVALUATION) == [(len(CHECKS),)]
    assert query("SELECT count(DISTINCT xmin::text) FROM asset_check_executions") == [(1,)]
    for name, passed in CHECKS.items():
        [execution] = stored_instance.event_log_storage.get_asset_check_execution_history(
            AssetCheckKey(ASSET, name), limit=10
        )
        assert execution.run_id == run_id
        assert execution.status is (
            AssetCheckExecutionRecordStatus.SUCCEEDED
            if passed
            else AssetCheckExecutionRecordStatus.FAILED
        )
        assert execution.event is not None
        assert execution.event.get_dagster_event().asset_check_evaluation_data.passed is passed


def test_a_batch_that_cannot_be_written_leaves_nothing_behind(
    stored_instance: DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dagster then writes the events one by one, and no event is there twice."""
    stored_instance.get_runs()
    with connected() as connection:
        # The second event of a transaction is refused.
        connection.execute(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF (SELECT count(*) FROM event_logs WHERE xmin::text = NEW.xmin::text) > 1 THEN
                    RAISE EXCEPTION 'one at a time';
                END IF;
                RETURN NULL;
            END $$;
            """
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER one_at_a_time AFTER INSERT ON event_logs"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    run(stored_instance, lambda context: plan_materializations(context, ASSET, PARTITIONS))
    assert transactions(DagsterEventType.ASSET_MATERIALIZATION_PLANNED) == [(1,)] * len(PARTITIONS)
    assert "one at a time" in capsys.readouterr().err


def test_what_a_run_of_assets_plans_is_one_transaction(stored_instance: DagsterInstance) -> None:
    """Materializations and checks; the checks are evaluated as the run's own."""

    @asset(key=ASSET, check_specs=[AssetCheckSpec(name, asset=ASSET) for name in CHECKS])
    def catalog() -> MaterializeResult:
        results = [AssetCheckResult(passed=passed, check_name=n) for n, passed in CHECKS.items()]
        return MaterializeResult(check_results=results)

    result = materialize([catalog], instance=stored_instance)
    assert result.success
    assert query(
        "SELECT count(*), count(DISTINCT xmin::text) FROM event_logs WHERE dagster_event_type IN "
        "('ASSET_MATERIALIZATION_PLANNED', 'ASSET_CHECK_EVALUATION_PLANNED')"
    ) == [(1 + len(CHECKS), 1)]
    assert query(
        "SELECT check_name, execution_status FROM asset_check_executions WHERE run_id = %s "
        "ORDER BY check_name",
        result.run_id,
    ) == [("right", "SUCCEEDED"), ("right_too", "SUCCEEDED"), ("wrong", "FAILED")]


def test_tables_that_were_there_are_not_looked_for_again(stored_instance: DagsterInstance) -> None:
    """Dagster looks before most events: it was a quarter of a run's statements."""
    log = stored_instance.event_log_storage
    assert isinstance(log, BatchingEventLog)
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    run(stored_instance, lambda context: context.log_event(AssetMaterialization(ASSET)))
    listen(log._engine, "before_cursor_execute", note)  # pyright: ignore[reportPrivateUsage]
    run(stored_instance, lambda context: context.log_event(AssetMaterialization(ASSET)))
    assert any("event_logs" in statement for statement in asked)
    assert not [statement for statement in asked if "pg_catalog" in statement]
    assert not log.has_table("not_one_of_dagsters")
