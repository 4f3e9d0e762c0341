"""What people see and press in Dagster's UI: roles and texts of Dagster 1.13.27, here alone.

An icon's name is part of a link's or a button's name there ("lineage Lineage"), so elements are
found by their text, which has no icon in it.
"""

import re

from playwright.sync_api import Locator, Page, expect


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
        expect(dialog.get_by_text(_counted(len(keys), "partition"), exact=True)).to_be_visible()

    def launch(self, dialog: Locator) -> None:
        """Press the dialog's button, and follow the notice to the run or the backfill."""
        dialog.get_by_role("button", name=re.compile("^Launch")).click()
        self.page.get_by_role("region", name="Notifications").get_by_role(
            "link", name="View"
        ).click()

    def await_run(self, status: str) -> None:
        """Wait, on a run's page, until the run has the status: Success, Failure…"""
        expect(
            self._whole("img", status).or_(self.page.get_by_text(status, exact=True)).first
        ).to_be_visible()

    def open_partition(self, asset: str, key: str) -> None:
        """Walk from the catalog to a shop's partition of an asset."""
        self.go_to("Catalog")
        self.page.get_by_role("link", name=asset).click()
        self.tab("Partitions")
        self.page.get_by_text(key, exact=True).first.click()
        expect(self.page.get_by_text("Metadata", exact=True)).to_be_visible()

    def metadata(self, label: str) -> Locator:
        """The value that an event's metadata has under the label."""
        return (
            self.page.get_by_role("row")
            .filter(has=self.page.get_by_role("cell", name=label, exact=True))
            .get_by_role("cell")
            .nth(1)
        )

    def _whole(self, role: str, text: str) -> Locator:
        return self.page.get_by_role(role).filter(has_text=re.compile(f"^{re.escape(text)}$"))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
