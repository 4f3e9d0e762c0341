"""Promises of an install without extras."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from connector_pipeline.cli.extras import Extra
from connector_pipeline_tests.cli.conftest import Command

PROJECT = Path(__file__).parents[2]
EVERY_MODULE = [module for extra in Extra for module in extra.value]
SHOP = "shopify/acme.myshopify.com"


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python finds none of the modules that the extras bring."""
    for module in EVERY_MODULE:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.fixture
def nothing_is_set(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a database nor a Token Service is named: both would be brought."""
    for variable in ("CONNECTOR_DATABASE_URL", "DAGSTER_POSTGRES_URL", "TOKEN_SERVICE_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("extra", Extra)
def test_an_extra_is_known_by_all_that_it_brings(extra: Extra) -> None:
    """What pyproject.toml lists and what a command looks for are the same packages."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"][extra.label]
    names = {requirement.partition("=")[0].partition(">")[0] for requirement in listed}
    distributions = packages_distributions()
    assert names == {name for module in extra.value for name in distributions[module]}


def test_commands_and_definitions_load_without_any_extra() -> None:
    """Nothing on the way imports what only an extra brings, nor the sandbox."""
    look = "\n".join(
        [
            "import sys",
            f"sys.modules.update(dict.fromkeys({[*EVERY_MODULE, 'nats']!r}))",
            "import connector_pipeline.cli.main, connector_pipeline.definitions",
            "print(*(name for name in sys.modules if '.sandbox' in name))",
        ]
    )
    ended = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=False, timeout=300
    )
    assert (ended.returncode, ended.stdout) == (0, "\n"), ended.stderr


@pytest.mark.usefixtures("without_extras", "nothing_is_set")
@pytest.mark.parametrize(
    ("words", "extras"),
    [
        (["dev"], "ui,sandbox,embedded"),
        (["demo"], "sandbox,embedded"),
        (["sandbox"], "sandbox"),
        (["sync", SHOP], "sandbox,embedded"),
        (["backfill"], "sandbox,embedded"),
        (["migrate"], "embedded"),
        (["shops", "list"], "embedded"),
        (["catalog", "show", SHOP], "embedded"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_a_command_names_the_extras_it_lacks(
    command: Command, words: list[str], extras: str
) -> None:
    """All of them at once, on one line, with the command that installs them."""
    ended = command(*words)
    assert (ended.status, ended.out) == (1, "")
    [line] = ended.err.splitlines()
    assert line.startswith("ExtraMissing: ")
    assert f"pip install 'connector-pipeline[{extras}]'" in line


@pytest.mark.usefixtures("without_extras")
def test_a_token_service_may_be_named_in_the_sandboxs_place(command: Command) -> None:
    """The database is named here, so only the sandbox is asked for."""
    ended = command("sync", SHOP)
    assert ended.err.splitlines() == [
        "ExtraMissing: the extra `sandbox` is not installed. "
        "Set TOKEN_SERVICE_URL, or run `pip install 'connector-pipeline[sandbox]'`."
    ]


@pytest.mark.usefixtures("without_extras", "nothing_is_set")
def test_doctor_names_the_missing_extras(command: Command) -> None:
    """It is what one runs when something is missing."""
    ended = command("doctor")
    assert ended.status == 1
    assert "fail extras: the extras `sandbox`, `embedded` are not installed." in ended.out


@pytest.mark.usefixtures("without_extras")
def test_a_database_of_ones_own_needs_no_extra(command: Command) -> None:
    """Postgres is named, and nothing else is asked of the install."""
    assert command("migrate").status == 0
    assert command("shops", "list").status == 0
