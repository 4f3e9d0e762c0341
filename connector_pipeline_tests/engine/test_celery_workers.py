"""Runs are executed by real Celery workers, over a real Redis: shared, cancelled, lost, stopped."""

import json
import logging
import re
from collections.abc import Callable, Generator
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import LaunchRunContext
from dagster._daemon.monitoring.run_monitoring import monitor_starting_run

from connector_pipeline.cli.doctor import findings
from connector_pipeline.cli.failures import failure_of
from connector_pipeline.cli.worker import run_worker
from connector_pipeline.engine.celery_broker import QUEUE, BrokerUnavailable, Workers
from connector_pipeline.engine.celery_launcher import WarmRunLauncher
from connector_pipeline.engine.run_tags import WILL_RETRY
from connector_pipeline.engine.warm_runs import execute_run
from connector_pipeline.model.finding import Finding
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.settings import SettingsError
from connector_pipeline_tests.conftest import enterable_directory
from connector_pipeline_tests.engine.celery_world import (
    PATIENCE,
    World,
    dagster_home,
    wait_for,
)
from connector_pipeline_tests.engine.redis_server import PASSWORD, RedisServer
from connector_pipeline_tests.process_logs import shown_if_failed

SUCCESS, FAILURE = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE
STARTING, CANCELED = DagsterRunStatus.STARTING, DagsterRunStatus.CANCELED


@pytest.fixture(scope="module")
def world(new_database: Callable[[str | None], str], migrated_template: str) -> Generator[World]:
    """One world for all tests of this file: a worker takes seconds to start."""
    connector, dagster = new_database(migrated_template), new_database(None)
    with (
        enterable_directory() as folder,
        SandboxServer() as sandbox,
        pytest.MonkeyPatch.context() as environment,
    ):
        redis = RedisServer(folder)
        redis.start()
        variables = sandbox.environment() | {
            "CONNECTOR_DATABASE_URL": connector,
            "DAGSTER_POSTGRES_URL": urlunsplit(
                urlsplit(dagster)._replace(scheme="postgresql+psycopg2")
            ),
            "DAGSTER_HOME": str(dagster_home(folder)),
            "RAW_ARCHIVE_URL": str(folder / "raw"),
            "RUN_LAUNCHER": "celery",
            "CELERY_BROKER_URL": redis.url,
            "CONNECTOR_RETRY_DELAY": "0.01",
            "WORKER_RUNS_AT_ONCE": "1",
            "WORKER_FINISH_WITHIN": "0s",
        }
        for name, value in variables.items():
            environment.setenv(name, value)
        with (
            shown_if_failed(lambda: sorted(folder.glob("*.log"))),
            DagsterInstance.get() as instance,
        ):
            world = World(folder, instance, Database(url=connector), sandbox, redis)
            yield world
        for worker in world.workers:
            if worker.process.poll() is None:
                worker.kill()
        redis.stop()


@pytest.fixture(autouse=True)
def _nothing_hangs(world: World) -> Generator[None]:
    world.sandbox.faults.clear()
    world.sandbox.requests.clear()
    yield
    world.sandbox.faults.clear()


def test_without_a_worker_no_run_is_launched(world: World) -> None:
    """Runs wait where waiting costs nothing: in Dagster's queue, which fails none of them."""
    assert world.processes() == 0
    assert isinstance(world.instance.run_launcher, WarmRunLauncher)


def test_a_message_holds_no_secret_and_a_run_delivered_twice_is_executed_once(
    world: World,
) -> None:
    """Redis may deliver again what was not acknowledged. Here it does so while no worker runs."""
    key = world.new_shop()
    run_id = world.launch_one(key)
    [message] = world.redis.client.lrange(QUEUE, 0, -1)
    world.redis.client.lpush(QUEUE, message)
    assert run_id in json.dumps(json.loads(message))
    for secret in (PASSWORD, world.database.url, world.sandbox.url):
        assert secret not in message
    for worker in world.living(2):
        command = Path(f"/proc/{worker.process.pid}/cmdline").read_text()
        assert PASSWORD not in command
    assert world.ended(run_id) is SUCCESS
    assert world.items(key) > 0
    wait_for(lambda: world.redis.client.llen(QUEUE) == 0)
    wait_for(lambda: world.redis.client.hlen("unacked") == 0)
    begun = world.instance.get_records_for_run(run_id, of_type=DagsterEventType.RUN_START)
    assert len(begun.records) == 1


