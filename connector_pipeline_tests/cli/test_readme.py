"""Every command of README.md and CONTRIBUTING.md does what the page says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from connector_pipeline.model.schemas import FOLDER, texts
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.cli.conftest import Command

PROJECT = Path(__file__).parents[2]
ACME = ShopSpec(
    platform="shopify",
    domain="acme.myshopify.com",
    merchant_id="m-1",
    platform_shop_id="1",
    products=5,
)
NEW_MIGRATION = "connector_pipeline.postgres.migrations.new"
SCHEMAS = "connector_pipeline.model.schemas"


def commands(page: str) -> list[list[str]]:
    """The words of each command in the page's shell blocks, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", (PROJECT / page).read_text(), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.strip()]


def run_by_ci(words: list[str]) -> bool:
    """Whether CI runs the command, or is the command."""
    scripts = [script.read_text() for script in (PROJECT / ".ci").iterdir() if script.is_file()]
    return words == [".ci/run"] or any(shlex.join(words) in script for script in scripts)


CONTRIBUTING = commands("CONTRIBUTING.md")
LONG_TESTS = ["-m", "slow"]


@pytest.mark.parametrize(
    ("page", "targets"),
    [("README.md", ["dev"]), ("CONTRIBUTING.md", ["install", "test", "lint"])],
)
def test_the_make_targets_of_a_page_are_run_by_ci(page: str, targets: list[str]) -> None:
    """Each of them, as it is written there."""
    makes = [words for words in commands(page) if words[0] == "make"]
    assert [words[1] for words in makes] == targets
    assert all(run_by_ci(words) for words in makes)


def test_the_commands_of_the_readme_work_in_their_order(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a Token Service that knows the shop of the examples."""
    with SandboxServer([*DEFAULT_SHOPS, ACME]) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        shop = DEFAULT_SHOPS[0]
        key = f"{shop.platform}/{shop.domain}"
        command("shops", "add", key, "--merchant-id", shop.merchant_id)
        command("sync", key)
        ours = [
            words[1:] for words in commands("README.md") if words[0].endswith("connector-pipeline")
        ]
        assert ["doctor"] in ours
        for words in ours:
            ended = command(*words)
            assert ended.status == 0, (words, ended)


def test_a_contributor_is_given_no_command_that_nothing_runs() -> None:
    """CI runs it, or a test does: one here, one of the migrations, or the very tests it names."""
    migrations = (PROJECT / "connector_pipeline_tests/postgres/test_migrate.py").read_text()
    run_by_tests = {SCHEMAS, *([NEW_MIGRATION] if f'"{NEW_MIGRATION}"' in migrations else [])}
    for words in CONTRIBUTING:
        assert (
            run_by_ci(words)
            or words[1:] == LONG_TESTS
            or (words[0].endswith("/pytest") and is_part_of_the_suite(words[1:]))
            or (words[0].endswith("/python") and words[1] == "-m" and words[2] in run_by_tests)
        ), words


def is_part_of_the_suite(paths: list[str]) -> bool:
    """Whether `make test`, which CI runs, runs these tests too."""
    suite = PROJECT / "connector_pipeline_tests"
    return all(
        (PROJECT / path).is_relative_to(suite) and (PROJECT / path).exists() for path in paths
    )


def test_a_contributor_can_run_one_file_of_tests() -> None:
    """By the first command that the page has for it."""
    [one_file] = [words[1:] for words in CONTRIBUTING if words[-1].endswith(".py")]
    assert pytest_status(*one_file) == 0


def test_a_contributor_finds_the_long_tests() -> None:
    """By the marker that keeps them out of all other runs."""
    assert LONG_TESTS in [words[1:] for words in CONTRIBUTING]
    # Of one file that has some: to look through all of them takes longer than this is worth.
    one_file = "connector_pipeline_tests/catalog/test_publish_killed.py"
    assert pytest_status("--collect-only", *LONG_TESTS, one_file) == 0


def pytest_status(*words: str) -> int:
    """The exit status of pytest: 0 if it ran, or found, some tests and none failed."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=PROJECT,
        capture_output=True,
        check=False,
    )
    return ended.returncode


def test_a_contributor_can_write_the_schemas_anew(tmp_path: Path) -> None:
    """By the command of CONTRIBUTING.md, into the folder where it stands."""
    [words] = [words for words in CONTRIBUTING if SCHEMAS in words]
    subprocess.run(
        [sys.executable, *words[1:]],
        cwd=tmp_path,
        check=True,
        env={"PYTHONPATH": str(PROJECT)},
    )
    written = {path.name: path.read_text() for path in (tmp_path / FOLDER).iterdir()}
    assert written == texts()


def test_the_code_of_a_contributors_page_is_that_of_the_example() -> None:
    """Line by line, so that the walk through the example leads through what is there."""
    example = PROJECT / "connector_pipeline_tests" / "platforms" / "example" / "adapter.py"
    page = (PROJECT / "CONTRIBUTING.md").read_text()
    quoted = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert quoted
    for passage in quoted:
        indented = (f"\n{indent(passage, ' ' * width)}" for width in (0, 4, 8, 12))
        assert any(each in example.read_text() for each in indented), passage


@pytest.mark.parametrize(
    "page", sorted(PROJECT.glob("*.md")) + sorted(PROJECT.glob("docs/**/*.md"))
)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Within the repository: to a file or folder, and to a heading of the page."""
    for target, anchor in re.findall(
        r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()
    ):
        linked = page if not target else (page.parent / target)
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors that the page's headings have where it is shown as HTML."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_page_refers_to_what_is_not_in_the_repository() -> None:
    """Documents that only its authors have are no source for anybody else."""
    outside = re.compile(r"DESIGN|FACTS|shared/")
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]
    assert [page.name for page in pages if outside.search(page.read_text())] == []
