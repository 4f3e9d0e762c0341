"""A newcomer, an operator and an integrator at the UI."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from typing import Any, Final

import psycopg
import pytest
from playwright.sync_api import Browser, expect

from connector_pipeline_tests.cli.test_dev import PARTITIONS, Dev
from connector_pipeline_tests.e2e.conftest import keep, visitor
from connector_pipeline_tests.e2e.dagster_ui import DagsterUi

NORDIC_TEA: Final = "shopify/nordic-tea.myshopify.com"
BIKES: Final = "woocommerce/brooklyn-bikes.example"
ADDED: Final = "shopify/harbour-books.myshopify.com"


def cli(running_dev: Dev, *words: str) -> dict[str, Any]:
    """Run a command beside the running `dev`, as in another terminal. Returns what it printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "connector_pipeline.cli", *words, "--json"],
        env={**os.environ, "CONNECTOR_HOME": str(running_dev.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    printed: dict[str, Any] = json.loads(ended.stdout)
    return printed


def revoke(running_dev: Dev, key: str, *, revoked: bool) -> None:
    """As a merchant does who deletes the key that he gave us, or gives it again."""
    running_dev.sandbox("PUT", f"/sandbox/shops/{key}/credentials", {"revoke": revoked})


@pytest.fixture(scope="module")
def backfill(running_dev: Dev, browser: Browser) -> Generator[tuple[str, int]]:
    """A backfill of all shops, one of which lets nobody in. The path of its page, and their number.

    It takes a minute, most of it Dagster's pauses: other stories are told meanwhile.
    """
    revoke(running_dev, BIKES, revoked=True)
    number = len(running_dev.graphql(PARTITIONS)["assetNodeOrError"]["partitionKeys"])
    with visitor(browser) as page:
        ui = DagsterUi(page, running_dev.session["ui_url"])
        ui.open()
        ui.go_to("Catalog")
        ui.tick("raw_products", "catalog_items")
        dialog = ui.launch_dialog("Materialize selected")
        ui.choose_group(dialog, "All")
        ui.expect_chosen(dialog, number)
        ui.launch(dialog)
        expect(page.get_by_text(f"{number} partitions")).to_be_visible()
        path = page.url.removeprefix(ui.url)
    yield path, number
    revoke(running_dev, BIKES, revoked=False)


@pytest.fixture(scope="module")
def added(running_dev: Dev) -> str:
    """A new shop, which was registered in a terminal. Its key."""
    running_dev.sandbox("PUT", f"/sandbox/shops/{ADDED}", {"merchant_id": "m-1", "products": 20})
    cli(running_dev, "shops", "add", ADDED, "--merchant-id", "m-1")
    return ADDED


@pytest.fixture(scope="module")
def requested(running_dev: Dev, added: str) -> str:
    """The sync_id of a sync of the new shop that somebody asked for."""
    sync_id: str = cli(running_dev, "sync", added, "--request")["sync_id"]
    return sync_id


def test_a_newcomer_walks_from_the_graph_to_rows(ui: DagsterUi, running_dev: Dev) -> None:
    """As the README says it: tick two assets, materialize a shop, read what arrived."""
    ui.open()
    ui.go_to("Lineage")
    ui.expand_groups()
    for asset in ("token_service", "raw_products", "catalog_items", "available_items"):
        expect(ui.node(asset)).to_be_visible()
    ui.expect_settled()
    keep(ui.page, "graph")

    ui.go_to("Catalog")
    ui.tick("raw_products", "catalog_items")
    dialog = ui.launch_dialog("Materialize selected")
    ui.choose(dialog, NORDIC_TEA)
    keep(ui.page, "materialize")
    ui.launch(dialog)
    ui.expect_run("Success")
    keep(ui.page, "run")

    ui.open_partition("catalog_items", NORDIC_TEA)
    served = running_dev.served(NORDIC_TEA)
    expect(ui.metadata("dagster/partition_row_count")).to_have_text(str(len(served)))
    keep(ui.page, "partition")
    preview = ui.metadata("preview").get_by_role("table")
    preview.scroll_into_view_if_needed()
    for item in served[:3]:
        expect(preview.get_by_role("cell", name=item["variant_id"])).to_be_visible()
    keep(ui.page, "preview")


def test_the_sweep_is_switched_off_and_on(ui: DagsterUi, backfill: tuple[str, int]) -> None:
    """While a backfill runs. The switch is Dagster's own, and the page says what it switches."""
    ui.open()
    ui.open_automation("sweep")
    expect(ui.page.get_by_text("SYNC_CRON")).to_be_visible()
    ui.press_switch(on=False)
    ui.page.reload()
    expect(ui.switch()).not_to_be_checked()
    keep(ui.page, "sweep-off")
    ui.press_switch(on=True)
    ui.page.reload()
    expect(ui.switch()).to_be_checked()


def test_a_shop_that_was_added_in_a_terminal_is_a_partition(ui: DagsterUi, added: str) -> None:
    """A person need not add it in the UI, too."""
    ui.open("/assets/catalog_items?view=partitions")
    ui.reload_until(ui.partition(added))


def test_the_run_of_a_requested_sync_is_found_by_its_sync_id(
    ui: DagsterUi, running_dev: Dev, added: str, requested: str
) -> None:
    """The integrator's query names the run, and the shop's page shows the sync_id and the run."""
    ui.open(f"/assets/catalog_items?view=partitions&partition={added}")
    ui.reload_until(ui.metadata("sync_id").get_by_text(requested, exact=True))
    with psycopg.connect(running_dev.session["database_url"]) as connection:
        row = connection.execute(
            "SELECT run_id FROM connector.syncs WHERE sync_id = %s", (requested,)
        ).fetchone()
    assert row is not None
    ui.materializing_run(row[0]).first.click()
    ui.expect_run("Success")
    expect(ui.page.get_by_text(requested).first).to_be_visible()
    keep(ui.page, "requested-run")


def test_an_edit_in_a_shop_arrives_without_being_asked_for(
    ui: DagsterUi, running_dev: Dev, added: str, requested: str
) -> None:
    """The shop's webhook leads to a hinted sync of the one product."""
    running_dev.wait_until_served(added)
    running_dev.change_a_price(added)
    ui.open(f"/assets/catalog_items?view=partitions&partition={added}")
    ui.reload_until(ui.metadata("sync_type").get_by_text("hinted", exact=True))
    assert running_dev.items(added) == running_dev.served(added)
    keep(ui.page, "hinted")


def test_a_failed_shop_is_understood_and_put_right(
    ui: DagsterUi, running_dev: Dev, backfill: tuple[str, int]
) -> None:
    """The backfill leaves one shop red. Its page says why; its merchant lets us in; it is green."""
    path, number = backfill
    ui.open(path)
    for asset in ("raw_products", "catalog_items"):
        ui.expect_backfilled(asset, targeted=number, succeeded=number - 1, failed=1)
    keep(ui.page, "backfill")
    assert running_dev.items(BIKES) == []

    ui.open_partition("raw_products", BIKES)
    logs = ui.page.get_by_role("button", name="View logs")
    expect(logs).to_be_visible()
    keep(ui.page, "failed-partition")
    logs.click()
    expect(ui.page.get_by_text("the consumer secret is wrong").first).to_be_visible()
    keep(ui.page, "failure")

    revoke(running_dev, BIKES, revoked=False)
    ui.open()
    ui.go_to("Catalog")
    ui.tick("raw_products", "catalog_items")
    dialog = ui.launch_dialog("Materialize selected")
    ui.choose_group(dialog, "Failed")
    ui.expect_chosen(dialog, 1)
    ui.launch(dialog)
    ui.expect_run("Success")
    assert running_dev.items(BIKES) == running_dev.served(BIKES)
