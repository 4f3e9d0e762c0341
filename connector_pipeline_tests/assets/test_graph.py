"""The graph of assets explains the system before anything has run."""

import re
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    AssetSpec,
    MetadataValue,
    TableColumnLineageMetadataValue,
    TableSchemaMetadataValue,
)

from connector_pipeline.assets.words import anchor
from connector_pipeline.definitions import build_definitions
from connector_pipeline.model.catalog_columns import CATALOG_COLUMNS
from connector_pipeline.model.catalog_item import ITEM_COLUMNS
from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline.platforms.kit.shop_columns import shop_columns
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.postgres.catalog_tables import catalog_items
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.catalog.snapshots import ACME

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def specs() -> dict[AssetKey, AssetSpec]:
    """The specs of all assets, with owners and documents set."""
    settings = load_settings(
        connector_owners="team:catalog,ops@example.com",
        connector_docs_url="https://docs.example.com",
        token_service_url="https://tokens.example.com",
    )
    return {spec.key: spec for spec in build_definitions(settings).resolve_all_asset_specs()}


def test_each_asset_says_what_it_is_and_what_to_do(specs: dict[AssetKey, AssetSpec]) -> None:
    """Each has a description with a link to the documents and a remedy, owners, a group, a kind."""
    assert {key.to_user_string() for key in specs} == {
        "token_service",
        *(f"{name}_shops" for name in BUILT_IN),
        "raw_products",
        "catalog_items",
        "available_items",
        "sync_events",
        "shop_health",
    }
    for spec in specs.values():
        assert spec.description is not None
        assert "**When" in spec.description
        assert "](https://docs.example.com/docs/" in spec.description
        assert list(spec.owners) == ["team:catalog", "ops@example.com"]
        assert spec.kinds
        assert spec.group_name in ("sources", "catalog", "readers", "operations")
    upstream = {dep.asset_key for dep in specs[AssetKey("raw_products")].deps}
    platforms = {AssetKey(f"{name}_shops") for name in BUILT_IN}
    assert upstream == {AssetKey("token_service"), *platforms}


def test_no_page_of_an_asset_is_without_metadata_before_the_first_run(
    specs: dict[AssetKey, AssetSpec],
) -> None:
    """Dagster would tell an operator to attach some. What it shows elsewhere does not count."""
    for key, spec in specs.items():
        shown = [name for name in spec.metadata if not name.startswith("dagster")]
        # `shop_health` is reported before anybody can open its page.
        assert shown or key == AssetKey("shop_health"), key
    address = specs[AssetKey("token_service")].metadata["url"]
    assert address == MetadataValue.text("https://tokens.example.com")


def test_the_definition_has_the_table_its_columns_and_their_origin(
    specs: dict[AssetKey, AssetSpec],
) -> None:
    """Each column that answers fill has its fields on each platform; all are the table's."""
    metadata = specs[AssetKey("catalog_items")].metadata
    assert metadata["dagster/table_name"] == MetadataValue.text("catalog.catalog_items")
    lineage = metadata["dagster/column_lineage"]
    assert isinstance(lineage, TableColumnLineageMetadataValue)
    of_registry = shop_columns(ACME, "EUR").keys() - {"currency"}
    deps = lineage.value.deps_by_column
    assert deps.keys() == set(ITEM_COLUMNS) - of_registry
    for column, found in deps.items():
        assert {dep.asset_key.path[0] for dep in found} == {f"{name}_shops" for name in BUILT_IN}, (
            column
        )
    schema = metadata["dagster/column_schema"]
    assert isinstance(schema, TableSchemaMetadataValue)
    price = next(each for each in schema.value.columns if each.name == "price")
    assert "ProductVariant.price" in (price.description or "")
    assert [
        (each.name, each.nullable, each.comment, each.type.split("(")[0])
        for each in CATALOG_COLUMNS
    ] == [
        (
            column.name,
            column.nullable,
            column.comment,
            {"datetime": "timestamptz"}.get(
                type_ := str(column.type).lower().split("(")[0].split(" ")[0], type_
            ),
        )
        for column in catalog_items.columns
    ]


def test_the_first_line_says_in_plain_words_what_an_asset_is(
    specs: dict[AssetKey, AssetSpec],
) -> None:
    """The list of assets shows the description as it is written, cut to a line."""
    for key, spec in specs.items():
        first, blank, *_ = (spec.description or "").splitlines()
        assert re.fullmatch(r"[A-Z][\w ,'-]{10,46}\.", first), key
        assert blank == ""


def test_a_node_of_the_graph_names_its_asset(specs: dict[AssetKey, AssetSpec]) -> None:
    """It has room for the last part of the key alone, and no two assets share that."""
    shown = {key.path[-1] for key in specs}
    assert len(shown) == len(specs)
    assert max(map(len, shown)) <= 17


def headings(page: str) -> list[str]:
    """The headings of a page of the documents."""
    return re.findall(r"^#+ (.*)$", (_ROOT / f"docs/{page}.md").read_text(), re.M)


def test_a_section_that_a_description_links_is_in_the_documents(
    specs: dict[AssetKey, AssetSpec],
) -> None:
    """A heading that is renamed leaves no dead link in the UI."""
    links = {
        link
        for spec in specs.values()
        for link in re.findall(r"/docs/(\w+)\.html#([\w-]+)", spec.description or "")
    }
    assert len(links) > 5
    for page, linked in links:
        assert linked in map(anchor, headings(page)), (page, linked)


def test_a_section_is_found_where_no_documents_are_served() -> None:
    """The description names the file of the project, and its heading as it is there."""
    specs = build_definitions(load_settings()).resolve_all_asset_specs()
    named = {
        section
        for spec in specs
        for section in re.findall(
            r"\*([^*]+)\* in `docs/(\w+)\.md`",
            " ".join((spec.description or "").split()),
        )
    }
    assert len(named) > 5
    for heading, page in named:
        assert heading in [each.replace("`", "") for each in headings(page)], (page, heading)


def test_a_shop_leads_to_its_administration_unless_it_is_a_sandbox() -> None:
    """A shop in a folder of its domain has its administration there."""
    shop = ACME.model_copy(update={"path": "/shop/"})
    assert ShopifyAdapter().admin_url(shop) == f"https://{shop.domain}/admin"
    assert WooCommerceAdapter().admin_url(shop) == f"https://{shop.domain}/shop/wp-admin/"
    sandbox = "http://127.0.0.1:1/{domain}"
    assert ShopifyAdapter(base_url=sandbox).admin_url(shop) is None
    assert WooCommerceAdapter(base_url=sandbox).admin_url(shop) is None
