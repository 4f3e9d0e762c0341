"""An install without extras works, and a command names the extras that it lacks."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from connector_pipeline.definitions import build_definitions
from connector_pipeline.model.extra import Extra, ExtraMissing
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.cli.conftest import Command

PROJECT = Path(__file__).parents[2]
EVERY_MODULE = [module for extra in Extra for module in extra.value]
SHOP = "shopify/acme.myshopify.com"


class NoSandbox:
    """Settings in place of the sandbox's: without its packages none can be started."""

    def environment(self) -> dict[str, str]:
        return {"TOKEN_SERVICE_URL": "http://127.0.0.1:1"}


@pytest.fixture
def sandbox() -> NoSandbox:
    """No command here gets as far as to ask the Token Service."""
    return NoSandbox()


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python finds none of the modules that the extras bring."""
    for module in EVERY_MODULE:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.fixture
def nothing_is_set(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable names a database or a Token Service, so a command needs one of ours."""
    for variable in ("CONNECTOR_DATABASE_URL", "DAGSTER_POSTGRES_URL", "TOKEN_SERVICE_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("extra", Extra)
def test_an_extra_is_known_by_all_its_packages(extra: Extra) -> None:
    """pyproject.toml lists the packages whose modules a command looks for."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"][extra.label]
    requirements = [Requirement(line) for line in listed]
    # nats-py[nkeys] brings the package nkeys, too.
    names = {canonicalize_name(name) for each in requirements for name in (each.name, *each.extras)}
    distributions = packages_distributions()
    of_modules = [
        # Those of gcs and azure are not installed here; they are named as their modules are.
        set(map(canonicalize_name, distributions.get(module.partition(".")[0], [module])))
        for module in extra.value
    ]
    # Several packages share the first part of a module's name with dots, so each owns one of them.
    alone = {
        name
        for module, of in zip(extra.value, of_modules, strict=True)
        if "." not in module
        for name in of
    }
    assert alone <= names <= set().union(*of_modules)
    assert len(names) == len(extra.value)


def test_commands_and_definitions_load_without_any_extra() -> None:
    """They import no module that only an extra brings, and none of the sandbox."""
    look = "\n".join(
        [
            "import sys",
            f"sys.modules.update(dict.fromkeys({EVERY_MODULE!r}))",
            # The command line imports the module of a command when the command is called.
            "import importlib, pkgutil, connector_pipeline.cli, connector_pipeline.definitions",
            "for each in pkgutil.iter_modules(connector_pipeline.cli.__path__):",
            "    if each.name != '__main__':",
            "        importlib.import_module(f'connector_pipeline.cli.{each.name}')",
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
        (["ui", "-w", str(PROJECT / "workspace.yaml")], "ui"),
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
    """It names all of them on one line, with the command that installs them."""
    ended = command(*words)
    assert (ended.status, ended.out) == (1, "")
    [line] = ended.err.splitlines()
    assert line.startswith("ExtraMissing: ")
    assert f"pip install 'connector-pipeline[{extras}]'" in line


@pytest.mark.usefixtures("nothing_is_set")
def test_a_missing_sandbox_is_reported_with_the_setting_that_replaces_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded Postgres is installed, so only the sandbox is missing."""
    for module in Extra.SANDBOX.value:
        monkeypatch.setitem(sys.modules, module, None)
    ended = command("sync", SHOP)
    assert ended.err.splitlines() == [
        "ExtraMissing: the extra `sandbox` is not installed. "
        "Set TOKEN_SERVICE_URL, or run `pip install 'connector-pipeline[sandbox]'`."
    ]


@pytest.mark.usefixtures("without_extras", "nothing_is_set")
def test_doctor_names_the_missing_extras(command: Command) -> None:
    """An operator runs doctor when something is missing."""
    ended = command("doctor")
    assert ended.status == 1
    assert "fail extras: the extras `sandbox`, `embedded` are not installed." in ended.out


@pytest.mark.usefixtures("without_extras", "environment")
def test_nats_without_its_extra_is_one_message_everywhere(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The definitions do not load, and doctor finds the same."""
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("TOKEN_SERVICE_URL", "http://127.0.0.1:1")
    message = (
        "the extra `nats` is not installed. "
        "Unset NATS_URL, or run `pip install 'connector-pipeline[nats]'`."
    )
    with pytest.raises(ExtraMissing) as missing:
        build_definitions(load_settings())
    assert str(missing.value) == message
    assert f"fail nats: {message}" in command("doctor").out


@pytest.mark.usefixtures("without_extras")
def test_commands_on_a_named_database_need_no_extra(command: Command) -> None:
    """The environment names a Postgres, and these commands need no Token Service."""
    assert command("migrate").status == 0
    assert command("shops", "list").status == 0
