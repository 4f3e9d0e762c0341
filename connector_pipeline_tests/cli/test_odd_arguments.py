"""Odd arguments, streams and terminals: each is answered in one line, and none is a defect."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from connector_pipeline_tests.cli.conftest import Command
from connector_pipeline_tests.cli.test_command_line import on_a_terminal

TEA = "shopify/nordic-tea.myshopify.com"


IMPOSSIBLE = [
    (("dev", "--port", "0"), "'--port'"),
    (("dev", "--port", "-1"), "'--port'"),
    (("sandbox", "--port", "65536"), "'--port'"),
    (("backfill", "--stale", "inf"), "'--stale'"),
    (("backfill", "--stale", "1e9"), "'--stale'"),
    (("queue", "stop", "--wait", "--most-minutes", "1e300"), "'--most-minutes'"),
    (("catalog", "show", TEA, "--limit", "9" * 30), "'--limit'"),
    (("code-server", "--listen", "x"), "--listen"),
    (("shops", "pause", "--platform", "magento", "--state", "active"), "shopify, woocommerce"),
    (("init", ""), "must not be empty"),
    (("shops", "export", TEA, "--to", "/dev/full"), "--to"),
    (("sync", TEA, "--type", "half"), "'--type': 'half' is not one of"),
]


def test_what_no_command_can_work_with_is_wrong_usage(command: Command) -> None:
    """The option is named. Some of these were an unforeseen error, others did something else."""
    for words, said in IMPOSSIBLE:
        ended = command(*words)
        assert (ended.status, ended.out, len(ended.err.splitlines())) == (2, "", 1), words
        assert said in ended.err
        assert "report it" not in ended.err
    assert len(command("x" * 10_000).err) < 3_000
    # The command is not at fault, and the page of help is no error.
    for words in (("snyc",), ()):
        assert "Traceback" not in command(*words, "--debug").err


def test_a_key_as_somebody_copied_it_is_recognised_and_none_is_promised_too_much(
    command: Command, sandbox_shops: list[str]
) -> None:
    """With the slash of a URL, the page of the admin, quotes or spaces."""
    assert TEA in sandbox_shops
    for typed in (
        f"{TEA}/",
        "https://nordic-tea.myshopify.com/admin/products?selected=7",
        f"'{TEA}'",
        f" {TEA} ",
        "nordic-tea.myshopify.com:443",
    ):
        ended = command("shops", "show", typed)
        assert (ended.status, len(ended.err.splitlines())) == (2, 1)
        assert f"Did you mean {TEA}?" in ended.err
    # Its registration was advised, which the same command then refused.
    for impossible in ("magento/x.example", "shopify/x.example"):
        ended = command("shops", "show", impossible)
        assert ended.status == 1
        assert "Register it" not in ended.err
    # It announced that all is deleted, and then that it could not ask.
    ended = command("shops", "erase", TEA, "--json")
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert "--yes" in ended.err


def test_files_hosts_and_settings_that_cannot_be_right(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a line of its own. A file without an end was read until the memory was full."""
    ended = command("shops", "import", "/dev/zero")
    assert ended.status == 2
    assert "longer than" in ended.err
    ended = command("init", str(tmp_path / "\x1b[31m"))
    assert ended.status == 0
    assert "\x1b" not in ended.out
    assert command("webhooks", "--host", "x y", "--check").err.startswith("NoReceiver: ")
    # It served `connector_up 0` for ever.
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "mysql://somewhere")
    ended = command("metrics", "--port", "0")
    assert ended.status == 1
    assert ended.err.startswith("CONNECTOR_DATABASE_URL: ")


def test_a_terminal_without_a_size_shows_tables(command: Command, sandbox_shops: list[str]) -> None:
    """They had no text at all. Help on a narrow one keeps the names of options."""
    assert TEA in on_a_terminal("shops", "list", COLUMNS="0")
    assert "--allow-shrink" in on_a_terminal("sync", "--help", COLUMNS="20", TERM="dumb")


def test_a_removed_working_directory_is_named(tmp_path: Path) -> None:
    """The system's own message names no file."""
    script = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m"
    ended = subprocess.run(
        ["/bin/sh", "-c", f"{script} connector_pipeline.cli shops list"],
        cwd=tmp_path,
        env={name: os.environ[name] for name in os.environ if name != "CONNECTOR_HOME"}
        | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1), ended.stderr
    assert "working directory" in ended.stderr


def test_ctrl_c_while_the_command_is_loaded_prints_nothing() -> None:
    """A traceback of imports says nothing to an operator. 130 is what a shell makes of it."""
    script = """
import os, signal, sys
class Pressed:
    def find_spec(self, name, path=None, target=None):
        if name == "connector_pipeline.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Pressed())
signal.signal(signal.SIGINT, signal.default_int_handler)
from connector_pipeline.cli.__main__ import main
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_a_closed_stream_is_no_defect(command: Command) -> None:
    """A supervisor or a cron job may start a command so. What is printed there is lost."""
    assert command("shops", "add", TEA, "--merchant-id", "m").status == 0
    for words, closed, status in (
        ("shops list --json", ">&-", 0),
        ("shops list", "2>&-", 0),
        ("shops pause --file -", "<&- 2>&-", 0),
    ):
        ended = subprocess.run(
            ["/bin/sh", "-c", f"{sys.executable} -m connector_pipeline.cli {words} {closed}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == status, (words, ended.stderr)
        assert "Error" not in ended.stderr
