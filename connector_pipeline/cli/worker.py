"""`connector-pipeline worker`: one Celery worker that executes runs in warm processes."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from connector_pipeline.model.extra import Extra, require
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import SettingsError, load_settings
from connector_pipeline.state.liveness import alive, claim


def run_worker() -> int:
    """Work until SIGTERM or Ctrl-C; returns the exit status.

    Raises ExtraMissing, SettingsError, BrokerUnavailable.
    """
    require(Extra.CELERY)
    settings = load_settings()
    lines: list[str] = []
    if not os.environ.get("DAGSTER_HOME"):
        lines.append(
            "DAGSTER_HOME: not set; it is the folder that holds dagster.yaml. "
            "Example: DAGSTER_HOME=/etc/connector"
        )
    if settings.run_launcher != "celery":
        # The daemon would send this worker nothing.
        lines.append(
            "RUN_LAUNCHER: must be celery, here and for the daemon. Example: RUN_LAUNCHER=celery"
        )
    if lines:
        raise SettingsError(lines)
    # Imported here: the first takes seconds, and the packages of the others are an extra.
    from connector_pipeline.definitions import defs
    from connector_pipeline.engine.celery_broker import broker_url
    from connector_pipeline.engine.celery_worker import WarmWorker

    worker = WarmWorker(
        broker_url(settings),
        processes=settings.worker_runs_at_once,
        finish_within=settings.worker_finish_within.total_seconds(),
        signs=_signs,
    )
    # Made once, before the forks that inherit them. A run finds the same object by its module.
    defs.get_repository_def().get_all_jobs()
    return worker.run()


@contextmanager
def _signs(run_id: str) -> Generator[bool]:
    database = Database()
    if not claim(database, run_id):
        yield False
        return
    with alive(database, run_id):
        yield True
