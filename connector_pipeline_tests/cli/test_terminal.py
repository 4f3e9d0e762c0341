"""Nothing that a merchant, a platform or a requester wrote moves a terminal, or ends a command."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from connector_pipeline.cli import output
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.output import SafeConsole
from connector_pipeline.cli.progress import sync_progress
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.cli.conftest import Command, Ended

SHOP = "shopify/nordic-tea.myshopify.com"
HOSTILE = (
    "\x1b[2J\x1b]0;pwned\x07 \x9b31m \u202egnp.exe \u200b\x7f[red]x[/red]:skull: [link=http://e]"
)
pytestmark = pytest.mark.usefixtures("environment")

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=80)


def is_plain(text: str) -> bool:
    """Whether a terminal only shows the text. The joiner of emoji is let through, and no other."""
    return all(each.isprintable() or each in "\n\u200d" for each in text)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Generator[SandboxServer]:
    """A sandbox whose shop has hostile titles, in place of the other one."""
    with SandboxServer() as server:
        monkeypatch.setenv("CONNECTOR_RETRY_DELAY", "0.01")
        shop = server.store.shop(*SHOP.split("/"))
        first, second = shop.product_ids()[:2]
        shop.edit_product(first, {"title": f"Tea {HOSTILE}"}, at=None)
        shop.edit_product(second, {"title": "Tea\t\ttabs\nand lines"}, at=None)
        yield server


def test_hostile_titles_and_errors_are_shown(sandbox: SandboxServer, command: Command) -> None:
    """In tables, as JSON, in warnings and failures: as text, and as whole JSON."""
    assert command("shops", "add", SHOP, "--merchant-id", "m").status == 0
    assert command("sync", SHOP).status == 0
    table, rows = command("catalog", "show", SHOP), command("catalog", "show", SHOP, "--json")
    assert is_plain(table.out)
    assert "\\x1b[2J" in table.out
    assert is_plain(rows.out)
    assert f"Tea {HOSTILE}" in [row["product_title"] for row in rows.rows()]
    message = f"{HOSTILE} \ud800"
    for body in ({"errors": [{"message": message}]}, {"errors": message}):
        sandbox.faults.set(
            [{"kind": "body", "body": json.dumps(body), "match": {"platform": "shopify"}}]
        )
        for words in (("sync", SHOP), ("sync", SHOP, "--json"), ("shops", "list", "--json")):
            ended = command(*words)
            assert is_plain(ended.out)
            assert is_plain(ended.err)
            assert all(ended.rows()) or "--json" not in words
    with psycopg.connect(load_settings().connector_database_url.get_secret_value()) as connection:  # type: ignore[union-attr]
        connection.execute(
            "UPDATE connector.shops SET last_error_code = %s, currency = %s", (HOSTILE, HOSTILE)
        )
    for words in (("shops", "list"), ("shops", "list", "--json"), ("doctor",), ("backfill",)):
        ended = command(*words)
        assert is_plain(ended.out)
        assert is_plain(ended.err)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_terminal_of_any_encoding_gets_bytes_that_it_only_shows(
    sandbox: SandboxServer, command: Command, encoding: str
) -> None:
    """A Latin-1 terminal obeys one byte of C1. Half a pair ended the command in a traceback."""
    command("shops", "add", SHOP, "--merchant-id", "m")
    message = {"errors": [{"message": f"{HOSTILE} \ud800 日本 é"}]}
    sandbox.faults.set(
        [{"kind": "body", "body": json.dumps(message), "match": {"platform": "shopify"}}]
    )
    for words in (("sync", SHOP), ("sync", SHOP, "--json")):
        ended = subprocess.run(
            [sys.executable, "-m", "connector_pipeline.cli", *words],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert ended.returncode == 1
        for printed in (ended.stdout, ended.stderr):
            assert is_plain(printed.decode(encoding))
            assert b"Traceback" not in printed
        if "--json" in words:
            assert "\\ud800" in json.loads(ended.stdout.decode(encoding))["error"]


def test_what_is_registered_by_a_file_is_refused_in_plain_words(
    command: Command, tmp_path: Path
) -> None:
    """The message quotes the file."""
    file = tmp_path / "shops.csv"
    file.write_text(
        "merchant_id,platform_name,platform_shop_id,domain\n"
        f"m,{HOSTILE!s},1,acme.myshopify.com\nm,shopify,1,{HOSTILE}\n{HOSTILE},shopify,1,a.b\n",
        newline="",
    )
    ended = command("shops", "import", str(file))
    assert ended.status == 2
    assert is_plain(ended.err)
    refused: Ended = command("shops", "add", f"shopify/{HOSTILE}", "--merchant-id", HOSTILE)
    assert refused.status == 2
    assert is_plain(refused.err)


@given(ANY_TEXT)
@example(HOSTILE)
@example("\ud800")
@example("[bold]not markup[/bold] :smile: [/nothing]")
def test_any_text_is_shown_by_the_consoles(text: str) -> None:
    """Printed as it is, in a table's cell, and in a progress bar."""
    for console in (_console(terminal=False), _console(terminal=True)):
        console.print(text, soft_wrap=True)
        table = Table(text, box=None)
        table.add_row(text)
        table.add_row(Text(text))
        console.print(table)
        printed = console.file
        assert isinstance(printed, io.StringIO)
        shown = printed.getvalue()
        for ours in ("\x1b[1m", "\x1b[0m"):
            shown = shown.replace(ours, "")
        assert is_plain(shown)
        shown.encode()


def test_a_progress_bar_shows_a_hostile_name_as_text() -> None:
    """Only what Rich does by itself is obeyed."""
    console = _console(terminal=True)
    with sync_progress(console) as progress:
        progress.add_task(HOSTILE, note=HOSTILE)
    printed = console.file
    assert isinstance(printed, io.StringIO)
    shown = re.sub(r"\x1b\[(\?25[lh]|[12]?[A-K])|\r", "", printed.getvalue())
    assert "pwned" in shown
    assert is_plain(shown)


@given(st.dictionaries(ANY_TEXT, st.lists(ANY_TEXT, max_size=3), max_size=3))
@example({HOSTILE: ["\ud800", "\U0001f600\U000e0041"]})
def test_any_json_is_printed_whole(row: dict[str, list[str]]) -> None:
    """It is one line of UTF-8 that reads back as the same, whatever was in it."""
    written, before = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline=""), sys.stdout
    sys.stdout = written
    try:
        print_json(row)
    finally:
        sys.stdout = before
    written.seek(0)
    line = written.read()
    assert is_plain(line)
    assert line.count("\n") == 1
    # A reader of JSON puts two halves of a pair together.
    assert json.loads(line) == json.loads(json.dumps(row))


def test_all_output_of_commands_goes_by_the_two_consoles() -> None:
    """`output.py` makes the only consoles, and `print` is used nowhere."""
    package = Path(output.__file__).parent
    for path in package.glob("*.py"):
        source = path.read_text()
        assert "Console(" not in source or path.name == "output.py", path
        assert "\n    print(" not in source
    assert isinstance(output.out, SafeConsole)
    assert isinstance(output.err, SafeConsole)


def _console(*, terminal: bool) -> SafeConsole:
    return SafeConsole(
        file=io.StringIO(),
        force_terminal=terminal,
        width=200,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None,
    )
