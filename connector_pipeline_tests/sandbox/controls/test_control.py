"""The controls add and remove shops and change records, and the platforms show it."""

from typing import Any

import pytest

from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline_tests.sandbox.conftest import SHOPIFY, WOO, SandboxClient
from connector_pipeline_tests.sandbox.readers import expected_rows, shopify_rows, woo_rows

SHOP = f"shops/shopify/{SHOPIFY}"


def test_shops_are_listed_with_the_values_of_a_registration(client: SandboxClient) -> None:
    """The list has the identity, the currency and the size of each."""
    first, second = client.control("GET", "shops").json()
    assert first == {
        "merchant_id": "merchant-1",
        "platform_name": "shopify",
        "platform_shop_id": "1",
        "domain": SHOPIFY,
        "currency": "SEK",
        "products": 60,
        "variants": len(expected_items(client.server.store.shop("shopify", SHOPIFY))),
    }
    assert second["platform_name"] == "woocommerce"


def test_a_shop_is_created_replaced_and_deleted(client: SandboxClient) -> None:
    """A request has its spec; no server knows a deleted shop."""
    path = "shops/shopify/new.myshopify.com"
    made = client.control("PUT", path, {"products": 5, "awkward": False, "variants": 2})
    assert (made.status_code, made.json()["variants"]) == (201, 10)
    client.control("PUT", path, {"products": 3, "awkward": False, "variants": 2})
    assert client.control("GET", path).json()["variants"] == 6
    spec = client.control("GET", path).json()["spec"]
    assert client.control("PUT", path, spec).json()["variants"] == 6
    assert client.control("DELETE", path).status_code == 204
    assert client.control("GET", path).status_code == 404


def test_expected_items_are_the_same_over_http(client: SandboxClient) -> None:
    """Their prices are strings there, and their times ISO 8601."""
    shop = client.server.store.shop("woocommerce", WOO)
    over_http = client.control("GET", f"shops/woocommerce/{WOO}/expected").json()
    in_process = expected_items(shop)
    assert [item["variant_id"] for item in over_http] == [row["variant_id"] for row in in_process]
    priced = next(item for item in over_http if item["price"])
    assert isinstance(priced["price"], str)
    assert priced["updated_at"].endswith("+00:00")


def edit_a_product(client: SandboxClient, ids: list[int], variants: list[int]) -> None:
    client.control("PATCH", f"{SHOP}/products/{ids[3]}", {"title": "New\n\\N", "status": "DRAFT"})


def edit_a_variant(client: SandboxClient, ids: list[int], variants: list[int]) -> None:
    changes = {"price": "0.00", "inventory_quantity": -7, "sku": None}
    client.control("PATCH", f"{SHOP}/variants/{variants[-1]}", changes)


def delete_a_product(client: SandboxClient, ids: list[int], variants: list[int]) -> None:
    client.control("DELETE", f"{SHOP}/products/{ids[0]}")


def delete_and_restore(client: SandboxClient, ids: list[int], variants: list[int]) -> None:
    for path in (f"{SHOP}/variants/{variants[0]}", f"{SHOP}/products/{ids[4]}"):
        client.control("DELETE", path)
        assert client.control("POST", f"{path}/restore").status_code == 200


def delete_a_variant(client: SandboxClient, ids: list[int], variants: list[int]) -> None:
    client.control("DELETE", f"{SHOP}/variants/{variants[1]}")


def append(client: SandboxClient, ids: list[int], variants: list[int]) -> None:
    assert len(client.control("POST", f"{SHOP}/products", {"count": 3}).json()["ids"]) == 3


@pytest.mark.parametrize(
    "edit",
    [
        edit_a_product,
        edit_a_variant,
        delete_a_product,
        delete_and_restore,
        delete_a_variant,
        append,
    ],
)
def test_an_edit_is_seen_by_readers_and_by_expected_items(client: SandboxClient, edit: Any) -> None:
    """After an edit the API and expected_items agree again, and differ from before."""
    shop = client.server.store.shop("shopify", SHOPIFY)
    shop.bucket.resize(1_000_000, 1_000)
    before = expected_rows(expected_items(shop))
    variants = [number for each in shop.product_ids() for number in shop.variant_ids(each)]
    edit(client, list(shop.product_ids()), variants)
    after = expected_rows(expected_items(shop))
    assert after != before
    assert shopify_rows(client, SHOPIFY) == after


def test_woocommerce_edits_are_seen_by_readers(client: SandboxClient) -> None:
    """The edits rename and hide a product, and change and delete a variation."""
    shop = client.server.store.shop("woocommerce", WOO)
    base = f"shops/woocommerce/{WOO}"
    parent = next(each for each in shop.product_ids() if len(shop.variant_ids(each)) == 3)
    simple = shop.product_ids()[0]
    kept, gone = shop.variant_ids(parent)[:2]
    client.control("PATCH", f"{base}/products/{parent}", {"name": "Tea &amp; more"})
    client.control("PATCH", f"{base}/products/{simple}", {"status": "draft"})
    client.control("PATCH", f"{base}/variants/{kept}", {"sku": None, "price": ""})
    client.control("DELETE", f"{base}/variants/{gone}")
    expected = expected_rows(expected_items(shop))
    assert woo_rows(client, WOO, "root") == woo_rows(client, WOO, "parent") == expected