def test_two_workers_share_runs_and_their_processes_stay(world: World) -> None:
    """Runs that hang occupy both. The next runs are executed by the same two processes."""
    workers = world.living(2)
    keys = [world.new_shop(), world.new_shop()]
    world.hang(*keys)
    first = [world.launch_one(key) for key in keys]
    for key in keys:
        wait_for(lambda key=key: world.is_asked(key))
    pids = {world.pid_of(run_id) for run_id in first}
    assert len(pids) == 2
    assert pids == {pid for worker in workers for pid in worker.children()}
    world.sandbox.faults.clear()
    for run_id in first:
        assert world.instance.run_coordinator.cancel_run(run_id)
    for run_id in first:
        world.ended(run_id)
    again = world.launch_one(world.new_shop())
    assert world.ended(again) is SUCCESS
    assert world.pid_of(again) in pids


def test_a_cancelled_run_ends_as_cancelled_and_its_process_goes_on(world: World) -> None:
    """Also one that no worker has taken up. By Celery's own means it would end as failed, and would
    be retried."""
    world.living(2)
    keys = [world.new_shop(), world.new_shop(), world.new_shop()]
    world.hang(*keys)
    at_work = [world.launch_one(key) for key in keys[:2]]
    for key in keys[:2]:
        wait_for(lambda key=key: world.is_asked(key))
    pids = {world.pid_of(run_id) for run_id in at_work}
    waits = world.launch_one(keys[2])
    assert world.status(waits) is STARTING
    for run_id in (waits, *at_work):
        assert world.instance.run_coordinator.cancel_run(run_id)
    assert [world.ended(run_id) for run_id in (*at_work, waits)] == [CANCELED] * 3
    for run in world.instance.get_runs(RunsFilter(run_ids=[waits, *at_work])):
        assert WILL_RETRY not in run.tags
    assert not world.instance.run_coordinator.cancel_run(waits)
    world.sandbox.faults.clear()
    again = world.launch_one(world.new_shop())
    assert world.ended(again) is SUCCESS
    assert world.pid_of(again) in pids


def test_a_broker_that_restarts_in_mid_run_costs_nothing(world: World) -> None:
    """The run goes on, the worker counts again, and takes the next run; no log has the password."""
    for worker in world.living(1)[1:]:
        worker.stop()
    key = world.new_shop()
    world.hang(key)
    at_work = world.launch_one(key)
    wait_for(lambda: world.is_asked(key))
    pid = world.pid_of(at_work)
    world.redis.stop()
    world.redis.start()
    wait_for(lambda: world.processes() == 1)
    assert world.status(at_work) is DagsterRunStatus.STARTED
    assert world.instance.run_coordinator.cancel_run(at_work)
    assert world.ended(at_work) is CANCELED
    world.sandbox.faults.clear()
    following = world.launch_one(world.new_shop())
    assert world.ended(following) is SUCCESS
    assert world.pid_of(following) == pid
    for worker in world.workers:
        assert PASSWORD not in worker.log


def test_a_run_of_another_deployment_is_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Two deployments with one broker take each other's runs."""
    assert execute_run(world.instance, "not-ours", lambda _: nullcontext(True)) == "gone"
    assert "another deployment uses the same broker" in caplog.text


def test_the_runs_of_a_killed_worker_are_done_by_the_other(world: World) -> None:
    """It is killed with its children, in mid-run. Dagster retries its run, in one that lives."""
    workers = world.living(2)
    keys = [world.new_shop(), world.new_shop()]
    world.hang(*keys)
    runs = [world.launch_one(key) for key in keys]
    for key in keys:
        wait_for(lambda key=key: world.is_asked(key))
    killed, lives = workers
    of_killed = [run_id for run_id in runs if world.pid_of(run_id) in killed.children()]
    killed.kill()
    world.sandbox.faults.clear()
    # The run of the living one still waits for its answer: it is cancelled, as somebody may.
    assert world.settle() == of_killed
    for run_id in set(runs) - set(of_killed):
        assert world.instance.run_coordinator.cancel_run(run_id)
        world.ended(run_id)
    [lost] = of_killed
    again = world.retry(lost)
    assert world.ended(again) is SUCCESS
    assert world.pid_of(again) in lives.children()
    [key] = [key for key, run_id in zip(keys, runs, strict=True) if run_id == lost]
    assert world.items(key) > 0


def test_a_worker_that_is_stopped_gives_its_runs_back(world: World) -> None:
    """The run at work is interrupted and fails, so Dagster retries it; one that waits, waits on."""
    stopped, *others = world.living(1)
    for other in others:
        other.kill()
    key, waiting = world.new_shop(), world.new_shop()
    world.hang(key)
    at_work = world.launch_one(key)
    wait_for(lambda: world.is_asked(key))
    waits = world.launch_one(waiting)
    assert stopped.stop() == 0, stopped.log
    assert world.status(at_work) is FAILURE
    assert world.status(waits) is STARTING
    world.sandbox.faults.clear()
    world.living(1)
    assert world.ended(waits) is SUCCESS
    assert world.ended(world.retry(at_work)) is SUCCESS
    assert world.items(key) > 0


