"""The code servers that runs are of: where a run waits for one, and which one launched it.

Needs: the tag `.dagster/grpc_info`, in which the default launcher stores the socket of the code
server that it asked, and the origin that Dagster stores with a run. Tried with Dagster 1.13.27. A
public field of a run for its deployment would replace this module.
"""

import json
from collections.abc import Collection
from typing import Any, cast

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import GRPC_INFO_TAG

from connector_pipeline.engine.runs_under_way import runs_in_workers


def runs_in_workers_of(instance: DagsterInstance, sockets: Collection[str]) -> list[str]:
    """The ids of the runs under way that the code servers at these sockets launched."""
    found: list[str] = []
    for run_id in runs_in_workers(instance):
        run = instance.get_run_by_id(run_id)
        if run is not None and _launched_by(run) in sockets:
            found.append(run_id)
    return found


def queued_runs_of_others(instance: DagsterInstance, sockets: Collection[str]) -> list[str]:
    """The ids of the runs in Dagster's queue that are of no code server at these sockets."""
    queued = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))
    return [
        run.run_id for run in queued if getattr(_location_of(run), "socket", None) not in sockets
    ]


def is_of_another_location(run: DagsterRun, own_location: object) -> bool:
    """Whether the run is of a job of another code location than `own_location`, Dagster's origin.

    Not if either is unknown.
    """
    location = _location_of(run)
    return None not in (location, own_location) and location != own_location


def _launched_by(run: DagsterRun) -> str | None:
    try:
        stored: Any = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    except ValueError:
        return None
    if not isinstance(stored, dict):
        return None
    return cast("dict[str, Any]", stored).get("socket")


def _location_of(run: DagsterRun) -> object:
    origin = run.remote_job_origin
    return None if origin is None else origin.repository_origin.code_location_origin
