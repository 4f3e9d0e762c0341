"""Every recorded answer of a real shop, compared with the rows that a person expects of it.

`pytest -s -k odd_ones` prints the table of the objects whose values need a rule
(docs/facts/woocommerce.md, Prices to Product types and statuses).
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.woocommerce.mapping.normalize import Normalizer

SHOP = Shop(
    merchant_id="merchant-1",
    platform_name="woocommerce",
    platform_shop_id="wc-1",
    domain="shop.example",
)
CATALOGS_WORD = {
    "publish": "active",
    "draft": "draft",
    "pending": "pending",
    "private": "private",
    "future": "scheduled",
}
# The adapter asks for no answers cut down by `_fields` on purpose, and not for the trash.
CUT_DOWN, TRASH = "_fields=", "trash"

Answer = tuple[str, list[dict[str, Any]]]


def answers(recorded: Path) -> Iterator[Answer]:
    """The name and the objects of every answer with whole products or variations."""
    for path in sorted(recorded.glob("*.json")):
        answer = json.loads(path.read_text(encoding="utf-8"))
        body, request = answer.get("body"), answer.get("request", {})
        if answer["status"] != 200 or CUT_DOWN in request["url"] or TRASH in path.stem:
            continue
        listed = body if isinstance(body, list) else [body]
        found = [row for row in listed if isinstance(row, dict) and "manage_stock" in row]
        if found:
            yield path.stem, found


def is_variation(row: dict[str, Any]) -> bool:
    """Whether it is a variation from an endpoint of variations.

    Asked for as a product, it has `images`.
    """
    return row["type"] == "variation" and "image" in row


@pytest.fixture(scope="module")
def products(recorded: Path) -> dict[int, dict[str, Any]]:
    """Every product of the recorded shop, by id."""
    return {
        row["id"]: row
        for _, rows in answers(recorded)
        for row in rows
        if row["type"] != "variation"
    }


@pytest.fixture(scope="module")
def variations(recorded: Path) -> dict[int, dict[str, Any]]:
    """Every recorded variation by id, under the names of /wc/v3."""
    return {
        row["id"]: row
        for name, rows in answers(recorded)
        for row in rows
        if is_variation(row) and not name.startswith("analytics")
    }


def utc(written: str | None) -> datetime | None:
    """A GMT date as the API writes it."""
    return None if written is None else datetime.fromisoformat(f"{written}+00:00").astimezone(UTC)


def expected(row: dict[str, Any], parent: dict[str, Any] | None) -> dict[str, Any]:
    """The row that a person expects of a product (`parent` is None) or of a variation."""
    product = parent or row
    images = [image["src"] for image in product["images"]]
    price = "" if row["type"] == "grouped" else row["price"]
    status = CATALOGS_WORD[product["status"]]
    title = product["name"]
    modified = [utc(product["date_modified_gmt"]), utc(row["date_modified_gmt"])]
    found = {
        "merchant_id": "merchant-1",
        "platform_name": "woocommerce",
        "platform_shop_id": "wc-1",
        "domain": "shop.example",
        "product_id": str(product["id"]),
        "variant_id": f"{row['id']}_default",
        "product_title": title,
        "variant_title": title,
        "sku": row["sku"],
        "price": None if price == "" else Decimal(price),
        "currency": "SEK",
        "inventory": row["stock_quantity"] if row["manage_stock"] in (True, "parent") else None,
        "image_url": images[0] if images else None,
        "created_at": utc(product["date_created_gmt"]),
        "updated_at": max(time for time in modified if time is not None),
        "product_status": status,
        # A draft of ours is "purchasable" to the owner of the key, and to nobody else.
        "sellable": product["status"] == "publish"
        and row["purchasable"]
        # The recorded answers have no stock status but these three.
        and row["stock_status"] in ("instock", "onbackorder"),
    }
    if parent is not None:
        options = ", ".join(attribute["option"] for attribute in row["attributes"])
        found["variant_id"] = str(row["id"])
        found["variant_title"] = options or title
        found["image_url"] = row["image"]["src"] if row["image"] else found["image_url"]
        found["product_status"] = "private" if row["status"] == "private" else status
    return found


def page(kind: str, rows: list[dict[str, Any]], **facts: Any) -> RawPage:
    """A raw page of these objects."""
    return RawPage(kind, json.dumps(rows).encode(), facts)


def read(*pages: RawPage) -> tuple[dict[str, dict[str, Any]], int]:
    """The items of the pages by variant id, none rejected, and how many were left out by rule."""
    normalizer = Normalizer(SHOP, "SEK")
    rows = [row for each in pages for row in normalizer.items(each)]
    assert [row for row in rows if not isinstance(row, CatalogItem)] == []
    found = [row.model_dump(mode="python") for row in rows if isinstance(row, CatalogItem)]
    return {row["variant_id"]: row for row in found}, normalizer.left_out


def test_every_recorded_product_is_the_row_a_person_expects(recorded: Path) -> None:
    """Each column of each answer is compared. A product with variations makes no row itself."""
    seen = 0
    for name, rows in answers(recorded):
        listed = [row for row in rows if row["type"] != "variation"]
        found, _ = read(page("products", listed))
        items = [row for row in listed if not (row["type"] == "variable" and row["variations"])]
        assert list(found.values()) == [expected(row, None) for row in items], name
        seen += len(listed)
    assert seen > 450


def test_every_recorded_variation_is_the_row_a_person_expects(
    recorded: Path, products: dict[int, dict[str, Any]]
) -> None:
    """Each is joined with its real product. Those of a product that is simple now are left out."""
    seen = 0
    for name, rows in answers(recorded):
        listed = [row for row in rows if is_variation(row)]
        analytics = name.startswith("analytics")
        endpoint = "/wc-analytics/variations" if analytics else "/wc/v3/variations"
        parents = {row["parent_id"]: products[row["parent_id"]] for row in listed}
        variable = [parent for parent in parents.values() if parent["type"] == "variable"]
        found, left_out = read(
            page("products", variable), page("variations", listed, endpoint=endpoint)
        )
        kept = [row for row in listed if parents[row["parent_id"]]["type"] == "variable"]
        assert list(found.values()) == [expected(row, parents[row["parent_id"]]) for row in kept], (
            name
        )
        assert left_out == len(listed) - len(kept), name
        seen += len(listed)
    assert seen > 1000


def oddities(row: dict[str, Any], parent: dict[str, Any] | None) -> list[str]:
    """The rules that are needed to read this object right."""
    name = row["name"]
    found = {
        "no price": row["price"] == "" or row["type"] == "grouped",
        "free": row["price"] == "0",
        "group": row["type"] == "grouped",
        "external": row["type"] == "external",
        "negative stock": (row["stock_quantity"] or 0) < 0,
        "parent's stock": row["manage_stock"] == "parent",
        "no sku": row["sku"] == "",
        "markup in name": "<" in name or "&" in name,
        "odd spaces": name != " ".join(name.split()),
        "other status": (parent or row)["status"] != "publish",
        "scheduled": row["status"] == "future",
    }
    if parent is None:
        found["no image"] = not row["images"]
        found["no variations"] = row["type"] == "variable" and not row["variations"]
    else:
        own_image = row["image"] and row["image"]["src"]
        found["parent's sku"] = row["sku"] == parent["sku"] != ""
        found["parent's image"] = own_image == parent["images"][0]["src"]
        found["any attribute"] = row["attributes"] == []
        found["disabled"] = row["status"] == "private"
        # Most of the recorded variations have these, so they alone make no row of the table.
        if not any(found[each] for each in found if each not in ("parent's image", "no price")):
            found["parent's image"] = False
    return [rule for rule, needed in found.items() if needed]


def table(
    products: dict[int, dict[str, Any]], variations: dict[int, dict[str, Any]]
) -> Iterator[str]:
    """One line for each odd row as the catalog has it, with its oddities."""
    found, _ = read(
        page("products", [products[number] for number in sorted(products)]),
        page("variations", [variations[number] for number in sorted(variations)]),
    )
    of_rules: dict[tuple[str, ...], int] = {}
    for variant_id, item in found.items():
        number = int(variant_id.removesuffix("_default"))
        row = products.get(number) or variations[number]
        parent = None if number in products else products[row["parent_id"]]
        rules = tuple(oddities(row, parent))
        of_rules[rules] = of_rules.get(rules, 0) + 1
        # Three of a kind are enough to look at.
        if not rules or of_rules[rules] > 3:
            continue
        title = item["variant_title"] if parent else item["product_title"]
        shown = [
            variant_id,
            json.dumps(title, ensure_ascii=True)[:44],
            json.dumps(item["sku"], ensure_ascii=True)[:24],
            "null" if item["price"] is None else str(item["price"]),
            "null" if item["inventory"] is None else str(item["inventory"]),
            "null" if item["image_url"] is None else item["image_url"].rsplit("/", 1)[-1],
            item["product_status"].value,
            ", ".join(rules),
        ]
        yield " | ".join(shown)


def test_the_odd_ones_are_what_they_were_when_a_person_looked(
    products: dict[int, dict[str, Any]], variations: dict[int, dict[str, Any]]
) -> None:
    """A person read `data/odd_ones.txt` line by line, so a line that differs must be read again."""
    lines = list(table(products, variations))
    print("", *lines, sep="\n")  # noqa: T201
    looked_at = (Path(__file__).parent / "data/odd_ones.txt").read_text(encoding="utf-8")
    assert lines == looked_at.splitlines()
