"""The count of Dagster's runs, asked without Dagster."""

import os

import psycopg
from dagster import DagsterInstance, job

from connector_pipeline.engine.stored_runs import stored_runs


@job
def nothing() -> None:
    """A job without a step."""


def test_runs_are_counted_as_dagster_counts_them(stored_instance: DagsterInstance) -> None:
    """Dagster made the tables when it opened the storage."""
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    with psycopg.connect(url, autocommit=True) as connection:
        assert stored_runs(connection) == 0
        for _ in range(2):
            assert nothing.execute_in_process(instance=stored_instance).success
        assert stored_runs(connection) == stored_instance.get_runs_count() == 2


def test_a_database_that_dagster_never_opened_has_none(empty_database_url: str) -> None:
    """And it has no table of Dagster's afterwards."""
    with psycopg.connect(empty_database_url) as connection:
        assert stored_runs(connection) is None
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert row.fetchone() == (0,)
