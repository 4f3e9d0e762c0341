"""Dagster's private parts are used in one room; import-linter sees packages, not their insides."""

import ast
import re
import runpy
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


def test_the_picture_of_the_rooms_is_that_of_their_imports() -> None:
    """docs/architecture.svg is drawn from the code."""
    project = PACKAGE.parent
    drawn = runpy.run_path(str(project / ".ci" / "architecture_picture.py"))["drawn"]()
    assert (project / "docs" / "architecture.svg").read_text(encoding="utf-8") == drawn, (
        "run `.venv/bin/python .ci/architecture_picture.py > docs/architecture.svg`"
    )


def test_the_page_on_architecture_lists_every_room_and_every_module_of_the_engine() -> None:
    """A contributor finds there why each exists; it names no module that is gone."""
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    rooms = page.partition("## The rooms")[2].partition("\n## ")[0]
    there = {path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    there -= {"__init__.py", "__pycache__"}
    named = {name.rstrip("/") for name in re.findall(r"`([a-z_]+(?:/|\.py))`", rooms)}
    assert there <= named
    engine = page.partition("## The engine")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`([a-z_]+\.py)`", engine))
    assert listed == {path.name for path in (PACKAGE / "engine").glob("[!_]*.py")}
