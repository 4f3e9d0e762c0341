"""`code-server` and `daemon` say on one line what they lack."""

import socket
import stat
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from connector_pipeline.cli.code_server import CodeServerUnusable, refuse_taken
from connector_pipeline.engine.code_server import serves
from connector_pipeline.model.code_server_address import parse_code_server
from connector_pipeline_tests.cli.conftest import Command
from connector_pipeline_tests.conftest import enterable_directory
from connector_pipeline_tests.engine.celery_world import dagster_home


def only_line(ended_err: str) -> str:
    """The one line of standard error."""
    [line] = ended_err.splitlines()
    return line


@pytest.mark.parametrize("process", ["code-server", "daemon", "ui"])
def test_without_dagsters_home_a_process_says_what_to_set(
    command: Command, process: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Dagster would keep its runs in a temporary folder; without a file, launch them otherwise."""
    ended = command(process)
    assert (ended.status, ended.out) == (1, "")
    assert only_line(ended.err).startswith("DAGSTER_HOME: not set;")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert "`connector-pipeline init` writes one" in only_line(command(process).err)


@pytest.mark.parametrize(
    "address", ["4266", "127.0.0.1", "127.0.0.1:0", "host:65536", "relative/path", "/" + 110 * "x"]
)
def test_an_address_that_is_none_is_one_line(
    command: Command, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the variable, or the option."""
    ended = command("code-server", "--listen", address)
    assert ended.status == 2
    assert only_line(ended.err).startswith("Invalid value for --listen: must be ")
    monkeypatch.setenv("CONNECTOR_CODE_SERVER", address)
    assert only_line(command("code-server").err).startswith("CONNECTOR_CODE_SERVER: must be ")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_port_that_others_listen_on_is_refused(host: str) -> None:
    """Also if they would share it (SO_REUSEPORT), as gRPC does by itself."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CodeServerUnusable, match=f"another process listens at {host}:{port}"):
            refuse_taken(parse_code_server(f"{host}:{port}"))
    refuse_taken(parse_code_server(f"{host}:{port}"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names of the kernel")
def test_of_two_servers_that_start_at_once_one_serves(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither listens yet when the other looks. Both would, and share the requests."""
    with enterable_directory() as folder, ExitStack() as started:
        monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(folder)))
        address = str(folder / "code")
        monkeypatch.setenv("CONNECTOR_CODE_SERVER", address)
        servers = [
            started.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "connector_pipeline.cli", "code-server"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]
        try:
            assert serves(parse_code_server(address), within=600)
            until = time.monotonic() + 600
            while not (ended := [each for each in servers if each.poll() is not None]):
                assert time.monotonic() < until
                time.sleep(0.05)
            [refused] = ended
            assert refused.returncode == 1
            assert refused.stderr is not None
            assert f"another process listens at {address}" in only_line(refused.stderr.read())
            assert serves(parse_code_server(address), within=600)
        finally:
            for each in servers:
                each.kill()


def test_an_address_of_another_machine_is_refused() -> None:
    """The reason is the system's."""
    with pytest.raises(CodeServerUnusable, match=r"cannot listen at 192\.0\.2\.1:4266"):
        refuse_taken(parse_code_server("192.0.2.1:4266"))


def test_a_socket_is_refused_while_somebody_listens_there() -> None:
    """One that a killed server left is not; and its folder is made for its owner alone."""
    with enterable_directory() as directory, socket.socket(socket.AF_UNIX) as taken:
        path = directory / "run" / "code"
        address = parse_code_server(str(path))
        refuse_taken(address)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        taken.bind(str(path))
        taken.listen()
        with pytest.raises(CodeServerUnusable, match=f"another process listens at {path}"):
            refuse_taken(address)
        taken.close()
        refuse_taken(address)
        path.unlink()
        path.touch()
        with pytest.raises(CodeServerUnusable, match="is a file, and no socket"):
            refuse_taken(address)


def test_no_daemon_is_one_line(command: Command) -> None:
    """Dagster's tables may not be there yet."""
    ended = command("daemon", "--check")
    assert ended.status == 1
    assert only_line(ended.err).startswith("NoDaemon: the last heartbeat of a daemon was never.")
