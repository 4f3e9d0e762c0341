"""The sandbox's Shopify has its errors in a 200, its versions, pages, filters and throttling."""

import gzip
import json
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_client_schema,
    is_specified_scalar_type,
)

from connector_pipeline.sandbox.shopify.execution import SCHEMA
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.sandbox.conftest import SHOPIFY, SandboxClient
from connector_pipeline_tests.shared_files import shopify_schema


@pytest.fixture(scope="module")
def real_schema() -> GraphQLSchema:
    """Shopify's own schema, if it is at hand."""
    with gzip.open(shopify_schema()) as file:
        return build_client_schema(json.load(file)["data"], assume_valid=True)


def test_the_schema_is_a_subset_of_shopifys(real_schema: GraphQLSchema) -> None:
    """Names, nullability, arguments, defaults and deprecations are Shopify's own."""
    for name, ours in SCHEMA.type_map.items():
        if name.startswith("__") or is_specified_scalar_type(ours):
            continue
        theirs = real_schema.type_map[name]
        assert type(theirs) is type(ours), name
        if isinstance(ours, GraphQLEnumType):
            assert set(ours.values) <= set(theirs.values), name
        if isinstance(ours, GraphQLObjectType | GraphQLInterfaceType):
            interfaces = {each.name for each in theirs.interfaces}
            assert {each.name for each in ours.interfaces} <= interfaces, name
            for field, definition in ours.fields.items():
                assert_same_field(f"{name}.{field}", definition, theirs.fields[field])


def assert_same_field(name: str, ours: GraphQLField, theirs: GraphQLField) -> None:
    assert str(ours.type) == str(theirs.type), name
    assert bool(ours.deprecation_reason) == bool(theirs.deprecation_reason), name
    for argument, definition in ours.args.items():
        real = theirs.args[argument]
        assert str(definition.type) == str(real.type), f"{name}({argument})"
        assert definition.default_value == real.default_value, f"{name}({argument})"
    required = {argument for argument, each in theirs.args.items() if str(each.type).endswith("!")}
    assert required <= set(ours.args), name


def test_a_wrong_token_is_refused_with_errors_as_a_string(client: SandboxClient) -> None:
    """A dead or missing token has a 401, an unknown shop a 404."""
    path = f"/shopify/{SHOPIFY}/admin/api/2026-07/graphql.json"
    refused = client.http.post(path, json={"query": "{ shop { id } }"})
    assert (refused.status_code, type(refused.json()["errors"])) == (401, str)
    unknown = client.http.post(path.replace("paper", "nobody"), json={"query": "{ shop { id } }"})
    assert (unknown.status_code, unknown.json()) == (404, {"errors": "Not Found"})


@pytest.mark.parametrize(
    ("asked", "served"),
    [("2026-07", "2026-07"), ("2026-10", "2026-10"), ("2024-01", "2026-01"), ("next", "2026-01")],
)
def test_an_expired_version_is_served_by_the_oldest_one(
    client: SandboxClient, asked: str, served: str
) -> None:
    """Only the response header names the version that served it."""
    answer = client.graphql("{ shop { currencyCode } }", version=asked)
    assert answer.json()["data"] == {"shop": {"currencyCode": "SEK"}}
    assert answer.headers["X-Shopify-API-Version"] == served


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ shop { colour } }", "undefinedField"),
        ("{ products(size: 1) { nodes { id } } }", "argumentNotAccepted"),
        ("{ product { id } }", "missingRequiredArguments"),
        ("{ shop }", "selectionMismatch"),
        ("query ($a: Int) { shop { id } }", "variableNotUsed"),
        ("query ($first: Int!) { products(first: $first) { nodes { id } } }", "INVALID_VARIABLE"),
        ("{ products { nodes { id } } }", "BAD_REQUEST"),
        ('{ products(first: 1, after: "mist") { nodes { id } } }', "BAD_REQUEST"),
    ],
)
def test_a_wrong_query_is_answered_with_200_and_a_code(
    client: SandboxClient, query: str, code: str
) -> None:
    """GraphQL errors arrive as HTTP 200, with a list of errors and no usable data."""
    answer = client.graphql(query)
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["extensions"]["code"] == code
    assert not answer.json().get("data")


