"""Dagster's private parts are used in one room; import-linter sees packages, not their insides."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import connector_pipeline

PACKAGE = Path(connector_pipeline.__file__).parent


def private_parts_used(source: str) -> Iterator[str]:
    """The names of `dagster._*` in a module, and the excuses for the private parts of others."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=str() as module, names=names):
                found = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.Constant(value=str() as text):
                found = text.split()
            case _:
                continue
        yield from (name for name in found if name.startswith("dagster._"))
    if "reportPrivateUsage" in source:
        yield "reportPrivateUsage"


@pytest.mark.parametrize(
    "source",
    [
        "import dagster._core",
        "from dagster._core.events import DagsterEvent",
        "from dagster import _core",
        "def f():\n    from dagster._utils import x",
        "command = ('-m', 'dagster._daemon', 'run')",
        "module = 'dagster._daemon run'",
        "storage._engine  # pyright: ignore[reportPrivateUsage]",
    ],
)
def test_each_way_to_reach_inside_is_seen(source: str) -> None:
    """Also one that is hidden in a function or in a command."""
    assert list(private_parts_used(source))


@pytest.mark.parametrize("source", ["import dagster", "from dagster import asset", "'dagster_'"])
def test_what_dagster_promises_is_free(source: str) -> None:
    """Everywhere."""
    assert not list(private_parts_used(source))


def test_only_the_engine_reaches_inside_dagster() -> None:
    """It does, so that this test looks in the right place; nobody else does."""
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(private_parts_used(path.read_text()))
    }
    assert users == {"engine"}
