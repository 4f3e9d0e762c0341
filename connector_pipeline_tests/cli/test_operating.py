"""The commands and the SQL of the operator's pages are right as they are printed there."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest
import typer

from connector_pipeline.cli.main import app
from connector_pipeline.cli.ports import free_port
from connector_pipeline.postgres.embedded.programs import program_file
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline_tests.conftest import enterable_directory

PROJECT: Final = Path(__file__).parents[2]
LONG: Final = 300
"""Seconds that a busy machine may take. A test that hangs must still end."""

PAGES: Final = ("operating.md", "deploying.md", "settings.md", "syncs.md")
SPEC: Final = next(spec for spec in DEFAULT_SHOPS if spec.platform == "woocommerce")
SHOP: Final = f"{SPEC.platform}/{SPEC.domain}"

RUN_ELSEWHERE: Final = {
    "code-server": "deploy/test_deployment.py::test_each_process_ends_by_sigterm",
    "daemon": "deploy/test_deployment.py::test_each_process_ends_by_sigterm",
    "ui": "deploy/test_deployment.py::test_each_process_ends_by_sigterm",
    "worker": "engine/test_celery_workers.py::test_two_workers_share_runs_and_their_processes_stay",
    "webhooks": "hints/test_receiver.py::test_topics_lead_to_hints",
    "metrics": "monitoring/test_metrics.py::test_the_page_is_as_documented",
    "dev": "cli/test_dev.py::test_a_newcomers_session_syncs_stops_and_starts_again",
    "sandbox": "cli/test_sandbox.py::test_the_sandbox_serves_until_ctrl_c",
}
"""The commands that go on until they are stopped, each with the test that runs it."""

NO_COMMAND: Final = {"connector-pipeline run RUN_ID"}
"""The name of a session of Postgres."""

PLACEHOLDERS: Final = {
    "COMMAND": "sync",
    "ADDRESS": "127.0.0.1:4266",
    "FILE": str(PROJECT / "workspace.yaml"),
    "FILE.csv": str(PROJECT / "workspace.yaml"),
    "HOURS": "24",
    "M": SPEC.merchant_id,
    "PATH": "exported",
    "REVISION": "0004_installation",
    "SHOP": SHOP,
    "SHOP…": SHOP,
    "[SHOP]...": SHOP,
}


def page(name: str) -> str:
    return (PROJECT / "docs" / name).read_text()


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a page in this language, in their order."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", page(name), re.DOTALL | re.MULTILINE)


def codes(text: str) -> list[str]:
    """The inline codes of a text without code blocks."""
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


def commands(name: str) -> Iterator[list[str]]:
    """The words after `connector-pipeline` of every command that a page prints whole."""
    in_blocks = "\n".join(blocks(name, "(?:sh|text)")).splitlines()
    for line in [*in_blocks, *codes(page(name))]:
        words = line.strip().split(" #")[0]
        if words in NO_COMMAND or "connector-pipeline " not in words:
            continue
        split = shlex.split(words)
        if "connector-pipeline" in split and split[0] != "docker":
            yield split[split.index("connector-pipeline") + 1 :]


def table_of_commands() -> list[tuple[list[list[str]], list[str]]]:
    """The commands of each row of the table, and the options that the row names."""
    [table] = re.findall(r"^\| command \| does \|\n.*?\n\n", page("operating.md"), re.M | re.S)
    rows = [row.split(" | ", 1) for row in table.splitlines()[2:] if row]
    return [
        (
            [shlex.split(code) for code in codes(named)],
            [option for code in codes(does) for option in re.findall(r"--[a-z-]+", code)],
        )
        for named, does in rows
    ]


def parsed(words: list[str]) -> Any:
    """The command that the real command line finds, once it has taken all options and arguments."""
    # Of Typer's own copy of click, which it does not publish.
    found: Any = typer.main.get_command(app)
    rest = [PLACEHOLDERS.get(word, word) for word in words]
    while hasattr(found, "commands"):
        if found.invoke_without_command and not (rest and rest[0] in found.commands):
            # A group that is a command itself, e.g. `webhooks`.
            break
        assert [*rest, ""][0] in found.commands, words
        found = found.commands[rest.pop(0)]
    found.make_context(" ".join(words), rest)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_page_is_one_of_the_command_line(name: str) -> None:
    """With its options and as many arguments."""
    for words in commands(name):
        parsed(words)
    if name == "operating.md":
        assert len(list(commands(name))) > 20


def test_the_table_names_every_command_and_options_that_it_has() -> None:
    """A command that is added is listed; an option that is renamed is renamed there."""
    listed: set[str] = set()
    for row, options in table_of_commands():
        found = [parsed(words) for words in row]
        listed |= {" ".join(names(words)) for words in row}
        known = {name for each in found for option in each.params for name in option.opts}
        assert set(options) <= known, (row, set(options) - known)
    assert listed >= set(names_of_commands(typer.main.get_command(app)))


def names(words: list[str]) -> Iterator[str]:
    """The words before the first option or argument."""
    return takewhile(lambda word: word.islower() and word[0] != "-", words)


def names_of_commands(found: Any, *before: str) -> Iterator[str]:
    """The names of all commands, those of groups with their group's."""
    if hasattr(found, "commands"):
        if found.invoke_without_command:
            yield " ".join(before)
        for name, each in found.commands.items():
            yield from names_of_commands(each, *before, name)
    else:
        yield " ".join(before)


