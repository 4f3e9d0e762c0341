"""What people see and press in Dagster's UI: roles and texts of Dagster 1.13.27, here alone.

An icon's name is part of a link's or a button's name there ("lineage Lineage"), so elements are
found by their text, which has no icon in it.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Literal

from playwright.sync_api import Locator, Page, expect

PATIENCE: Final = 120
"""Seconds for what should be seen. A busy machine must not fail a story by being slow."""

_Role = Literal["link", "button"]


class DagsterUi:
    """The UI in one page of a browser."""

    def __init__(self, page: Page, url: str):
        self.page = page
        self.url = url
        self._clicks = 0
        page.expose_binding("clicked", lambda _: self._count_click())
        page.add_init_script("addEventListener('click', e => e.isTrusted && clicked(), true)")

    def open(self, path: str = "/") -> None:
        """Open a page as by a bookmark."""
        self.page.goto(f"{self.url}{path}")

    @contextmanager
    def at_most(self, clicks: int) -> Generator[None]:
        """What is done meanwhile takes at least one click and at most this many."""
        before = self._clicks
        yield
        assert 1 <= self._clicks - before <= clicks

    def go_to(self, place: str) -> None:
        """Press an entry of the navigation: Overview, Runs, Catalog, Automation, Lineage…"""
        self._whole("link", place).first.click()

    def tab(self, name: str) -> None:
        """Press a tab of the page."""
        self.page.get_by_role("tab", name=name).click()

    def tick(self, *assets: str) -> None:
        """Tick assets in the catalog's list."""
        for asset in assets:
            box = (
                self.page.locator("div")
                .filter(has=self.page.get_by_role("checkbox"))
                .filter(has=self.page.get_by_role("link", name=asset))
                .last.get_by_role("checkbox")
            )
            # The box itself is drawn outside of the screen, and its label has no name.
            box.press("Space")
            expect(box).to_be_checked()

    def expand_groups(self) -> None:
        """Open all groups of the graph, by the key that the UI has for it."""
        expect(self.page.get_by_role("img", name="unfold_more").first).to_be_visible()
        self.page.keyboard.press("Alt+e")
        expect(self.page.get_by_role("img", name="unfold_more")).to_have_count(0)

    def node(self, asset: str) -> Locator:
        """An asset's box in the graph."""
        return self.page.get_by_role("img").get_by_text(asset, exact=True).first

    def launch_dialog(self, button: str) -> Locator:
        """Press a button that opens the dialog of a launch. Returns the dialog."""
        self.page.get_by_role("button", name=button).click()
        dialog = self.page.get_by_role("dialog")
        expect(dialog.get_by_text("Partition selection")).to_be_visible()
        return dialog

    def choose(self, dialog: Locator, *keys: str) -> None:
        """Choose partitions in the dialog of a launch."""
        dialog.get_by_text("Select a partition or create one").click()
        for key in keys:
            self.page.get_by_role("menuitem").filter(has_text=key).click()
        self.page.keyboard.press("Escape")
        self.expect_chosen(dialog, len(keys))

    def choose_group(self, dialog: Locator, group: str) -> None:
        """Choose a group of partitions in the dialog of a launch: All, Failed, Missing."""
        dialog.get_by_role("button", name=group, exact=True).click()

    def expect_chosen(self, dialog: Locator, number: int) -> None:
        """The dialog counts the chosen partitions."""
        counted = f"{number} partition" if number == 1 else f"{number} partitions"
        expect(dialog.get_by_text(counted, exact=True)).to_be_visible()

    def materialize(self, asset: str) -> None:
        """On the page of an asset without partitions: its button launches a run at once."""
        expect(self.page.get_by_text(asset, exact=True).first).to_be_visible()
        self.page.get_by_role("button", name="Materialize", exact=False).first.click()
        expect(self.notices().get_by_role("link", name="View")).to_be_visible()

    def launch(self, dialog: Locator) -> None:
        """Press the dialog's button, and follow the notice to the run or the backfill."""
        dialog.get_by_role("button", name=re.compile("^Launch")).click()
        # The notice is gone after four seconds. A click of Playwright's waits until it stands still
        # and is hit, which may take a busy machine as long.
        self.notices().get_by_role("link", name="View").dispatch_event("click")

    def notices(self) -> Locator:
        """The corner in which the UI says what it launched."""
        return self.page.get_by_role("region", name="Notifications")

    def expect_run(self, status: str) -> None:
        """Wait, on a run's page, until the run has the status: Success, Failure."""
        expect(self.page.get_by_text(status, exact=True).first).to_be_visible()

    def expect_backfilled(self, asset: str, *, targeted: int, succeeded: int, failed: int) -> None:
        """Wait, on a backfill's page, until it shows these numbers of an asset's partitions."""
        row = (
            self.page.locator("div")
            .filter(has=self.page.get_by_role("link", name=asset))
            .filter(has=self.page.get_by_text(str(targeted), exact=True))
            .last
        )
        expect(row).to_have_text(
            re.compile(rf"100% completed\s*{targeted}\s*0\s*{succeeded}\s*{failed}$")
        )

    def open_asset(self, asset: str) -> None:
        """Walk from the catalog to an asset."""
        self.go_to("Catalog")
        self.page.get_by_role("link", name=asset).click()

    def open_partitions(self, asset: str) -> None:
        """Walk from the catalog to the list of an asset's partitions."""
        self.open_asset(asset)
        self.tab("Partitions")

    def open_partition(self, asset: str, key: str) -> None:
        """Walk from the catalog to a shop's partition of an asset."""
        self.open_partitions(asset)
        self.partition(key).click()
        expect(self.page.get_by_text("Metadata", exact=True)).to_be_visible()

    def partition(self, key: str) -> Locator:
        """A partition in the list of an asset's partitions."""
        # The text itself is cut where it is too wide.
        return self.page.get_by_title(key, exact=True).first

    def metadata(self, label: str) -> Locator:
        """The value that an event's metadata has under the label."""
        return (
            self.page.get_by_role("row")
            .filter(has=self.page.get_by_role("cell", name=label, exact=True))
            .get_by_role("cell")
            .nth(1)
        )

    def scroll_to_metadata(self) -> None:
        """On the page of an asset: its metadata begin at the top of what can be seen."""
        self.page.get_by_text("Metadata", exact=True).evaluate(
            "heading => heading.scrollIntoView()"
        )

    def show_chart(self) -> Locator:
        """The chart among a partition's metadata. Long Markdown is in a dialog, behind a link."""
        chart = self.page.locator("img[src^='data:image']")
        link = self.page.get_by_text("[Show Markdown]")
        expect(chart.or_(link).first).to_be_visible()
        if not chart.count():
            link.first.click()
        chart.first.scroll_into_view_if_needed()
        return chart.first

    def materializing_run(self, run_id: str) -> Locator:
        """The link to a run that made what a partition's page shows."""
        return self.page.get_by_role("link", name=run_id[:8], exact=True)

    def failed_run(self) -> Locator:
        """The link to the run in which a partition failed, on the partition's page."""
        return self.page.get_by_text(re.compile("^Run .* failed")).get_by_role("link")

    def view_logs(self) -> None:
        """On the page of a failed partition: open the log of its run."""
        self.page.get_by_role("button", name="View logs").click()

    def open_last_event(self, key: str) -> Locator:
        """On the page of a partition: its events, with the newest opened. Returns the dialog."""
        self.page.get_by_role("button", name="View all historical events").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("row").filter(has_text=key).first.click()
        return dialog

    def close_dialog(self) -> None:
        """Close the dialog, if one is open."""
        dialog = self.page.get_by_role("dialog")
        for button in dialog.get_by_role("button", name=re.compile("^(Close|Done|OK)$")).all():
            button.click()
        expect(dialog).to_have_count(0)

    def open_automation(self, name: str) -> None:
        """Walk to the page of a sensor or a schedule."""
        self.go_to("Automation")
        self._whole("link", name, ends=False).click()

    def switch(self) -> Locator:
        """The switch of a sensor, on its page."""
        return self.page.get_by_role("row").filter(has_text="Running").get_by_role("checkbox")

    def press_switch(self, *, on: bool) -> None:
        """Switch a sensor on or off, on its page."""
        # As with other boxes: it is drawn outside of the screen.
        self.switch().press("Space")
        expect(self.switch()).to_be_checked(checked=on)

    def expect_settled(self) -> None:
        """Nothing of the page is loading any more."""
        expect(self.page.get_by_text(re.compile("^(Loading|Refreshing)"))).to_have_count(0)
        expect(self.page.get_by_role("progressbar")).to_have_count(0)

    def _count_click(self) -> None:
        self._clicks += 1

    def _whole(self, role: _Role, text: str, *, ends: bool = True) -> Locator:
        whole = re.compile(f"^{re.escape(text)}{'$' if ends else ''}")
        return self.page.get_by_role(role).filter(has_text=whole)