def test_an_edit_moves_the_date_unless_it_says_otherwise(client: SandboxClient) -> None:
    """To now, to a given time, or not at all, as a direct write to a shop's database would."""
    shop = client.server.store.shop("shopify", SHOPIFY)
    number = shop.product_ids()[0]
    path, before = f"{SHOP}/products/{number}", shop.updated_at(number)
    client.control("PATCH", path, {"title": "A", "updated_at": None})
    assert shop.updated_at(number) == before
    client.control("PATCH", path, {"title": "B", "updated_at": "2026-10-10T10:10:10+02:00"})
    assert shop.updated_at(number).isoformat() == "2026-10-10T08:10:10+00:00"
    client.control("PATCH", path, {"title": "C"})
    assert shop.updated_at(number) > before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", f"{SHOP}/products/1", {"title": "x"}, 404),
        ("PATCH", f"{SHOP}/variants/1", {"title": "x"}, 404),
        ("DELETE", f"{SHOP}/products/1", None, 404),
        ("POST", f"{SHOP}/products/1/restore", None, 404),
        ("PUT", f"{SHOP}", {"variants": [9, 1]}, 400),
        ("PUT", f"{SHOP}/credentials", {"burn": True}, 400),
        ("PUT", f"{SHOP}/throttle", {"maximum": 0}, 400),
        ("PUT", "faults", {"kind": "reset"}, 400),
        ("PUT", "faults", [{"kind": "reset", "match": {"shop": 1}}], 400),
        ("GET", "shops/etsy/shop", None, 404),
    ],
)
def test_a_wrong_control_is_refused_with_its_reason(
    client: SandboxClient, method: str, path: str, body: Any, status: int
) -> None:
    """The answer is 400 or 404 with a JSON error, and never a 500."""
    answer = client.control(method, path, body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_requests_are_logged_without_secrets(client: SandboxClient) -> None:
    """The log has counts, statuses and the peak of each shop, and no key, secret or token."""
    issued = client.credentials("woocommerce", WOO)
    path = f"/woocommerce/{WOO}/wp-json/wc/v3/products"
    client.http.get(path, params={"page": 1, **issued})
    client.http.get(path)
    client.graphql("{ shop { id } }")
    log = client.control("GET", "requests")
    for secret in [*issued.values(), *client.credentials("shopify", SHOPIFY).values()]:
        assert secret not in log.text
    shop = log.json()["shops"][f"woocommerce/{WOO}"]
    assert shop == {"count": 2, "peak_in_flight": 1, "statuses": {"200": 1, "401": 1}}
    first = next(each for each in log.json()["requests"] if each["service"] == "woocommerce")
    assert (first["method"], first["path"], first["query"]) == ("GET", path, "page=1")
    client.control("DELETE", "requests")
    assert client.control("GET", "requests").json() == {"requests": [], "shops": {}}


def test_a_woocommerce_shop_has_mishaps_until_they_are_set_anew(client: SandboxClient) -> None:
    """Parameters, pages and objects get lost, and the counts stay."""
    path = f"shops/woocommerce/{WOO}"

    def page(**parameters: Any) -> tuple[list[int], str]:
        answer = client.woo("wc/v3/products", orderby="id", order="asc", **parameters)
        return [row["id"] for row in answer.json()], answer.headers["X-WP-Total"]

    sound, total = page(per_page=30, page=2)
    first, _ = page(per_page=30, page=1)
    client.control("PUT", f"{path}/mishaps", {"ignored": ["page"]})
    assert page(per_page=30, page=2) == (first, total)
    client.control("PUT", f"{path}/mishaps", {"ignored": ["*"]})
    assert len(page(per_page=30, page=2)[0]) == 10
    client.control("PUT", f"{path}/mishaps", {"unloadable": [sound[0]], "largest_page": 20})
    assert sound[0] not in page(per_page=30, page=2)[0]
    assert len(page(per_page=30, page=1)[0]) == 20
    client.control("PUT", f"{path}/mishaps", {"left_out": [sound[0]]})
    assert page(per_page=30, page=2) == (sound[1:], total)
    assert page(per_page=15, page=3)[0] == sound[:15]
    assert page(include=str(sound[0]), per_page=100)[0] == [sound[0]]
    client.control("PUT", f"{path}/mishaps", {"empty_pages": [2], "total_short": 7})
    assert page(per_page=30, page=2) == ([], str(int(total) - 7))
    client.control("PUT", f"{path}/mishaps", {"cut_after": 31, "lists": "/products"})
    assert page(per_page=30, page=2) == (sound[:1], total)
    client.control("PUT", f"{path}/mishaps", {})
    assert page(per_page=30, page=2) == (sound, total)


def test_a_merchant_edits_a_woocommerce_shop_before_given_answers(client: SandboxClient) -> None:
    """The second request from now on finds one product less, and the third one more."""
    path = f"shops/woocommerce/{WOO}/script"
    edits = [{"before": 2, "action": "trash"}, {"before": 3, "action": "add"}]
    assert client.control("PUT", path, edits).status_code == 200
    totals = [
        int(client.woo("wc/v3/products", status="publish").headers["X-WP-Total"]) for _ in range(4)
    ]
    assert totals == [totals[0], totals[0] - 1, totals[0], totals[0]]


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("mishaps", {"unknown": 1}),
        ("mishaps", {"largest_page": 0}),
        ("mishaps", {"total_short": -1}),
        ("script", {"before": 1}),
        ("script", [{"before": 1, "action": "burn"}]),
        ("script", [{"action": "add"}]),
    ],
)
def test_troubles_that_no_shop_can_have_are_refused(
    client: SandboxClient, route: str, body: Any
) -> None:
    """The answer says why. A Shopify shop has none of them."""
    assert client.control("PUT", f"shops/woocommerce/{WOO}/{route}", body).status_code == 400
    assert client.control("PUT", f"{SHOP}/mishaps", {}).status_code == 400
