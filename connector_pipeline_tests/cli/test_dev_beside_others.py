"""`dev` touches no run of another deployment on the same database of Dagster."""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat

from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.cli.own_runs import OwnRuns
from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.engine.code_servers import is_of_another_location
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.settings import SettingsError
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.cli.test_dev import LONG, dev, own_home, start

__all__ = ["own_home"]

IN_WORKERS = (
    DagsterRunStatus.STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.CANCELING,
)
ELSEWHERE = ({"port": 4000}, {"socket": "/run/another/code-server"}, {})
"""The code servers of other deployments, as Dagster stores them with a run."""
SHOP = f"{DEFAULT_SHOPS[0].platform}/{DEFAULT_SHOPS[0].domain}"


def foreign_run(
    instance: DagsterInstance, status: DagsterRunStatus, code_server: Mapping[str, object]
) -> str:
    """Make a run that the code server launched. Returns its id."""
    tags = {".dagster/grpc_info": json.dumps({"host": "localhost", **code_server})}
    return create_run_for_test(instance, status=status, tags=tags).run_id


@pytest.fixture
def shared_dagster(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DagsterInstance:
    """An instance on the database of Dagster that all deployments of the test share."""
    shutil.copyfile(instance_config(), tmp_path / "dagster.yaml")
    url = urlsplit(empty_database_url)._replace(scheme="postgresql+psycopg2").geturl()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    return DagsterInstance.get()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to see processes")
def test_two_deployments_on_one_database_of_dagster_keep_apart(
    shared_dagster: DagsterInstance,
    new_database: Callable[[str | None], str],
    migrated_template: str,
    own_home: Path,
    home: Path,
) -> None:
    """One is refused while the other's daemon lives; neither fails or cancels the other's runs."""
    url = new_database(migrated_template)
    register_sandbox_shops(ShopRegistry(database=Database(url=url)), DEFAULT_SHOPS)
    dagster = {"DAGSTER_POSTGRES_URL": os.environ["DAGSTER_POSTGRES_URL"]}
    others = {foreign_run(shared_dagster, DagsterRunStatus.STARTED, at) for at in ELSEWHERE}

    def go_on(run_ids: set[str]) -> bool:
        runs = [shared_dagster.get_run_by_id(run_id) for run_id in run_ids]
        return all(run is not None and run.status is DagsterRunStatus.STARTED for run in runs)

    with SandboxServer() as sandbox:
        settings = {**dagster, "CONNECTOR_DATABASE_URL": url}
        with dev(own_home, "--port", "3930", sandbox=sandbox, **settings) as ours:
            ours.sandbox("PUT", "/sandbox/faults", [{"match": {}, "kind": "latency", "seconds": 5}])
            run = ours.materialize(SHOP)
            ours.wait_for(run, "STARTED")

            elsewhere = {**dagster, "CONNECTOR_DATABASE_URL": new_database(migrated_template)}
            second = start(home, **elsewhere, **sandbox.environment())
            out, said = second.communicate(timeout=LONG)
            assert (second.returncode, out) == (1, "")
            [line] = said.splitlines()
            assert line.startswith("DAGSTER_POSTGRES_URL: the daemon of another deployment")
            assert ours.status(run) == "STARTED"
            assert go_on(others)

            ours.stop()
        stopped = shared_dagster.get_run_by_id(run)
        assert stopped is not None
        assert stopped.status is DagsterRunStatus.CANCELED
        # That it starts again beside its own daemon's last heartbeat is in test_dev.py.
        assert go_on(others)


def of_location(run_id: str, socket: str) -> DagsterRun:
    """A queued run of a code server at this socket."""
    location = GrpcServerCodeLocationOrigin("localhost", socket=socket, location_name="location")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "job")
    return DagsterRun(
        job_name="job",
        run_id=run_id,
        status=DagsterRunStatus.QUEUED,
        remote_job_origin=origin,
        job_snapshot_id=None,
    )


def test_a_homes_own_runs_are_those_of_all_its_code_servers(tmp_path: Path) -> None:
    """Those of a `dev` that was killed are failed at the next start; no other one is touched."""
    with DagsterInstance.ephemeral() as instance:
        before = OwnRuns(instance, tmp_path)
        for name in ("first", "second"):
            before.begin(tmp_path / name)
        ours = {
            foreign_run(instance, status, {"socket": str(tmp_path / name)})
            for status in IN_WORKERS
            for name in ("first", "second")
        }
        others = {
            foreign_run(instance, status, at): status for status in IN_WORKERS for at in ELSEWHERE
        }
        OwnRuns(instance, tmp_path).fail_lost()
        for run_id in ours:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status is DagsterRunStatus.FAILURE
        for run_id, status in others.items():
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status is status


def test_a_home_refuses_where_another_daemon_lives_or_other_runs_wait(tmp_path: Path) -> None:
    """Its own daemon, and its own runs that wait since it was killed, are no reason."""
    with DagsterInstance.ephemeral() as instance:
        own_runs = OwnRuns(instance, tmp_path)
        own_runs.begin(tmp_path / "code-server")
        instance.run_storage.add_run(of_location(str(uuid4()), str(tmp_path / "code-server")))
        own_runs.refuse_beside_others()
        beat = DaemonHeartbeat(time.time() - 60, "SENSOR", daemon_id="ours", errors=[])
        instance.add_daemon_heartbeat(beat)
        own_runs.note_daemon()
        own_runs.refuse_beside_others()
        with pytest.raises(SettingsError, match="the daemon of another deployment"):
            OwnRuns(instance, tmp_path / "elsewhere").refuse_beside_others()
        instance.run_storage.add_run(of_location(str(uuid4()), "/run/another/code-server"))
        with pytest.raises(SettingsError, match="1 runs of another deployment wait"):
            own_runs.refuse_beside_others()


def test_a_run_of_another_location_is_known_by_its_origin() -> None:
    """Where either is not known, the run may be ours."""
    run = of_location(str(uuid4()), "/run/code-server")
    origin = run.remote_job_origin
    assert origin is not None
    own = origin.repository_origin.code_location_origin
    assert not is_of_another_location(run, own)
    assert not is_of_another_location(run, None)
    other = GrpcServerCodeLocationOrigin("localhost", socket="/run/x", location_name="location")
    assert is_of_another_location(run, other)
    with DagsterInstance.ephemeral() as instance:
        assert not is_of_another_location(create_run_for_test(instance), own)
