"""What people see and press in Dagster's UI: roles and texts of Dagster 1.13.27, here alone.

An icon's name is part of a link's or a button's name there ("lineage Lineage"), so elements are
found by their text, which has no icon in it.
"""

import re
import time
from typing import Final, Literal

from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as NotSeen

PATIENCE: Final = 120
"""Seconds for what should be seen. A busy machine must not fail a story by being slow."""

_GLANCE: Final = 3
"""Seconds for a look at a page that was reloaded."""


_Role = Literal["link", "button"]


class DagsterUi:
    """The UI in one page of a browser."""

    def __init__(self, page: Page, url: str):
        self.page = page
        self.url = url

    def open(self, path: str = "/") -> None:
        """Open a page as by a bookmark."""
        self.page.goto(f"{self.url}{path}")

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

    def launch(self, dialog: Locator) -> None:
        """Press the dialog's button, and follow the notice to the run or the backfill."""
        dialog.get_by_role("button", name=re.compile("^Launch")).click()
        self.page.get_by_role("region", name="Notifications").get_by_role(
            "link", name="View"
        ).click()

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

    def open_partition(self, asset: str, key: str) -> None:
        """Walk from the catalog to a shop's partition of an asset."""
        self.go_to("Catalog")
        self.page.get_by_role("link", name=asset).click()
        self.tab("Partitions")
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

    def materializing_run(self, run_id: str) -> Locator:
        """The link to a run that made what a partition's page shows."""
        return self.page.get_by_role("link", name=run_id[:8], exact=True)

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

    def reload_until(self, seen: Locator) -> None:
        """Reload a page that does not renew itself until something can be seen in it."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                seen.wait_for(timeout=_GLANCE * 1000)
            except NotSeen:
                if time.monotonic() > until:
                    raise
                self.page.reload()
            else:
                return

    def expect_settled(self) -> None:
        """Nothing of the page is loading any more."""
        expect(self.page.get_by_text(re.compile("^(Loading|Refreshing)"))).to_have_count(0)
        expect(self.page.get_by_role("progressbar")).to_have_count(0)

    def _whole(self, role: _Role, text: str, *, ends: bool = True) -> Locator:
        whole = re.compile(f"^{re.escape(text)}{'$' if ends else ''}")
        return self.page.get_by_role(role).filter(has_text=whole)
