"""The children of `dev` leave logs and files that are bounded and for their owner alone."""

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from connector_pipeline.cli import supervisor as supervising
from connector_pipeline.cli.dev_session import DevSession, announce, running_session, sole_session
from connector_pipeline.cli.supervisor import ChildEnded, Supervisor


def mode(path: Path) -> int:
    """The rights on a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_childs_log_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child goes on writing where its log was emptied; the folder was open to all before."""
    monkeypatch.setattr(supervising, "LARGEST_LOG", 100_000)
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    supervisor = Supervisor(logs)
    chatty = "while True: print('x' * 100, flush=True)"
    child = supervisor.start("chatty", [sys.executable, "-c", chatty])
    try:
        emptied = 0
        until = time.monotonic() + 300
        while emptied < 3:
            before = child.log.stat().st_size
            supervisor.check()
            emptied += child.log.stat().st_size < before
            assert time.monotonic() < until
    finally:
        supervisor.stop_all(patience=5)
    assert mode(logs) == 0o700
    assert {mode(path) for path in logs.iterdir()} == {0o600}
    assert {path.name for path in logs.iterdir()} == {"chatty.log", "chatty.log.old"}
    assert (logs / "chatty.log.old").stat().st_size <= 100_000
    # A file with a hole has zero bytes. Its child may have printed a traceback at its end.
    assert b"\0" not in child.log.read_bytes()


def test_the_end_of_a_log_is_shown_without_its_colours(tmp_path: Path) -> None:
    """The terminal shows codes as text, because anybody may have written into a log."""
    supervisor = Supervisor(tmp_path / "logs")
    coloured = r"print('\x1b[32m2026-11-28\x1b[0m - \x1b[1;34mINFO\x1b[0m - done')"
    child = supervisor.start("coloured", [sys.executable, "-c", coloured])
    try:
        child.process.wait(300)
        with pytest.raises(ChildEnded, match="2026-11-28 - INFO - done"):
            supervisor.check()
    finally:
        supervisor.stop_all(patience=5)


def test_the_session_of_dev_is_its_owners(tmp_path: Path) -> None:
    """It has the addresses of the sandbox; an earlier version made home and files for all."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    lock = home / "dev.lock"
    lock.touch()
    lock.chmod(0o644)
    session = DevSession(pid=os.getpid(), ui_url="http://127.0.0.1:3000")
    with sole_session(home):
        announce(home, session)
        assert running_session(home) == session
        assert {mode(home / name) for name in ("dev.json", "dev.lock")} == {0o600}
        # As root, the embedded server's account has to pass through.
        assert mode(home) in (0o700, 0o701)
