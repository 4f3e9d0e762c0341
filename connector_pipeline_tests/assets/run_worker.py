"""A Dagster run worker that a test may wait for or kill."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dagster import AssetKey
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from connector_pipeline.definitions import build_definitions
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline

PATIENCE = 240.0
"""Seconds to wait for an event that must come, long enough for a busy machine."""


class RunWorker:
    """A run in a process of its own, started as Dagster's launchers start it.

    The run is of the two assets, or of the named `job`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        log: Path,
        *,
        tags: dict[str, str],
        assets: Iterable[str] = (RAW_PRODUCTS, CATALOG_ITEMS),
        job: str | None = None,
        run_config: dict[str, Any] | None = None,
    ):
        self._log = log
        definitions = build_definitions(load_settings())
        if job is None:
            job_def = definitions.resolve_implicit_global_asset_job_def()
            selected = frozenset(AssetKey(name) for name in assets)
        else:
            job_def, selected = definitions.resolve_job_def(job), None
        pointer = ModuleCodePointer("connector_pipeline.definitions", "defs", str(Path.cwd()))
        origin = JobPythonOrigin(job_def.name, RepositoryPythonOrigin(sys.executable, pointer))
        run = pipeline.instance.create_run_for_job(
            job_def,
            tags=tags,
            run_config=run_config,
            job_code_origin=origin,
            asset_selection=selected,
        )
        self.run_id = run.run_id
        args = ExecuteRunArgs(origin, run.run_id, pipeline.instance.get_ref())
        command = [sys.executable, "-m", "dagster", "api", "execute_run", serialize_value(args)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)

    def wait_for(self, seen: Callable[[], bool]) -> None:
        """Wait until the condition holds. Fails if the run ends before."""
        until = time.monotonic() + PATIENCE
        while not seen() and self._process.poll() is None:
            assert time.monotonic() < until, self._log.read_text()[-4000:]
            time.sleep(0.005)
        assert not self._process.returncode, self._log.read_text()[-4000:]

    def wait(self) -> None:
        """Wait until the run has ended."""
        self._process.wait(timeout=PATIENCE)
        assert self._process.returncode == 0, self._log.read_text()[-4000:]

    def kill(self) -> None:
        """Kill the process, which cannot clean up."""
        self._process.kill()
        self._process.wait()
