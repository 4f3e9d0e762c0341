"""A newcomer, an operator and an integrator at the UI."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest
from playwright.sync_api import BrowserContext, expect

from connector_pipeline_tests.cli.test_dev import LONG, PARTITIONS, SENSORS, Dev
from connector_pipeline_tests.e2e.conftest import keep
from connector_pipeline_tests.e2e.dagster_ui import DagsterUi

NORDIC_TEA: Final = "shopify/nordic-tea.myshopify.com"
BIKES: Final = "woocommerce/brooklyn-bikes.example"
ADDED: Final = "shopify/harbour-books.myshopify.com"
ASSETS: Final = ("raw_products", "catalog_items")

REQUESTED: Final = "SELECT run_id FROM connector.syncs WHERE sync_id = %s"
HINTED: Final = """
    SELECT run_id FROM connector.syncs
    WHERE platform_name || '/' || domain = %s AND sync_type = 'hinted'
"""


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


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look twice a second until it is so."""
    until = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.5)


def run_of(running_dev: Dev, query: str, value: str) -> str:
    """Wait until a sync that the query finds has a run, and the run has succeeded. Its id."""
    found: list[str] = []

    def has_a_run() -> bool:
        row = connection.execute(query, (value,)).fetchone()
        found.extend(row[:1] if row and row[0] else ())
        return bool(found)

    with psycopg.connect(running_dev.session["database_url"], autocommit=True) as connection:
        wait_until(has_a_run)
    assert running_dev.wait_for(found[0], "SUCCESS", "FAILURE") == "SUCCESS"
    return found[0]


def partitions(running_dev: Dev) -> list[str]:
    """The keys of the shops that the UI shows as partitions."""
    keys: list[str] = running_dev.graphql(PARTITIONS)["assetNodeOrError"]["partitionKeys"]
    return keys


def sensor_status(running_dev: Dev, name: str) -> str:
    """What Dagster has stored of the sensor: a new visitor sees it so."""
    [status] = [
        sensor["sensorState"]["status"]
        for sensor in running_dev.graphql(SENSORS)["sensorsOrError"]["results"]
        if sensor["name"] == name
    ]
    return status


@pytest.fixture(scope="module")
def backfill(running_dev: Dev, visitor: BrowserContext) -> Generator[tuple[str, int]]:
    """A backfill of all shops, one of which lets nobody in. The path of its page, and their number.

    It takes a minute, most of it Dagster's pauses: other stories take place meanwhile.
    """
    revoke(running_dev, BIKES, revoked=True)
    number = len(partitions(running_dev))
    with visitor.new_page() as page:
        ui = DagsterUi(page, running_dev.session["ui_url"])
        ui.open()
        ui.go_to("Catalog")
        ui.tick(*ASSETS)
        dialog = ui.launch_dialog("Materialize selected")
        ui.choose_group(dialog, "All")
        ui.expect_chosen(dialog, number)
        ui.launch(dialog)
        expect(page.get_by_text(f"{number} partitions")).to_be_visible()
        path = page.url.removeprefix(ui.url)
    yield path, number
    revoke(running_dev, BIKES, revoked=False)


@pytest.fixture(scope="module")
def terminal(running_dev: Dev, backfill: tuple[str, int]) -> Generator[Future[str]]:
    """Another terminal: a new shop is registered, then its sync asked for. Gives the sync_id.

    It takes Dagster's pauses, too. The backfill is launched before, so it does not have the shop.
    """

    def type_commands() -> str:
        running_dev.sandbox(
            "PUT", f"/sandbox/shops/{ADDED}", {"merchant_id": "m-1", "products": 20}
        )
        cli(running_dev, "shops", "add", ADDED, "--merchant-id", "m-1")
        sync_id: str = cli(running_dev, "sync", ADDED, "--request")["sync_id"]
        return sync_id

    with ThreadPoolExecutor(1) as other:
        yield other.submit(type_commands)


@pytest.fixture(scope="module")
def requested(running_dev: Dev, terminal: Future[str]) -> tuple[str, str]:
    """The sync that was asked for has ended: its sync_id, and the run that it has in the view."""
    sync_id = terminal.result()
    return sync_id, run_of(running_dev, REQUESTED, sync_id)


def test_a_newcomer_walks_from_the_graph_to_rows(ui: DagsterUi, running_dev: Dev) -> None:
    """As the README says it: tick two assets, materialize a shop, read what arrived."""
    ui.open()
    ui.go_to("Lineage")
    ui.expand_groups()
    for asset in ("token_service", *ASSETS, "available_items"):
        expect(ui.node(asset)).to_be_visible()
    ui.expect_settled()
    keep(ui.page, "graph")

    ui.open_asset("catalog_items")
    # Known before the first run.
    expect(ui.page.get_by_text("catalog.catalog_items", exact=True).first).to_be_visible()
    ui.expect_settled()
    keep(ui.page, "asset-before")

    ui.go_to("Catalog")
    ui.expect_settled()
    keep(ui.page, "catalog")
    ui.tick(*ASSETS)
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
    assert ui.show_chart().evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    keep(ui.page, "report")
    ui.close_dialog()
    for item in reversed(served[:3]):
        previewed = ui.page.get_by_role("cell", name=item["variant_id"], exact=True)
        previewed.scroll_into_view_if_needed()
        expect(previewed).to_be_visible()
    keep(ui.page, "preview")

    ui.tab("Overview")
    expect(ui.page.get_by_text(NORDIC_TEA)).to_be_visible()
    ui.expect_settled()
    keep(ui.page, "asset-after")


