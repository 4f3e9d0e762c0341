"""The command line as a user types it, over a fresh database."""

import json
import os
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from jsonschema import Draft202012Validator

from connector_pipeline.cli.main import main
from connector_pipeline.cli.printed import MODELS, schema_of
from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.state.registry import ShopRegistry


@dataclass(frozen=True)
class Ended:
    """The output and the exit status of a command."""

    status: int
    out: str
    err: str

    def rows(self) -> list[dict[str, Any]]:
        """The objects that `--json` printed."""
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Ended]


def hold_against_schema(words: Sequence[str], ended: Ended) -> None:
    """Each object that a command printed suits the command's schema, and has no other fields."""
    named = next(name for name in (" ".join(words[:2]), words[0]) if name in MODELS)
    validator = Draft202012Validator(closed(schema_of(named)))
    for row in ended.rows():
        validator.validate(row)


def closed(schema: Any) -> Any:
    """The schema, refusing fields that it does not name unless it says that it has others.

    Readers ignore fields that they do not know, so the schema itself allows them.
    """
    if isinstance(schema, dict):
        inner = {name: closed(value) for name, value in schema.items()}
        return {"additionalProperties": False, **inner} if "properties" in inner else inner
    return [closed(each) for each in schema] if isinstance(schema, list) else schema


@pytest.fixture
def sandbox() -> Generator[SandboxServer]:
    """The sandbox that the settings name, as an operator starts it: by `sandbox`."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def environment(
    database_url: str,
    empty_database_url: str,
    sandbox: SandboxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Generator[None]:
    """Settings of a command over databases of its own and the sandbox. Its exports are undone."""
    before = dict(os.environ)
    dagster_url = urlunsplit(urlsplit(empty_database_url)._replace(scheme="postgresql+psycopg2"))
    monkeypatch.setenv("CONNECTOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", database_url)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", dagster_url)
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    yield
    monkeypatch.undo()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def sandbox_shops(registry: ShopRegistry) -> list[str]:
    """The sandbox's shops are registered. Their partition keys."""
    shops = register_sandbox_shops(registry, DEFAULT_SHOPS)
    return [shop.partition_key for shop in shops]


@pytest.fixture
def command(environment: None, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `connector-pipeline` with these words."""

    def run(*words: str) -> Ended:
        argv, sys.argv = sys.argv, ["connector-pipeline", *words]
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        finally:
            sys.argv = argv
        captured = capsys.readouterr()
        ended = Ended(status, captured.out, captured.err)
        if "--json" in words:
            hold_against_schema(words, ended)
        return ended

    return run
