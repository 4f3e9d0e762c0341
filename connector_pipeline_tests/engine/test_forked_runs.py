"""The process of a run is a fork of the warm process, and shares its fate in the right cases."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import dagster._grpc.server as dagsters
import psutil
import pytest

from connector_pipeline.engine.forked_runs import RUN_NAME, USED_BY_RUNS, WARM_NAME
from connector_pipeline_tests.conftest import enterable_directory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks runs")

PATIENCE: Final = 300.0

SERVER: Final = """
import sys
from connector_pipeline.engine.forked_runs import warm_context

RUN = '''
import os, time
os.chdir({folder!r})
open("begun", "w")
while not os.path.exists("go"):
    time.sleep(0.05)
open("done", "w")
'''
context = warm_context()
runs = []
for line in sys.stdin:
    runs.append(context.Process(target=exec, args=(RUN.format(folder=line.strip()),)))
    runs[-1].start()
    print(runs[-1].pid, flush=True)
"""
"""Stands for the code server: starts a run for each folder that it reads."""


class Server:
    """The process that stands for the code server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start_run(self, folder: Path) -> psutil.Process:
        """A run that has begun, and ends once its folder has a file `go`."""
        folder.mkdir()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        run = psutil.Process(int(self.process.stdout.readline()))
        until((folder / "begun").exists)
        return run

    def warm(self) -> psutil.Process:
        """The warm process."""
        children = psutil.Process(self.process.pid).children()
        [found] = [each for each in children if each.name() == WARM_NAME]
        return found


def until(holds: Callable[[], bool]) -> None:
    """Wait for what must come."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(process: psutil.Process) -> bool:
    """Whether it runs no more. A dead process that nobody has asked for is a zombie."""
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Server]:
    """It is killed at the end, with its runs."""
    monkeypatch.setenv("CONNECTOR_HOME", str(tmp_path / "home"))
    # Its path is short: there is a socket in it.
    with enterable_directory() as folder:
        monkeypatch.setenv("TMPDIR", str(folder))
        made = Server(folder)
        left = psutil.Process(made.process.pid)
        try:
            yield made
        finally:
            for process in left.children(recursive=True) if left.is_running() else []:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            made.process.kill()
            made.process.communicate()


def test_a_run_outlives_its_server_but_not_the_warm_process(server: Server, tmp_path: Path) -> None:
    """A killed server costs no run. A killed warm process costs those under way, and no other."""
    first = server.start_run(tmp_path / "first")
    warm = server.warm()
    assert (first.parent(), first.name()) == (warm, RUN_NAME)
    # What would make it unsafe to fork: threads, connections, gRPC.
    assert warm.num_threads() == 1
    assert warm.net_connections("inet") == []
    assert not any("cygrpc" in each.path for each in warm.memory_maps())
    # A signal to all processes of a group is not for it.
    warm.send_signal(signal.SIGTERM)
    second = server.start_run(tmp_path / "second")
    second.send_signal(signal.SIGTERM)
    until(lambda: ended(second))

    warm.kill()
    until(lambda: ended(first))
    third = server.start_run(tmp_path / "third")
    again = server.warm()
    assert third.parent() == again != warm

    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    (tmp_path / "third" / "go").touch()
    until(lambda: ended(third))
    assert (tmp_path / "third" / "done").exists()
    assert not (tmp_path / "first" / "done").exists()
    until(lambda: ended(again))
    assert list(server.folder.glob("*/*")) == []


def test_what_runs_import_late_is_there() -> None:
    """A run that misses one imports it, which only costs time, so nothing else would show it."""
    assert [each for each in USED_BY_RUNS if find_spec(each) is None] == []


def test_dagster_makes_the_process_of_a_run_as_we_need_it() -> None:
    """The names that the forking server replaces are there, and are looked up at each use."""
    start = dagsters.DagsterApiServer.StartRun.__code__.co_names
    assert {"_mp_ctx", "Queue", "Event", "Process"} <= set(start)
    assert "get_python_environment_entry_point" in dagsters.open_server_process.__code__.co_names