def test_the_sweep_is_switched_off_and_on(
    ui: DagsterUi, running_dev: Dev, terminal: Future[str]
) -> None:
    """While a backfill runs. The switch is Dagster's own, and the page says what it switches."""
    ui.open()
    ui.open_automation("sweep")
    expect(ui.page.get_by_text("SYNC_CRON")).to_be_visible()
    ui.press_switch(on=False)
    wait_until(lambda: sensor_status(running_dev, "sweep") == "STOPPED")
    keep(ui.page, "sweep-off")
    ui.press_switch(on=True)
    wait_until(lambda: sensor_status(running_dev, "sweep") == "RUNNING")
    # Whatever became of the other terminal, here is where it is seen.
    assert terminal.result()


def test_a_shop_that_was_added_in_a_terminal_is_a_partition(
    ui: DagsterUi, running_dev: Dev, requested: tuple[str, str]
) -> None:
    """A person need not add it in the UI, too."""
    wait_until(lambda: ADDED in partitions(running_dev))
    ui.open("/assets/catalog_items?view=partitions")
    expect(ui.partition(ADDED)).to_be_visible()


def test_the_run_of_a_requested_sync_is_found_by_its_sync_id(
    ui: DagsterUi, requested: tuple[str, str]
) -> None:
    """The integrator's query names the run, and the shop's page shows the sync_id and the run."""
    sync_id, run_id = requested
    ui.open(f"/assets/catalog_items?view=partitions&partition={ADDED}")
    expect(ui.page.get_by_role("cell", name=sync_id)).to_be_visible()
    ui.materializing_run(run_id).first.click()
    ui.expect_run("Success")
    expect(ui.page.get_by_text(sync_id).first).to_be_visible()
    keep(ui.page, "requested-run")


def test_an_edit_in_a_shop_arrives_without_being_asked_for(
    ui: DagsterUi, running_dev: Dev, requested: tuple[str, str]
) -> None:
    """The shop's webhook leads to a hinted sync of the one product."""
    running_dev.change_a_price(ADDED)
    run_id = run_of(running_dev, HINTED, ADDED)
    assert running_dev.items(ADDED) == running_dev.served(ADDED)
    ui.open(f"/assets/catalog_items?view=partitions&partition={ADDED}")
    expect(ui.materializing_run(run_id).first).to_be_visible()
    expect(ui.metadata("sync_type")).to_have_text("hinted")
    keep(ui.page, "hinted")


def test_a_failed_shop_is_understood_and_put_right(
    ui: DagsterUi, running_dev: Dev, backfill: tuple[str, int]
) -> None:
    """A backfill leaves one shop red. Two clicks say why; its merchant lets us in; it is green."""
    path, number = backfill
    counts = running_dev.wait_for_backfill(path.rpartition("/")[2], every=2.0)
    assert counts == dict.fromkeys(ASSETS, (number - 1, 1))
    ui.open(path)
    for asset in ASSETS:
        ui.expect_backfilled(asset, targeted=number, succeeded=number - 1, failed=1)
    keep(ui.page, "backfill", height=370)
    assert running_dev.items(BIKES) == []
    error: str = cli(running_dev, "shops", "show", BIKES)["last_error_message"]
    remedy = error.rstrip(".").rpartition(". ")[2]

    ui.open_partitions("raw_products")
    with ui.at_most(2):
        ui.partition(BIKES).click()
        ui.view_logs()
        expect(ui.page.get_by_text(remedy).last).to_be_in_viewport()
    keep(ui.page, "failed-partition-log")
    ui.close_dialog()
    keep(ui.page, "failed-partition")
    with ui.at_most(2):
        events = ui.open_last_event(BIKES)
        # There its commands name the shop.
        expect(events.get_by_text(remedy.replace("SHOP", BIKES))).to_be_in_viewport()
    keep(ui.page, "failed-shop", only=events)
    ui.close_dialog()
    ui.failed_run().click()
    ui.expect_run("Failure")
    expect(ui.page.get_by_text(remedy).last).to_be_visible()
    keep(ui.page, "failed-run")

    ui.open_asset("shop_health")
    ui.materialize("shop_health")
    trouble = ui.page.get_by_role("cell").filter(has_text=f"{BIKES}:").last
    expect(trouble).to_contain_text(remedy)
    ui.scroll_to_metadata()
    keep(ui.page, "shop-health")

    revoke(running_dev, BIKES, revoked=False)
    ui.go_to("Catalog")
    ui.tick(*ASSETS)
    dialog = ui.launch_dialog("Materialize selected")
    ui.choose_group(dialog, "Failed")
    ui.expect_chosen(dialog, 1)
    ui.launch(dialog)
    ui.expect_run("Success")
    assert running_dev.items(BIKES) == running_dev.served(BIKES)
