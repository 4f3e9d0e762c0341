"""The project's code location: its one name, where its code server is, and the origin of its runs.

Dagster keys sensors, schedules and runs by the names of location and repository. Under another name
of the location, sensors start with empty cursors and old runs cannot be executed again. So every
workspace of ours, and `code_location_name` in pyproject.toml, have this name.

Needs: `WorkspaceLoadTarget` and `WorkspaceFileTarget`, which a web server and a daemon are given;
the origins in `dagster._core.remote_origin`, which Dagster stores with a run; and the name that
Dagster gives the repository of a `Definitions` object. Tried with Dagster 1.13.27. A public way to
say of which location a run in process is would replace the origins.
"""

from collections.abc import Sequence
from pathlib import Path

from dagster import DagsterRun
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import (
    CodeLocationOrigin,
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.workspace.load_target import (
    WorkspaceFileTarget,
    WorkspaceLoadTarget,
)

from connector_pipeline.engine.code_server import LOCATION_NAME
from connector_pipeline.model.code_server_address import CodeServerAddress


class _CodeServerTarget(WorkspaceLoadTarget):
    """A workspace of one code server. Dagster's own such class makes another origin than a file."""

    def __init__(self, address: CodeServerAddress):
        self._address = address

    def create_origins(self) -> Sequence[CodeLocationOrigin]:
        """The origin that a workspace file with this code server makes, too."""
        return [_location(self._address)]


def workspace_target(workspace: Path | None, address: CodeServerAddress) -> WorkspaceLoadTarget:
    """A web server or a daemon loads this: the workspace file's locations, or the code server."""
    if workspace is not None:
        return WorkspaceFileTarget([str(workspace)])
    return _CodeServerTarget(address)


def with_origin(run: DagsterRun, address: CodeServerAddress) -> DagsterRun:
    """The run as one of a job of this project's location, under the code server there."""
    repository = RemoteRepositoryOrigin(_location(address), SINGLETON_REPOSITORY_NAME)
    return run.with_job_origin(RemoteJobOrigin(repository, run.job_name))


def _location(address: CodeServerAddress) -> GrpcServerCodeLocationOrigin:
    return GrpcServerCodeLocationOrigin(
        host=address.host, port=address.port, socket=address.socket, location_name=LOCATION_NAME
    )
