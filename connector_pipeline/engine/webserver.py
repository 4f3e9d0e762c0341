"""Dagster's web server as an ASGI application, so that a gate can stand before it.

Needs: `WorkspaceProcessContext`, `configure_loggers`, and
`create_app_from_workspace_process_context` of dagster_webserver.app. They are used as the command
`dagster-webserver` uses them, without its telemetry and its pools of connections. Tried with
Dagster 1.13.27. A public factory of the application, or checks of Origin, Host and method in
dagster-webserver itself, would replace this module.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from dagster import DagsterInstance
from dagster import __version__ as dagster_version
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._utils.log import configure_loggers

from connector_pipeline.engine.storage import bound_storage
from connector_pipeline.postgres.limits import DAGSTER_PAGES

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_POLL_MS: Final = 2_000
"""The default of `dagster-webserver`."""


@contextmanager
def webserver_app(
    workspace: WorkspaceLoadTarget, *, read_only: bool, path_prefix: str
) -> "Generator[ASGIApp]":
    """The application over the code servers of the workspace. Needs the extra `ui`.

    `read_only` refuses every mutation. `path_prefix` is `''` or begins with `/` and does not end
    with it. Raises SettingsError if Dagster's storage is not set.
    """
    # Imported here: it is an extra.
    from dagster_webserver.app import (
        create_app_from_workspace_process_context as create_app,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
    )

    configure_loggers(log_level="INFO")
    with DagsterInstance.get() as instance:
        bound_storage(instance, DAGSTER_PAGES)
        with WorkspaceProcessContext(
            instance,
            workspace,
            version=dagster_version,
            read_only=read_only,
        ) as context:
            yield create_app(context, path_prefix, _POLL_MS)
