"""What a killed `dev` leaves in the temporary folder goes with the next one."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from connector_pipeline.cli.socket_folder import SocketFolder

SESSION = """
import signal, socket
from connector_pipeline.cli.socket_folder import SocketFolder
folder = SocketFolder()
server = socket.socket(socket.AF_UNIX)
server.bind(str(folder.socket))
server.listen()
print(folder.socket, flush=True)
signal.pause()
"""


@pytest.fixture
def temporary(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this process and its children, short enough for sockets."""
    monkeypatch.setenv("TMPDIR", str(home))
    monkeypatch.setattr("tempfile.tempdir", None)
    return home


def begun() -> tuple[subprocess.Popen[str], Path]:
    """A session in a process of its own, and its socket."""
    process = subprocess.Popen([sys.executable, "-c", SESSION], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str], by: signal.Signals = signal.SIGKILL) -> None:
    """End a session, and wait for that."""
    process.send_signal(by)
    process.communicate()


def test_the_folder_of_a_killed_session_is_removed_by_the_next(temporary: Path) -> None:
    """The folder of a session that runs stays, and so does whatever else is there."""
    killed, left = begun()
    end(killed)
    assert left.exists()
    running, used = begun()
    try:
        (temporary / "connector-of-another-program").mkdir()
        (temporary / "connector-file").touch()
        (temporary / "connector-link").symlink_to(left.parent)
        ours = SocketFolder()
        assert not left.parent.exists()
        assert used.exists()
        ours.remove()
        ours.remove()
        found = {path.name for path in temporary.iterdir()}
    finally:
        end(running)
    kept = {"connector-of-another-program", "connector-file", "connector-link"}
    assert found == {used.parent.name, *kept}


def test_the_socket_of_a_code_server_that_outlives_its_session_stays(temporary: Path) -> None:
    """Its runs still use it. When it has ended, the folder is removed."""
    killed, left = begun()
    end(killed)
    left.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(left))
        server.listen()
        SocketFolder().remove()
        assert left.exists()
    SocketFolder().remove()
    assert list(temporary.iterdir()) == []


def test_a_folder_with_anything_else_in_it_stays(temporary: Path) -> None:
    """It cannot be a session's."""
    killed, left = begun()
    end(killed)
    (left.parent / "mine").write_text("kept")
    SocketFolder().remove()
    assert (left.parent / "mine").read_text() == "kept"
    assert list(temporary.iterdir()) == [left.parent]
