"""Help, schemas, errors and completion are of one kind, whichever the command."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from connector_pipeline.cli.failures import failure_of
from connector_pipeline.cli.main import app
from connector_pipeline.cli.printed import MODELS
from connector_pipeline_tests.cli.conftest import Command

PREFIX: Final = "connector-pipeline "
ACME: Final = "shopify/acme.myshopify.com"
LONG: Final = f"woocommerce/{'a' * 60}.example.com"


def commands() -> Iterator[tuple[list[str], Any]]:
    """The words of every command and of every group, and what Typer made of it."""

    def below(words: list[str], found: Any) -> Iterator[tuple[list[str], Any]]:
        yield words, found
        for name, each in getattr(found, "commands", {}).items():
            yield from below([*words, name], each)

    return below([], typer.main.get_command(app))


def test_every_command_has_examples_that_it_understands(tmp_path: Path) -> None:
    """Each begins with the command itself, and its options and arguments are taken."""
    for words, found in commands():
        if not words or (hasattr(found, "commands") and not found.invoke_without_command):
            continue
        lines = [line.strip() for line in (found.epilog or "").splitlines() if PREFIX in line]
        assert lines, words
        for line in lines:
            used = shlex.split(line.removeprefix(PREFIX))
            assert used[: len(words)] == words, line
            rest = [
                str(Path(__file__)) if each == "shops.csv" else each for each in used[len(words) :]
            ]
            if "--file" in rest:
                rest[rest.index("--file") + 1] = str(Path(__file__))
            with found.make_context(" ".join(words), rest):
                pass


def test_every_command_that_prints_json_has_a_schema(command: Command) -> None:
    """And no other. The fixture `command` holds against it what each test has a command print."""
    print_json = {
        " ".join(words)
        for words, found in commands()
        if any("--json" in param.opts for param in found.params)
    }
    assert print_json == MODELS.keys()
    everything = json.loads(command("schema").out)
    assert everything.keys() == print_json
    assert json.loads(command("schema", "shops", "list").out) == everything["shops list"]
    assert command("schema", "ui").status == 2


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("snyc", ACME), "Did you mean 'sync'? See `connector-pipeline --help`."),
        (("shops", "lst"), "Did you mean 'list'? See `connector-pipeline shops --help`."),
        (("sync", "--tpye", "full", ACME), "Did you mean --type? See `connector-pipeline sync"),
        (("sync",), "Missing argument 'SHOP'. See `connector-pipeline sync --help`."),
        (("sync", ACME, "--type", "half"), "'half' is not one of 'auto', 'full', 'incremental'"),
        (("migrate", "--check", "--sql"), "choose one of --check"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    command: Command, words: tuple[str, ...], meant: str
) -> None:
    """It says what may be meant, and whose help says more."""
    ended = command(*words)
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert meant in ended.err


def test_a_mistyped_shop_is_answered_alike_by_all_commands(
    command: Command, sandbox_shops: list[str]
) -> None:
    """What is no key is wrong usage, a key of nobody a failure; the shop that is meant is named."""
    tea = "shopify/nordic-tea.myshopify.com"
    assert tea in sandbox_shops
    for typed, status in (("nordic-tea", 2), ("shopify/nordic-te.myshopify.com", 1)):
        said = {
            (ended.status, ended.out, ended.err)
            for words in (
                ("sync", typed),
                ("sync", typed, "--request"),
                ("shops", "pause", typed, "--json"),
                ("shops", "remove", typed),
                ("catalog", "show", typed),
            )
            for ended in [command(*words)]
        }
        [(ended, out, err)] = said
        assert (ended, out, len(err.splitlines())) == (status, "", 1)
        assert (f"Did you mean {tea}?" if status == 2 else f"registry; {tea} is.") in err
    assert "Did you mean woocommerce/keramik.example?" in command("sync", "keramic").err
    assert "Did you mean" not in command("sync", "quite-another").err


def test_an_error_is_one_line_and_debug_adds_its_traceback(command: Command) -> None:
    """Also one that nobody foresaw, wherever the option stands."""
    ended = command("init", "/dev/null/folder")
    assert (ended.status, len(ended.err.splitlines())) == (1, 1)
    assert "/dev/null/folder" in ended.err
    debugged = command("init", "/dev/null/folder", "--debug")
    assert debugged.status == 1
    assert debugged.err.startswith("Traceback (most recent call last)")
    assert debugged.err.endswith(ended.err)
    [line] = failure_of(KeyError("some\nthing")).lines
    assert "--debug" in line
    assert "\n" not in line


class Interrupted(StringIO):
    """Standard input at which somebody presses Ctrl-C."""

    def __iter__(self) -> Iterator[str]:
        raise KeyboardInterrupt


def test_the_exit_statuses_are_those_of_the_page(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them, and no other."""
    monkeypatch.setattr("sys.stdin", Interrupted())
    statuses = [
        command(*words).status
        for words in (
            ("schema", "sync"),
            ("shops", "remove", ACME),
            ("shops", "remove", "acme"),
            ("shops", "pause", "--file", "-"),
        )
    ]
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    [table] = re.findall(r"^\| status \| means \|\n(.*?)\n\n", page, re.M | re.S)
    assert [int(each) for each in re.findall(r"(?m)^\| (\d+) \|", table)] == statuses


def test_a_shell_completes_commands_options_and_registered_shops(
    command: Command, sandbox_shops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a database it is silent: nothing may appear in the line that somebody types."""

    def completed(*words: str) -> list[str]:
        monkeypatch.setenv("_CONNECTOR_PIPELINE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", shlex.join(["connector-pipeline", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        ended = command()
        assert (ended.status, ended.err) == (0, "")
        return ended.out.split()

    assert completed("sy") == ["sync"]
    assert completed("sync", "--ty") == ["--type"]
    assert completed("shops", "pause", "shop") == sorted(
        key for key in sandbox_shops if key.startswith("shop")
    )
    assert completed("sync", "magento/") == []
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert completed("sync", "shop") == []
    monkeypatch.delenv("CONNECTOR_DATABASE_URL")
    assert completed("sync", "shop") == []


def test_a_table_is_never_cut(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A narrow terminal gets a wider table with whole keys; a pipe gets a line for each row."""
    monkeypatch.setenv("COLUMNS", "40")
    assert command("shops", "add", LONG, "--merchant-id", "m-1").status == 0
    piped = command("shops", "list").out
    assert LONG in piped
    assert len(piped.splitlines()) == 2
    for settings, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        shown = on_a_terminal("shops", "list", **settings)
        assert LONG in shown
        assert "…" not in shown
        help_shown = on_a_terminal("--help", **settings)
        # 30 to 37, 90 to 97 and 38;5;… are the colours of the foreground. Bold is none.
        assert bool(re.search(r"\x1b\[([0-9;]*;)?[39][0-7]", help_shown)) == coloured
    assert "\x1b" not in command("--help").out


def on_a_terminal(*words: str, **settings: str) -> str:
    """The output of the command where standard output is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "connector_pipeline.cli", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", **settings},
    ) as process:
        os.close(theirs)
        read = b""
        try:
            while chunk := os.read(ours, 65_536):
                read += chunk
        except OSError:
            # Linux says so at the end of a terminal.
            pass
        os.close(ours)
    assert process.returncode == 0, read
    return read.decode()
