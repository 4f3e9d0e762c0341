"""Runs that a command executes carry the project's origin, and the mark of a command's run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, job, op
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.test_utils import create_run_for_test

from connector_pipeline.engine.run_tags import EXECUTED_BY_A_COMMAND, is_of_a_command

PROJECT = Path(__file__).parents[2]


@op
def dying() -> None:
    """Fail."""
    raise LookupError


@job
def fails() -> None:
    """The job of a run that a command executes."""
    dying()


def test_a_run_in_process_is_of_the_projects_location(
    stored_instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster neither retries it nor promises to: whoever started the command knows its end."""
    monkeypatch.setenv("CONNECTOR_CODE_SERVER", "code.internal:4300")
    made = fails.execute_in_process(instance=stored_instance, raise_on_error=False)
    run = stored_instance.get_run_by_id(made.run_id)
    assert run is not None
    assert is_of_a_command(run)
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.repository_origin.code_location_origin == (
        GrpcServerCodeLocationOrigin("code.internal", port=4300, location_name="connector_pipeline")
    )
    assert run.remote_job_origin.job_name == "fails"
    stored_instance.report_run_failed(run)
    assert run.tags["dagster/max_retries"] == "0"


def test_a_run_that_executes_it_again_is_nobodys(stored_instance: DagsterInstance) -> None:
    """Dagster copies the tags, and the daemon must treat that run as any other."""
    first = create_run_for_test(stored_instance, status=DagsterRunStatus.FAILURE)
    assert is_of_a_command(first)
    again = create_run_for_test(
        stored_instance,
        tags={**first.tags, "team": "theirs"},
        remote_job_origin=first.remote_job_origin,
    )
    assert not is_of_a_command(again)
    assert "dagster/max_retries" not in again.tags
    assert again.tags["team"] == "theirs"
    assert EXECUTED_BY_A_COMMAND not in again.tags


def test_dg_launch_makes_such_a_run(stored_instance: DagsterInstance, tmp_path: Path) -> None:
    """It calls no code of ours to make a run, and its run passes through the same storage."""
    launched = subprocess.run(
        [Path(sys.executable).parent / "dg", "launch", "--job", "prune_logs"],
        cwd=PROJECT,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    [run] = stored_instance.get_runs()
    assert is_of_a_command(run), launched.stderr
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.location_name == "connector_pipeline"
    assert run.job_name == "prune_logs"