def test_mutations_of_the_catalog_are_refused(client: SandboxClient) -> None:
    """Only those of bulk operations are allowed: our adapter is a reader."""
    answer = client.graphql("mutation { productDelete { id } }")
    assert answer.status_code == 200
    assert answer.json()["errors"]


def test_an_unparsable_query_is_answered_with_200(client: SandboxClient) -> None:
    """A syntax error has a message and a location."""
    answer = client.graphql("{ products(first: ")
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["locations"]


def test_one_product_gives_its_2048_variants_at_once(client: SandboxClient) -> None:
    """product(id:){variants(first: 2048)} is allowed, 2,049 is not."""
    client.server.store.put(
        ShopSpec("shopify", "wide.myshopify.com", "m", "1", big_products=(2048,), awkward=False)
    )
    shop = client.server.store.shop("shopify", "wide.myshopify.com")
    gid = f"gid://shopify/Product/{shop.product_ids()[0]}"
    query = (
        "query ($id: ID!, $n: Int!) { product(id: $id) { variants(first: $n) { nodes { id } } } }"
    )
    whole = client.graphql(query, {"id": gid, "n": 2048}, domain="wide.myshopify.com").json()
    ids = {node["id"] for node in whole["data"]["product"]["variants"]["nodes"]}
    assert len(ids) == 2048
    beyond = client.graphql(query, {"id": gid, "n": 2049}, domain="wide.myshopify.com").json()
    assert beyond["errors"]


def ids_of(answer: dict[str, Any], connection: str = "products") -> list[int]:
    return [int(node["id"].rsplit("/")[-1]) for node in answer["data"][connection]["nodes"]]