@pytest.mark.slow
def test_a_worker_that_lets_its_run_end_counts_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no more runs, so none may be launched for it. Workers register every 10 s."""
    for worker in world.workers:
        if worker.process.poll() is None:
            worker.stop()
    monkeypatch.setenv("WORKER_FINISH_WITHIN", "12s")
    [stopped] = world.living(1)
    key = world.new_shop()
    world.hang(key)
    at_work = world.launch_one(key)
    wait_for(lambda: world.is_asked(key))

    def counts() -> bool:
        entries = world.redis.client.zrange("connector-pipeline.workers", 0, -1)
        return any(entry.endswith(f"-{stopped.process.pid}") for entry in entries)

    assert counts()
    stopped.process.terminate()
    wait_for(lambda: not counts())
    assert stopped.process.wait(timeout=PATIENCE) == 0, stopped.log
    assert not counts()
    assert world.status(at_work) is FAILURE


def test_a_run_whose_message_is_lost_is_failed_with_the_likely_reason(world: World) -> None:
    """By Dagster's monitoring, which retries it: the broker was emptied, or no process is free."""
    for _ in world.living(1)[1:]:
        world.workers[-1].kill()
    key = world.new_shop()
    hanging = world.new_shop()
    world.hang(hanging)
    blocks = world.launch_one(hanging)
    wait_for(lambda: world.is_asked(hanging))
    lost = world.launch_one(key)
    world.redis.client.delete(QUEUE)
    [record] = world.instance.get_run_records(RunsFilter(run_ids=[lost]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DagsterInstance, "run_monitoring_start_timeout_seconds", 0)
        monitor_starting_run(world.instance, record, logging.getLogger())
    [failure] = world.instance.get_records_for_run(
        lost, of_type=DagsterEventType.RUN_FAILURE
    ).records
    assert "the broker has lost the message" in str(failure.event_log_entry.message)
    assert world.instance.run_coordinator.cancel_run(blocks)
    assert world.ended(blocks) is CANCELED


def test_a_broker_that_does_not_answer_costs_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No run is launched meanwhile; one that is just being launched goes back into the queue."""
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis+socket://:{PASSWORD}@{tmp_path}/none")
    with DagsterInstance.get() as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 0
        [run] = instance.get_runs(limit=1)
        # The error for which Dagster's daemon puts a run back into its queue.
        with pytest.raises(DagsterUserCodeUnreachableError) as unreachable:
            instance.run_launcher.launch_run(LaunchRunContext(run, None))
    with pytest.raises(BrokerUnavailable) as refused:
        run_worker()
    failure = failure_of(refused.value)
    assert failure is not None
    [line] = failure.lines
    found = seen_by_doctor()
    assert not found.ok
    for text in (line, str(unreachable.value), f"{found.seen} {found.remedy}"):
        assert "CELERY_BROKER_URL" in text
        assert "Redis runs" in text
        assert PASSWORD not in text


def seen_by_doctor() -> Finding:
    """The line of `doctor` about workers."""
    [found] = [each for each in findings() if each.subject == "workers"]
    return found


def test_doctor_counts_the_workers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is no fault: they are started after it. A missing address is one."""
    world.living(1)
    assert re.search(r"answers; [1-9]\d* worker processes", seen_by_doctor().seen)
    monkeypatch.delenv("CELERY_BROKER_URL")
    found = seen_by_doctor()
    assert (found.ok, "CELERY_BROKER_URL: not set" in found.seen) == (False, True)


@pytest.mark.parametrize(
    "address", ["redis://127.0.0.1:1/0", "rediss://:p@127.0.0.1:1", "redis+socket:///nowhere/redis"]
)
def test_each_form_of_the_brokers_address_is_read(address: str) -> None:
    """kombu and redis-py write that of a socket differently."""
    with pytest.raises(BrokerUnavailable, match="does not serve"):
        Workers(address).living_processes()


def test_a_worker_without_its_settings_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a line, with an example."""
    for name in ("DAGSTER_HOME", "RUN_LAUNCHER", "CELERY_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError) as refused:
        run_worker()
    home, launcher = refused.value.lines
    assert "DAGSTER_HOME=" in home
    assert "RUN_LAUNCHER=celery" in launcher
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere")
    monkeypatch.setenv("RUN_LAUNCHER", "celery")
    with pytest.raises(SettingsError, match="CELERY_BROKER_URL: not set"):
        run_worker()
