"""The sandbox's WooCommerce has keys, pages, dates and values as the recorded shop has them."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.woocommerce.query import (
    PRODUCT_ORDERS,
    InvalidParameters,
    list_query,
)
from connector_pipeline_tests.sandbox.conftest import WOO, SandboxClient
from connector_pipeline_tests.shared_files import recorded_answers

PARAMETERS = (
    "page", "per_page", "offset", "orderby", "order", "status", "type", "include", "parent",
    "modified_after", "dates_are_gmt",
)  # fmt: skip


def recorded(name: str) -> dict[str, Any]:
    """One recorded answer of a real shop, if the recordings are at hand."""
    return json.loads((recorded_answers() / f"{name}.json").read_text())


@pytest.fixture
def shop(server: SandboxServer) -> SandboxShop:
    """The WooCommerce shop of the sandbox."""
    return server.store.shop("woocommerce", WOO)


def shape(value: Any) -> Any:
    """The keys of an object at all depths; for a list, those of its first item."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


def assert_same_keys(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert list(ours) == list(theirs)
    for key in ("images", "image", "attributes", "_links"):
        if ours.get(key) and theirs.get(key):
            assert shape(ours[key]) == shape(theirs[key]), key


@pytest.mark.parametrize(
    ("name", "path", "kind"),
    [
        ("product_any_attr", "wc/v3/products", "variable"),
        ("variations_1", "wc/v3/products/{parent}/variations", None),
        ("all_variations_p1", "wc/v3/variations", None),
        ("analytics_variations_p1", "wc-analytics/variations", None),
        ("currency_current", "wc/v3/data/currencies/current", None),
        ("settings_currency", "wc/v3/settings/general/woocommerce_currency", None),
    ],
)
def test_bodies_have_the_keys_of_the_recorded_ones(
    client: SandboxClient, shop: SandboxShop, name: str, path: str, kind: str | None
) -> None:
    """The keys have the same order, and images, attributes and links the same shape."""
    theirs = recorded(name)["body"]
    parent = next(each for each in shop.product_ids() if len(shop.variant_ids(each)) == 3)
    given = {"type": kind} if kind else {}
    ours = client.woo(path.format(parent=parent), **given).json()
    ours, theirs = (each[0] if isinstance(each, list) else each for each in (ours, theirs))
    assert_same_keys(ours, theirs)


@pytest.mark.parametrize(
    ("name", "path", "parameters"),
    [
        ("products_page_0", "wc/v3/products", {"page": 0}),
        ("products_per_page_0", "wc/v3/products", {"per_page": 0}),
        ("products_per_page_101", "wc/v3/products", {"per_page": 101}),
        ("products_modified_after_bad", "wc/v3/products", {"modified_after": "yesterday"}),
        ("products_type_variation", "wc/v3/products", {"type": "variation"}),
        ("product_404", "wc/v3/products/99999999", {}),
        ("products_variations_root", "wc/v3/products/variations", {}),
        ("variation_404", "wc/v3/products/1003/variations/99999999", {}),
    ],
)
def test_refusals_are_the_recorded_ones(
    client: SandboxClient, name: str, path: str, parameters: dict[str, Any]
) -> None:
    """Status and body are the same, word for word."""
    theirs = recorded(name)
    ours = client.woo(path, **parameters)
    assert (ours.status_code, ours.json()) == (theirs["status"], theirs["body"])


def test_wrong_keys_are_refused_as_recorded(client: SandboxClient) -> None:
    """An unknown key is like no key, a wrong secret is another error, and query keys go first."""
    issued = client.credentials("woocommerce", WOO)
    key, secret = issued["consumer_key"], issued["consumer_secret"]
    path = f"/woocommerce/{WOO}/wp-json/wc/v3/products"

    def code(**request: Any) -> tuple[int, str]:
        answer = client.http.get(path, **request)
        return answer.status_code, answer.json()["code"]

    view, secrets = "woocommerce_rest_cannot_view", "woocommerce_rest_authentication_error"
    assert code() == (401, view)
    assert code(auth=("ck_wrong", secret)) == (401, view)
    assert code(auth=(key, "cs_wrong")) == (401, secrets)
    wrong = {"consumer_key": "ck_wrong", "consumer_secret": "cs_wrong"}
    assert code(auth=(key, secret), params=wrong) == (401, view)
    assert client.http.get(path, params=issued).status_code == 200
    assert client.http.post(path, auth=(key, secret)).status_code == 401


def test_pages_are_counted_and_end_quietly(client: SandboxClient) -> None:
    """X-WP-Total and X-WP-TotalPages count them; a page out of range is 200 and []."""
    first = client.woo("wc/v3/products", per_page=25)
    assert (first.headers["X-WP-Total"], first.headers["X-WP-TotalPages"]) == ("60", "3")
    beyond = client.woo("wc/v3/products", per_page=25, page=9)
    assert (beyond.status_code, beyond.json()) == (200, [])
    assert 'page=3>; rel="prev"' in beyond.headers["Link"]
    offset = client.woo("wc/v3/products", per_page=5, offset=7, orderby="id", order="asc")
    whole = client.woo("wc/v3/products", per_page=100, orderby="id", order="asc").json()
    assert [each["id"] for each in offset.json()] == [each["id"] for each in whole[7:12]]


def test_the_default_order_is_newest_first(client: SandboxClient) -> None:
    """The order is by date, and by id for equal dates, so that an insert shifts every page."""
    found = client.woo("wc/v3/products", per_page=100).json()
    keys = [(each["date_created_gmt"], each["id"]) for each in found]
    assert keys == sorted(keys, reverse=True)


def test_an_item_trashed_behind_the_reader_makes_it_skip_one(
    client: SandboxClient, shop: SandboxShop
) -> None:
    """Offset paging drifts, which a reader must notice by the totals.

    docs/facts/woocommerce.md, Lists: order and totals.
    """
    given = {"per_page": 20, "orderby": "id", "order": "asc"}
    first = client.woo("wc/v3/products", page=1, **given)
    skipped = shop.product_ids()[20]
    shop.trash_product(first.json()[0]["id"])
    second = client.woo("wc/v3/products", page=2, **given)
    assert skipped not in {each["id"] for each in [*first.json(), *second.json()]}
    assert second.headers["X-WP-Total"] == "59"


def test_the_link_header_echoes_the_secret(client: SandboxClient) -> None:
    """The real one does, too: a reader that logs the header leaks the secret.

    docs/facts/woocommerce.md, Link header.
    """
    issued = client.credentials("woocommerce", WOO)
    path = f"/woocommerce/{WOO}/wp-json/wc/v3/products"
    answer = client.http.get(path, params={"per_page": 1, **issued})
    assert issued["consumer_secret"] in answer.headers["Link"]


def test_orphans_are_counted_and_not_returned(client: SandboxClient, shop: SandboxShop) -> None:
    """The first page by id lacks three items, and is not the last.

    docs/facts/woocommerce.md, Lists: order and totals; Variations: orphans and former variables.
    """
    page = client.woo("wc/v3/variations", per_page=100, orderby="id", order="asc")
    real = sum(len(shop.variant_ids(each)) for each in shop.product_ids())
    assert len(page.json()) == 97
    assert int(page.headers["X-WP-Total"]) == real + 3


def test_former_variables_still_list_their_variations(
    client: SandboxClient, shop: SandboxShop
) -> None:
    """The root endpoint gives the variations of such a product, which is simple now.

    docs/facts/woocommerce.md, Variations: orphans and former variables.
    """
    simple = [
        each for each in client.woo("wc/v3/products", per_page=100, type="simple").json()
        if shop.variant_ids(each["id"])
    ]  # fmt: skip
    assert [each["variations"] for each in simple] == [[]]
    listed = client.woo("wc/v3/variations", parent=simple[0]["id"]).json()
    assert [each["parent_id"] for each in listed] == [simple[0]["id"]] * 3


@pytest.mark.parametrize(
    ("switched_off", "path"),
    [
        ("root_variations", "wc/v3/variations"),
        ("analytics_variations", "wc-analytics/variations"),
        ("parent_variations", "wc/v3/products/1003/variations"),
    ],
)
def test_every_variation_endpoint_can_be_absent(
    client: SandboxClient, switched_off: str, path: str
) -> None:
    """A reader learns by 404 rest_no_route which one to use."""
    assert client.woo(path).status_code == 200
    client.control("PUT", f"shops/woocommerce/{WOO}", {switched_off: False})
    assert client.woo(path).json()["code"] == "rest_no_route"


def test_modified_after_is_exclusive_and_wrong_by_the_offset_with_z(
    client: SandboxClient, shop: SandboxShop
) -> None:
    """Naive GMT with dates_are_gmt is right; the same time with Z misses an hour.

    docs/facts/woocommerce.md, Changes since a time.
    """
    times = sorted(each.updated_at for each in shop.products())
    since = times[-10].strftime("%Y-%m-%dT%H:%M:%S")

    def total(**given: Any) -> int:
        return int(client.woo("wc/v3/products", **given).headers["X-WP-Total"])

    later = sum(each.updated_at > times[-10] for each in shop.products())
    assert total(modified_after=since, dates_are_gmt="true") == later
    assert total(modified_after=f"{since}Z") == later
    shop.edit_product(shop.product_ids()[0], {}, at=times[-1] + timedelta(minutes=30))
    last = times[-1].strftime("%Y-%m-%dT%H:%M:%S")
    assert total(modified_after=last, dates_are_gmt="true") == 1
    assert total(modified_after=f"{last}Z", dates_are_gmt="true") == 0


def test_local_times_are_ahead_of_gmt_by_the_zone(client: SandboxClient) -> None:
    """Neither time names its zone (docs/facts/woocommerce.md, Times)."""
    product = client.woo("wc/v3/products").json()[0]
    assert product["date_created"][11:13] != product["date_created_gmt"][11:13]
    assert "Z" not in product["date_created"] + product["date_created_gmt"]


def test_a_change_of_stock_moves_only_the_variation(
    client: SandboxClient, shop: SandboxShop
) -> None:
    """products?modified_after alone misses it; a change of price moves both.

    docs/facts/woocommerce.md, Which dates move.
    """
    parent = next(each for each in shop.product_ids() if len(shop.variant_ids(each)) == 3)
    variation = shop.variant_ids(parent)[0]
    path = f"shops/woocommerce/{WOO}/variants/{variation}"
    before = shop.updated_at(parent)
    client.control("PATCH", path, {"stock_quantity": 5, "updated_at": "2026-11-01T00:00:00Z"})
    assert shop.updated_at(parent) == before
    since = {"modified_after": "2026-10-31T00:00:00", "dates_are_gmt": "true"}
    assert client.woo("wc/v3/products", **since).json() == []
    assert [each["id"] for each in client.woo("wc/v3/variations", **since).json()] == [variation]
    client.control("PATCH", path, {"price": "5", "updated_at": "2026-11-02T00:00:00Z"})
    assert [each["id"] for each in client.woo("wc/v3/products", **since).json()] == [parent]


def test_trash_leaves_the_lists_and_still_answers_by_id(client: SandboxClient) -> None:
    """`?status=trash` lists it; a forced delete makes the id a 404.

    docs/facts/woocommerce.md, Trash and deletions.
    """
    ids = [each["id"] for each in client.woo("wc/v3/products", per_page=2).json()]
    client.control("DELETE", f"shops/woocommerce/{WOO}/products/{ids[0]}?trash=true")
    client.control("DELETE", f"shops/woocommerce/{WOO}/products/{ids[1]}")
    left = {each["id"] for each in client.woo("wc/v3/products", per_page=100).json()}
    assert not left & set(ids)
    assert [each["id"] for each in client.woo("wc/v3/products", status="trash").json()] == ids[:1]
    assert client.woo(f"wc/v3/products/{ids[0]}").json()["status"] == "trash"
    assert client.woo(f"wc/v3/products/{ids[1]}").status_code == 404


def test_fields_are_picked_and_a_single_object_keeps_its_links(client: SandboxClient) -> None:
    """`_fields=id,price` keeps `_links` of one object, and drops those of a list."""
    listed = client.woo("wc/v3/products", per_page=1, _fields="id,price").json()[0]
    assert list(listed) == ["id", "price"]
    alone = client.woo(f"wc/v3/products/{listed['id']}", _fields="id,price").json()
    assert list(alone) == ["id", "price", "_links"]


def test_too_many_included_ids_break_the_web_server(client: SandboxClient) -> None:
    """200 ids give a 502, 100 do not (docs/facts/woocommerce.md, Asking by id)."""
    ids = ",".join(str(number) for number in range(200))
    assert client.woo("wc/v3/products", include=ids).status_code == 502
    assert client.woo("wc/v3/products", include=ids[:250]).status_code == 200


def test_settings_can_be_out_of_reach(client: SandboxClient) -> None:
    """A key whose role may read products but no settings has a 403.

    docs/facts/woocommerce.md, Currency.
    """
    path = "wc/v3/data/currencies/current"
    assert client.woo(path).json()["code"] == "SEK"
    client.control("PUT", f"shops/woocommerce/{WOO}", {"settings_readable": False})
    assert client.woo(path).status_code == 403
    assert client.woo("wc/v3/products").status_code == 200


def test_plain_permalinks_answer_below_index_php_only(client: SandboxClient) -> None:
    """/wp-json has an HTML 404 of the web server.

    docs/facts/woocommerce.md, Plain permalinks.
    """
    client.control("PUT", f"shops/woocommerce/{WOO}", {"plain_permalinks": True})
    issued = client.credentials("woocommerce", WOO)
    pretty = client.woo("wc/v3/products")
    assert (pretty.status_code, pretty.headers["Content-Type"][:9]) == (404, "text/html")
    plain = f"/woocommerce/{WOO}/index.php/wp-json/wc/v3/products"
    assert client.http.get(plain, params=issued).status_code == 200


def test_old_shops_name_neither_variations_nor_their_parents(client: SandboxClient) -> None:
    """`name` and `parent_id` came with 8.3: the reader must know which parent it asked for."""
    client.server.store.put(
        ShopSpec("woocommerce", "old.example", "m", "1", variation_names=False, variants=(2, 2))
    )
    old = client.server.store.shop("woocommerce", "old.example")
    parent = old.product_ids()[1]
    found = client.woo(f"wc/v3/products/{parent}/variations", domain="old.example").json()[0]
    assert not {"name", "parent_id"} & set(found)


@given(st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=30)))
def test_any_parameters_are_read_or_refused(parameters: dict[str, str]) -> None:
    """No text breaks the parser, and a refusal names every wrong parameter."""
    refused: dict[str, Any] = {}
    try:
        list_query(parameters, orders=PRODUCT_ORDERS, utc_offset=timedelta(hours=1))
    except InvalidParameters as error:
        refused = error.body["data"]["params"]
        assert refused
    assert set(refused) <= set(parameters)