PAGE = """
query ($after: String, $reverse: Boolean, $sort: ProductSortKeys, $query: String) {
  products(first: 7, after: $after, reverse: $reverse, sortKey: $sort, query: $query) {
    nodes { id updatedAt } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""


def test_pages_survive_inserts_and_deletes_behind_the_reader(client: SandboxClient) -> None:
    """A keyset cursor goes on after the last id, whether or not that product is still there."""
    shop = client.server.store.shop("shopify", SHOPIFY)
    before = list(shop.product_ids())
    seen: list[int] = []
    after = None
    while True:
        page = client.graphql(PAGE, {"after": after, "sort": "ID"}).json()
        seen += ids_of(page)
        info = page["data"]["products"]["pageInfo"]
        if not info["hasNextPage"]:
            break
        after = info["endCursor"]
        shop.remove_product(seen[-1])
        if len(seen) == 7:
            shop.append_products(2)
    assert seen[: len(before)] == before
    assert len(seen) == len(set(seen)) == len(before) + 2


@pytest.mark.parametrize("sort", ["ID", "UPDATED_AT", "CREATED_AT", "TITLE"])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_sort_gives_every_product_once(
    client: SandboxClient, sort: str, reverse: bool
) -> None:
    """Equal values neither repeat nor skip a product."""
    shop = client.server.store.shop("shopify", SHOPIFY)
    given: dict[str, Any] = {"sort": sort, "reverse": reverse, "after": None}
    seen: list[int] = []
    while True:
        page = client.graphql(PAGE, given).json()
        seen += ids_of(page)
        if not page["data"]["products"]["pageInfo"]["hasNextPage"]:
            break
        given["after"] = page["data"]["products"]["pageInfo"]["endCursor"]
    assert sorted(seen) == list(shop.product_ids())
    assert len(seen) == len(set(seen))


def test_a_filter_on_updated_at_gives_the_changes_since(client: SandboxClient) -> None:
    """`>=` includes the second itself, and the order is that of the changes."""
    shop = client.server.store.shop("shopify", SHOPIFY)
    times = sorted(product.updated_at for product in shop.products())
    since = times[-9].strftime("%Y-%m-%dT%H:%M:%SZ")
    given = {"sort": "UPDATED_AT", "query": f"updated_at:>='{since}'"}
    found = client.graphql(PAGE, given).json()
    assert "search" not in found["extensions"]
    shown = [node["updatedAt"] for node in found["data"]["products"]["nodes"]]
    assert shown == sorted(shown)
    assert shown[0] == since


@pytest.mark.parametrize("query", ["updated_on:>='2026-01-01'", "updated_at:>='yesterday'"])
def test_an_invalid_filter_is_ignored_with_a_warning(client: SandboxClient, query: str) -> None:
    """Everything comes back: a reader that overlooks the warning reads a wrong increment."""
    answer = client.graphql(
        "query ($q: String) { products(first: 250, query: $q) { nodes { id } } }", {"q": query}
    ).json()
    assert len(answer["data"]["products"]["nodes"]) == 60
    search = answer["extensions"]["search"][0]
    assert search["path"] == ["products"]
    assert search["query"] == query
    assert search["warnings"][0]["field"] == query.split(":")[0]


def test_an_empty_bucket_throttles_with_200_and_no_actual_cost(client: SandboxClient) -> None:
    """The errors have the code, and the extensions have the numbers to compute the wait from."""
    client.control(
        "PUT", f"shops/shopify/{SHOPIFY}/throttle", {"maximum": 30, "restore_rate": 0.01}
    )
    query = "{ products(first: 50) { nodes { id variants(first: 1) { nodes { id } } } } }"
    assert "data" in client.graphql("{ products(first: 20) { nodes { id } } }").json()
    refused = client.graphql(query)
    assert refused.status_code == 200
    body = refused.json()
    assert body["errors"][0]["extensions"]["code"] == "THROTTLED"
    cost = body["extensions"]["cost"]
    assert cost["actualQueryCost"] is None
    assert cost["requestedQueryCost"] > cost["throttleStatus"]["currentlyAvailable"]
    assert "data" not in body


def test_a_query_above_1000_points_is_refused_before_it_runs(client: SandboxClient) -> None:
    """MAX_COST_EXCEEDED names the cost and the maximum, also with a full bucket."""
    query = """{ products(first: 250) { nodes { id variants(first: 250) { nodes { id
        product { id } image { url } media(first: 1) { nodes { preview { image { url } } } } } } } }
    }"""
    extensions = client.graphql(query).json()["errors"][0]["extensions"]
    assert extensions["code"] == "MAX_COST_EXCEEDED"
    assert extensions["cost"] > extensions["maxCost"] == 1000


def test_the_unused_points_are_refunded(client: SandboxClient) -> None:
    """The bucket loses the actual cost, not the requested one."""
    client.control("PUT", f"shops/shopify/{SHOPIFY}/throttle", {"restore_rate": 0.001})
    query = '{ products(first: 250, query: "id:1") { nodes { id } } }'
    cost = client.graphql(query).json()["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (13, 2)
    assert cost["throttleStatus"]["currentlyAvailable"] == 1998


def test_counts_are_exact_until_their_limit(client: SandboxClient) -> None:
    """Beyond the limit the precision is AT_LEAST."""
    query = (
        "{ a: productsCount { count precision } b: productsCount(limit: 5) { count precision } }"
    )
    assert client.graphql(query).json()["data"] == {
        "a": {"count": 60, "precision": "EXACT"},
        "b": {"count": 5, "precision": "AT_LEAST"},
    }


def test_nodes_answers_null_for_a_deleted_product(client: SandboxClient) -> None:
    """The answer has the order of the ids; a reader confirms a deletion by it."""
    shop = client.server.store.shop("shopify", SHOPIFY)
    kept, gone = shop.product_ids()[:2]
    shop.remove_product(gone)
    variant = shop.variant_ids(kept)[0]
    gids = [
        f"gid://shopify/Product/{gone}",
        f"gid://shopify/Product/{kept}",
        f"gid://shopify/ProductVariant/{variant}",
        "gid://shopify/ProductVariant/1",
        "mist",
    ]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }"
    assert client.graphql(query, {"ids": gids}).json()["data"]["nodes"] == [
        None,
        {"id": gids[1], "__typename": "Product"},
        {"id": gids[2], "__typename": "ProductVariant"},
        None,
        None,
    ]
