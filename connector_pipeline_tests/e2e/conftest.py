"""One `dev` and one browser for all stories: each has shops of its own."""

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, ViewportSize, expect, sync_playwright

from connector_pipeline_tests.cli.test_dev import Dev, dev
from connector_pipeline_tests.e2e.dagster_ui import PATIENCE, DagsterUi

SCREENSHOTS: Final = "CONNECTOR_SCREENSHOTS"
"""Names the folder in which screenshots are kept. Where it is not set, none is."""
SWEEPS: Final = "CONNECTOR_E2E_SYNC_CRON"
"""When `dev` sweeps, for pictures that show it. Where it is not set, no story meets a sweep."""
_LOG_LINES: Final = 60
"""Of each log of `dev`, what a story that failed prints."""

_HERE: Final = "127.0.0.1"
_VIEWPORT: Final[ViewportSize] = {"width": 1440, "height": 900}
_NOTICES: Final = "section[aria-label^=Notifications] { visibility: hidden }"
_FAILED: Final = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def running_dev() -> Generator[Dev]:
    """`connector-pipeline dev` over a home of its own, with the sandbox's six shops."""
    home = Path(tempfile.mkdtemp(prefix="connector-e2e-"))
    try:
        sweeps = os.environ.get(SWEEPS)
        with dev(home, "--port", "3960", **({"SYNC_CRON": sweeps} if sweeps else {})) as running:
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def visitor() -> Generator[BrowserContext]:
    """A new visitor in Debian's Chromium, which asks nothing of another machine than this one.

    One for all stories: a second one would load and compile the UI's megabytes of scripts again.
    """
    chromium = os.environ.get("CONNECTOR_CHROMIUM") or shutil.which("chromium")
    assert chromium, "Chromium is not here: see .ci/e2e"
    expect.set_options(timeout=PATIENCE * 1000)
    elsewhere: set[str | None] = set()
    with (
        tempfile.TemporaryDirectory(prefix="connector-e2e-") as profile,
        sync_playwright() as playwright,
        # Only with a profile does Chromium keep the scripts that it has compiled.
        playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            # Chromium's own sandbox refuses to start as root.
            chromium_sandbox=os.geteuid() != 0,
            args=[
                # A route of Playwright's would do, too, but it switches the cache off.
                f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {_HERE}",
                "--disable-features=SpareRendererForSitePerProcess",
                "--renderer-process-limit=1",
            ],
            viewport=_VIEWPORT,
            locale="en-GB",
            timezone_id="UTC",
            reduced_motion="reduce",
        ) as context,
    ):
        context.set_default_timeout(PATIENCE * 1000)
        context.on("request", lambda request: elsewhere.add(urlsplit(request.url).hostname))
        yield context
    # An address of data has no host.
    assert elsewhere <= {_HERE, None}


@pytest.fixture
def page(visitor: BrowserContext, request: pytest.FixtureRequest) -> Generator[Page]:
    """The page of a story. A screenshot of it is kept where the story fails."""
    with visitor.new_page() as page:
        yield page
        if request.node.stash.get(_FAILED, False):
            keep(page, f"failed-{request.node.name}")


@pytest.fixture
def ui(running_dev: Dev, page: Page) -> DagsterUi:
    """The UI of the running `dev`, in a new tab of the browser."""
    return DagsterUi(page, running_dev.session["ui_url"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A story that failed leaves a screenshot of its page, and the ends of the logs of `dev`."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
        running: Dev | None = getattr(item, "funcargs", {}).get("running_dev")
        for log in sorted((running.home / "logs").glob("*.log")) if running else ():
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            report.sections.append((f"the end of {log.name}", "\n".join(lines)))
    return report


def keep(page: Page, name: str, *, only: Locator | None = None, height: int | None = None) -> None:
    """Keep a screenshot of what can be seen now, of one element of it, or of its upper part."""
    if folder := os.environ.get(SCREENSHOTS):
        path = Path(folder) / f"{name}.png"
        # What the pointer is on may have a tip beside it.
        page.mouse.move(0, 0)
        # A notice stays in front of a corner for seconds.
        if only is not None:
            only.screenshot(path=path, style=_NOTICES)
        else:
            shown = {**_VIEWPORT, "height": height or _VIEWPORT["height"]}
            page.screenshot(path=path, style=_NOTICES, clip={"x": 0, "y": 0, **shown})