def test_a_product_whose_row_is_deleted_leaves_orphans(
    client: SandboxClient, shop: SandboxShop
) -> None:
    """They are counted and left out, as recorded; a shop may be so old that they break the page."""
    parent = next(each for each in shop.product_ids() if len(shop.variant_ids(each)) == 3)
    before = int(client.woo("wc/v3/variations").headers["X-WP-Total"])
    orphans = client.control("POST", f"shops/woocommerce/{WOO}/products/{parent}/orphan").json()
    assert len(orphans["ids"]) == 3
    answer = client.woo("wc/v3/variations", include=",".join(map(str, orphans["ids"])))
    assert (answer.headers["X-WP-Total"], answer.json()) == ("3", [])
    assert int(client.woo("wc/v3/variations").headers["X-WP-Total"]) == before
    assert client.woo(f"wc/v3/products/{parent}").status_code == 404
    included = {"include": str(orphans["ids"][0])}
    assert client.woo("wc-analytics/variations", **included).status_code == 200
    spec = shop.spec.as_json() | {"orphans_break_analytics": True}
    client.control("PUT", f"shops/woocommerce/{WOO}", spec)
    client.control("POST", f"shops/woocommerce/{WOO}/products/{parent}/orphan")
    assert client.woo("wc-analytics/variations", **included).status_code == 500
    assert client.woo("wc/v3/variations", **included).status_code == 200


def test_fields_come_in_other_types_where_the_shop_is_told_so(client: SandboxClient) -> None:
    """Only the named fields, and only in a form that there is."""
    path = f"shops/woocommerce/{WOO}/forms"
    documented = client.woo("wc/v3/products", per_page=100).json()
    client.control("PUT", path, {"id": "text", "variations": "keyed"})
    odd = client.woo("wc/v3/products", per_page=100).json()
    assert [each["id"] for each in odd] == [str(each["id"]) for each in documented]
    assert any(each["variations"] for each in odd)
    for changed, plain in zip(odd, documented, strict=True):
        assert changed["variations"] == {str(each): {"id": each} for each in plain["variations"]}
        assert changed | {"id": 0, "variations": 0} == plain | {"id": 0, "variations": 0}
    assert client.control("PUT", path, {"id": "keyed"}).status_code == 400
