"""Dagster's code server, with runs that are forks of a warm process.

Needs: that the code server makes the process of a run out of its attribute `_mp_ctx`, a context of
`multiprocessing`; that the commands which serve code look `DagsterApiServer` up in its module, and
`dagster code-server start` looks `get_python_environment_entry_point` up there, for the server
that it starts; `dagster._cli.main`, which `python -m dagster` calls. Tried with Dagster 1.13.27. A
setting for the start method of `multiprocessing` would replace this module.
"""

import sys
from collections.abc import Sequence
from typing import Any

import dagster._grpc.server as dagsters
from dagster._cli import main

from connector_pipeline.engine.code_server import SERVING_MODULE
from connector_pipeline.engine.forked_runs import warm_context
from connector_pipeline.settings import load_settings


class ForkingServer(dagsters.DagsterApiServer):
    """A server of the definitions that forks its runs."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType]  # partly untyped there
        # Not before: Dagster may complete the environment. Code that cannot be loaded has no runs,
        # and other launchers have theirs elsewhere.
        if self._loaded_repositories is not None and load_settings().run_launcher == "default":
            try:
                self._mp_ctx = warm_context()
            except OSError as error:
                # It has its socket in a folder of TMPDIR, whose name may be too long.
                self._logger.warning(f"Each run starts a new Python, which takes longer: {error}")


def run_dagster() -> None:
    """Run the command of Dagster that is in `sys.argv`. Its code server forks, if it is one."""
    # Only Linux has all that the forks rely on.
    if sys.platform == "linux":
        dagsters.DagsterApiServer = ForkingServer
        dagsters.get_python_environment_entry_point = _this_command  # pyright: ignore[reportPrivateImportUsage]
    main()


def _this_command(executable_path: str) -> Sequence[str]:
    return [executable_path, "-m", SERVING_MODULE]
