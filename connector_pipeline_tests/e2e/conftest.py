"""One `dev` and one browser for all stories: each has shops of its own."""

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from connector_pipeline_tests.cli.test_dev import Dev, dev
from connector_pipeline_tests.e2e.dagster_ui import PATIENCE, DagsterUi

SCREENSHOTS: Final = "CONNECTOR_SCREENSHOTS"
"""Names the folder in which screenshots are kept. Where it is not set, none is."""


@pytest.fixture(scope="session")
def running_dev() -> Generator[Dev]:
    """`connector-pipeline dev` over a home of its own, with the sandbox's six shops."""
    home = Path(tempfile.mkdtemp(prefix="connector-e2e-"))
    try:
        with dev(home, "--port", "3960") as running:
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    """Debian's Chromium: Playwright brings none."""
    chromium = os.environ.get("CONNECTOR_CHROMIUM") or shutil.which("chromium")
    assert chromium, "Chromium is not here: see .ci/e2e"
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to start as root.
        started = playwright.chromium.launch(
            executable_path=chromium, chromium_sandbox=os.geteuid() != 0
        )
        yield started
        started.close()


@contextmanager
def visitor(browser: Browser) -> Generator[Page]:
    """A new visitor's page. It asks nothing of another machine than this one."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900},
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE * 1000)
    elsewhere: list[str] = []

    def stay_here(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context.route(re.compile("^http"), stay_here)
    try:
        yield context.new_page()
    finally:
        context.close()
    assert elsewhere == []


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Generator[Page]:
    """The page of a story. A screenshot of it is kept where the story fails."""
    with visitor(browser) as page:
        yield page
        if request.node.stash.get(_FAILED, False):
            keep(page, f"failed-{request.node.name}")


@pytest.fixture
def ui(running_dev: Dev, page: Page) -> DagsterUi:
    """The UI of the running `dev`, as somebody sees it who opens it for the first time."""
    return DagsterUi(page, running_dev.session["ui_url"])


_FAILED: Final = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the page know whether its story failed: then it is worth a screenshot."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


def keep(page: Page, name: str) -> None:
    """Keep a screenshot of what can be seen now."""
    if folder := os.environ.get(SCREENSHOTS):
        # What the pointer is on may have a tip beside it.
        page.mouse.move(0, 0)
        page.screenshot(path=Path(folder) / f"{name}.png")
