"""A newcomer, an operator and an integrator at the UI."""

from playwright.sync_api import expect

from connector_pipeline_tests.cli.test_dev import Dev
from connector_pipeline_tests.e2e.conftest import keep
from connector_pipeline_tests.e2e.dagster_ui import DagsterUi

NORDIC_TEA = "shopify/nordic-tea.myshopify.com"


def test_a_newcomer_walks_from_the_graph_to_rows(ui: DagsterUi, running_dev: Dev) -> None:
    """As the README says it: tick two assets, materialize a shop, read what arrived."""
    ui.open()
    ui.go_to("Lineage")
    for asset in ("raw_products", "catalog_items"):
        expect(ui.node(asset)).to_be_visible()
    keep(ui.page, "graph")

    ui.go_to("Catalog")
    ui.tick("raw_products", "catalog_items")
    dialog = ui.launch_dialog("Materialize selected")
    ui.choose(dialog, NORDIC_TEA)
    keep(ui.page, "materialize")
    ui.launch(dialog)
    ui.await_run("Success")
    keep(ui.page, "run")

    ui.open_partition("catalog_items", NORDIC_TEA)
    served = running_dev.served(NORDIC_TEA)
    expect(ui.metadata("dagster/partition_row_count")).to_have_text(str(len(served)))
    preview = ui.metadata("preview").get_by_role("table")
    preview.scroll_into_view_if_needed()
    for item in served[:3]:
        expect(preview.get_by_role("cell", name=item["variant_id"])).to_be_visible()
    keep(ui.page, "preview")
