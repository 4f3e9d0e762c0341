"""The version is written in pyproject.toml; whatever names it too names the same."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from connector_pipeline.cli.main import app

PROJECT = Path(__file__).parent.parent
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]

# Files that no build step fills in: somebody copies a command from them, or a cluster reads them.
NAMED = re.compile(
    r"connector-pipeline:(\d[\w.]*)|connector_pipeline-(\d[\w.]*?)-py3|"
    r"(?m:^ *(?:newTag|tag): (\d[\w.]*)$)|ARG VERSION=(\S+)"
)
FILES = ["Dockerfile", "compose.yaml", "docs/deploying.md", "docs/operating.md"]
FILES += ["deploy/kubernetes/dagster-values.yaml", "deploy/kubernetes/kustomization.yaml"]


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_names_the_version_names_this_one(file: str) -> None:
    """Of images, wheels and labels."""
    found = ["".join(groups) for groups in NAMED.findall((PROJECT / file).read_text())]
    assert set(found) == {VERSION}


def test_the_changelog_has_this_version_with_its_date_at_the_top() -> None:
    """Only what is not released stands above it."""
    log = (PROJECT / "CHANGELOG.md").read_text()
    headings = re.findall(r"(?m)^## (.+)$", log)
    released = [heading for heading in headings if heading != "[Unreleased]"]
    assert re.fullmatch(rf"\[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d", released[0])


def test_the_page_of_an_index_has_no_link_that_leads_nowhere() -> None:
    """It is the text alone, without the files beside it. It names the extras that there are."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    page = (PROJECT / project["readme"]).read_text()
    assert re.findall(r"!\[|\]\((?!https://)[^)]*\)|<img", page) == []
    named = {name for row in re.findall(r"(?m)^\| (`.*?) \|", page) for name in row.split(", ")}
    extras = set(project["optional-dependencies"]) - {"dev", "docs", "e2e"}
    assert named == {f"`{extra}`" for extra in extras}
    # Without it the image builds no wheel.
    for file in ("Dockerfile", ".dockerignore"):
        assert project["readme"] in (PROJECT / file).read_text()


def test_the_command_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where no setting is made and no database answers."""
    with pytest.raises(SystemExit) as ended:
        app(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"connector-pipeline {VERSION}\n"
    assert version("connector-pipeline") == VERSION
