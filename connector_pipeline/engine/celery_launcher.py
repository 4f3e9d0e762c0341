"""Launches runs as messages to Celery workers, and cancels them by their state in Dagster.

Needs: `dagster_celery.launcher.CeleryRunLauncher` and its `_launch_celery_task_run`,
`LaunchRunContext`, `ExecuteRunArgs` and, for a broker that does not answer,
`DagsterUserCodeUnreachableError`: it is the one error by which Dagster's daemon puts a run back
into its queue (`max_user_code_failure_retries`). Any other fails the run. Tried with Dagster
1.13.27 and dagster-celery 0.29.27. What has to be changed of their launcher:

- It cancels a run by `revoke(terminate=True)` alone. Dagster's worker takes a signal without the
  state CANCELING for a crash, so the run ends as FAILURE and is retried; and by the time when the
  signal arrives, the process may execute another run. Ours sets the state, and the worker, which
  looks at it (engine/warm_runs.py), cancels its own run.
- It judges a run's health by Celery's results. They say nothing of a worker that was killed with
  its machine. `connector.run_workers` says so, for every launcher.
- It defines its Celery task anew for each run, of which Celery 5.7 warns, and it sends all of
  dagster.yaml along.

A launcher that reports the state CANCELING would leave the first part to Dagster.
"""

from typing import Any, cast

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import LaunchRunContext, ResumeRunContext
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData, pack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.launcher import CeleryRunLauncher
from kombu.exceptions import OperationalError
from redis import RedisError

from connector_pipeline.engine.celery_broker import CONFIG, QUEUE, BrokerUnavailable, Workers


class WarmRunLauncher(CeleryRunLauncher):
    """Sends each run to the workers' queue. The message holds the run's id, and no secret."""

    def __init__(self, broker: str, inst_data: ConfigurableClassData | None = None):
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # partly untyped there
            default_queue=QUEUE, broker=broker, config_source=dict(CONFIG), inst_data=inst_data
        )
        self._workers = Workers(broker)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send the run. If the broker does not answer, the daemon tries again later."""
        run = context.dagster_run
        if run.job_code_origin is None:
            raise ValueError(f"run {run.run_id} does not say where its job is")
        args = ExecuteRunArgs(job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=None)
        # Celery has no types.
        launcher = cast("Any", self)
        signature = launcher.celery.signature(
            TASK_EXECUTE_JOB_NAME,
            kwargs={"execute_job_args_packed": pack_value(args)},
            immutable=True,
        )
        try:
            launcher._launch_celery_task_run(run, signature, TASK_EXECUTE_JOB_NAME)
        except (OperationalError, RedisError) as error:
            raise DagsterUserCodeUnreachableError(
                f"The broker at CELERY_BROKER_URL does not take the run: {type(error).__name__}. "
                f"{BrokerUnavailable.default_remedy}"
            ) from None

    def terminate(self, run_id: str) -> bool:
        """Have the run cancelled by its worker, which looks for that every two seconds.

        A run that no worker has taken up is cancelled when one takes it up, or by Dagster's
        monitoring after `cancel_timeout_seconds`. Returns False if the run has ended.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """No: automation/dead_workers.py looks for dead workers, under every launcher."""
        return False

    @property
    def supports_resume_run(self) -> bool:
        """No: a run that lost its worker is retried as a new one."""
        return False

    def resume_run(self, context: ResumeRunContext) -> None:
        """Refuse, as Dagster asks for it only where it is supported."""
        raise NotImplementedError

    def get_run_worker_debug_info(
        self, run: DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """The likely reasons, for the event of a run that Dagster gives up."""
        try:
            processes: Any = self._workers.living_processes()
        except BrokerUnavailable as error:
            return f"{error}"
        return (
            f"{processes} worker processes are registered with the broker. If the run waited for "
            "one, none was free, or the broker has lost the message, for example in a restart. "
            "The run is retried."
        )