@pytest.mark.parametrize("name", PAGES)
def test_an_option_beside_the_name_of_a_command_is_its_option(name: str) -> None:
    """As in "`migrate --check` changes nothing"."""
    everything = {each.split()[0] for each in names_of_commands(typer.main.get_command(app))}
    for code in codes(page(name)):
        words = code.split()
        if words[0] not in everything or not any(word.startswith("--") for word in words):
            continue
        found: Any = typer.main.get_command(app)
        while hasattr(found, "commands"):
            found = found.commands[words.pop(0)]
        known = {option for each in found.params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= known, code


@pytest.mark.parametrize("command", RUN_ELSEWHERE)
def test_a_command_that_goes_on_is_run_by_the_test_that_is_named(command: str) -> None:
    """It is there, and its folder's files start the command."""
    file, _, test = RUN_ELSEWHERE[command].partition("::")
    path = PROJECT / "connector_pipeline_tests" / file
    assert f"def {test}(" in path.read_text()
    assert any(f'"{command}"' in each.read_text() for each in path.parent.glob("*.py"))


@dataclass(frozen=True)
class Deployment:
    """A deployment that follows operating.md, with a Postgres of its own and plain roles."""

    folder: Path
    server: EmbeddedPostgres
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]]

    def url(self, user: str, database: str = "catalog", scheme: str = "postgresql") -> str:
        """A URL of a user, who needs no password here."""
        url = urlsplit(self.server.url(database))
        return url._replace(scheme=scheme, netloc=f"{user}@").geturl()

    def start(self, *names: str) -> None:
        """Start processes of the deployment and wait until the daemon has loaded the sensors."""
        for name in names:
            words = ["sh", "-c", f"set -a; . ./connector.env; exec connector-pipeline {name}"]
            with (self.folder / f"{name}.log").open("wb") as log:
                self.processes.append(
                    subprocess.Popen(
                        words, cwd=self.folder, env=self.environment, stdout=log, stderr=log
                    )
                )
        until = time.monotonic() + LONG
        while self.run("connector-pipeline daemon --check").returncode != 0:
            assert time.monotonic() < until, (self.folder / "daemon.log").read_text()
            assert all(process.poll() is None for process in self.processes), "\n".join(
                log.read_text() for log in self.folder.glob("*.log")
            )
            time.sleep(0.5)

    def stop(self) -> None:
        """End them as a supervisor does."""
        for process in reversed(self.processes):
            process.terminate()
        assert [process.wait(LONG) for process in self.processes] == [0] * len(self.processes)
        self.processes.clear()

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Execute a line as it is printed, in a shell that has read connector.env."""
        line = line.replace("http://127.0.0.1:4010", self.environment["SANDBOX_URL"])
        line = re.sub(r"\b(SHOP|DIR|M)\b", lambda found: self.values[found[0]], line)
        if "shops erase" in line or "--to " in line:
            # They ask a person at a terminal.
            line += " --yes"
        reads = "if test -f connector.env; then set -a; . ./connector.env; set +a; fi"
        return subprocess.run(
            ["sh", "-c", f"{reads}\n{line}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG,
        )

    @property
    def values(self) -> dict[str, str]:
        return {"SHOP": SHOP, "DIR": str(self.folder), "M": SPEC.merchant_id}

    def execute(self, statements: str) -> None:
        """Execute a block of SQL as the superuser, one statement after the other."""
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            for statement in statements.replace("…", "long-enough").split(";"):
                if statement.strip():
                    connection.execute(statement.encode())


@pytest.fixture(scope="module")
def deployment() -> Generator[Deployment]:
    """The programs, a Postgres and a sandbox; the pages do the rest."""
    programs = f"{Path(sys.executable).parent}:{program_file('psql').parent}"
    with (
        enterable_directory() as directory,
        EmbeddedPostgres(directory / "server", settings={"fsync": "off"}) as server,
        SandboxServer() as sandbox,
    ):
        folder = directory / "deployment"
        folder.mkdir()
        admin = urlsplit(server.url("postgres"))
        with psycopg.connect(admin.geturl(), autocommit=True) as connection:
            # The page has an administrator make them.
            connection.execute("DROP DATABASE catalog")
            connection.execute("DROP DATABASE dagster")
        where = dict(re.findall(r"(host|port)=([^&]+)", admin.query))
        made = Deployment(folder, server, {}, [])
        made.environment.update(
            PATH=f"{programs}:{os.environ['PATH']}",
            PYTHONPATH=str(PROJECT),
            PGHOST=where["host"],
            PGPORT=where["port"],
            PGUSER="postgres",
            OWNER_URL=made.url("connector_owner"),
            # For lines that are executed before the file is filled in.
            CONNECTOR_CODE_SERVER=f"127.0.0.1:{free_port(4276)}",
            SANDBOX_URL=sandbox.url,
            **sandbox.environment(),
        )
        try:
            yield made
        finally:
            for process in made.processes:
                process.kill()


AS_OWNER: Final = dict.fromkeys(
    ["migrate", "shops erase --demanded"], 'CONNECTOR_DATABASE_URL="$OWNER_URL" '
)


def test_each_line_of_the_page_works_in_its_order(deployment: Deployment) -> None:
    """From an empty folder to a shop that is erased, each with exit status 0.

    The SQL of the page is executed where it stands.
    """
    found = re.finditer(
        r"^ *```(sh|sql)\n(.*?)^ *```$", page("operating.md"), re.DOTALL | re.MULTILINE
    )
    done: set[str] = set()
    for language, text in (match.groups() for match in found):
        if language == "sql":
            deployment.execute(text)
            continue
        for line in map(str.strip, text.splitlines()):
            if line.endswith("code-server --check"):
                deployment.start("code-server", "daemon")
            elif "--to " in line:
                deployment.stop()
            ended = deployment.run(line)
            assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
            done.add(line.partition("connector-pipeline ")[2])
            if " queue " in line:
                stopped = "queue: stopped" in deployment.run("connector-pipeline doctor").stdout
                assert stopped == ("queue stop" in line)
            if " init " in line:
                fill_in(deployment)
    within_the_text = {
        " ".join(words) for words in commands("operating.md") if words[0] not in RUN_ELSEWHERE
    }
    assert "migrate --check" in within_the_text
    for words in ["shops add SHOP --merchant-id M", *sorted(within_the_text - done)]:
        ended = deployment.run(f"{AS_OWNER.get(words, '')}connector-pipeline {words}")
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)


def fill_in(deployment: Deployment) -> None:
    """Step 3 of the page, by an operator's editor."""
    written = deployment.folder / "connector.env"
    assert written.stat().st_mode & 0o777 == 0o600
    text = written.read_text()
    dagster = deployment.url("connector", "dagster", "postgresql+psycopg2")
    for name, value in {
        "CONNECTOR_DATABASE_URL": deployment.url("connector"),
        "DAGSTER_POSTGRES_URL": dagster,
        "TOKEN_SERVICE_URL": deployment.environment["TOKEN_SERVICE_URL"],
    }.items():
        text, found = re.subn(rf"(?m)^# {name}=.*$", f"{name}='{value}'", text, count=1)
        assert found == 1, name
    written.write_text(text)


@pytest.mark.parametrize("name", ["syncs.md", "deploying.md", "settings.md", "operating.md"])
def test_each_statement_of_a_page_suits_the_schemas(name: str, database_url: str) -> None:
    """Of blocks, and of codes within the text; nothing is kept."""
    inline = [
        code
        for code in codes(page(name))
        if re.match(r"(SELECT|UPDATE|DELETE|INSERT|ALTER ROLE) .* ", code) and "…" not in code
    ]
    in_blocks = [] if name == "operating.md" else blocks(name, "sql")
    statements = [
        each for text in [*in_blocks, *inline] for each in text.split(";") if each.strip()
    ]
    assert statements or name == "settings.md"
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE ROLE dagster")
        for statement in statements:
            connection.execute(statement.replace("PID", "0").encode())
        connection.rollback()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_in_a_terminal(name: str) -> None:
    """Its lines fit, and no sentence begins with a bare "Who" or "What"."""
    text = page(name)
    outside_tables = [line for line in text.splitlines() if not line.startswith("|")]
    assert [line for line in outside_tables if len(line) > 120] == []
    begins = r"(?:^|[.:;] |\n\n|- |\*\*|\| )(?:Who|What|Whoever|Whatever) "
    assert re.findall(begins, text) == []
