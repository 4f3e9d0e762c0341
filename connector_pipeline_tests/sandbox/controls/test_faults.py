"""Each kind of fault happens to the requests that it names, as often as it says."""

import json
import threading
from typing import Any

import httpx
import pytest

from connector_pipeline.sandbox.controls.faults import FaultRule, InvalidFault, rule_from_json
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.sandbox.conftest import SHOPIFY, SMALL_SHOPS, WOO, SandboxClient

LIST = "wc/v3/products"


@pytest.mark.parametrize(
    ("rule", "status", "content_type"),
    [
        ({"kind": "status", "status": 503}, 503, "application/json"),
        ({"kind": "status", "status": 402, "body": {"errors": "Frozen"}}, 402, "application/json"),
        ({"kind": "html"}, 503, "text/html"),
        ({"kind": "captcha"}, 202, "text/html"),
        ({"kind": "empty_json"}, 200, "application/json"),
        ({"kind": "throttled"}, 429, "text/html"),
        ({"kind": "body", "body": "\ufeff[]"}, 200, "application/json"),
        ({"kind": "garbage"}, 200, "application/json"),
    ],
)
def test_an_answer_is_replaced(
    client: SandboxClient, rule: dict[str, Any], status: int, content_type: str
) -> None:
    """Status and content type are the fault's, and the body is whole."""
    client.control("PUT", "faults", [rule | {"match": {"platform": "woocommerce"}}])
    answer = client.woo(LIST)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith(content_type)
    if rule["kind"] == "garbage":
        with pytest.raises(UnicodeDecodeError):
            json.loads(answer.content)


@pytest.mark.parametrize(
    ("asked", "status"), [({}, 200), ({"per_page": 50}, 200), ({"per_page": 51}, 502)]
)
def test_a_rule_may_be_for_large_pages_alone(
    client: SandboxClient, asked: dict[str, Any], status: int
) -> None:
    """A host may break over these, whatever is on them."""
    match = {"platform": "woocommerce", "per_page_over": 50}
    client.control("PUT", "faults", [{"kind": "html", "status": 502, "match": match}])
    assert client.woo(LIST, **asked).status_code == status


def test_a_redirect_leads_where_the_rule_says(client: SandboxClient) -> None:
    """A reader must not follow it with credentials."""
    client.control("PUT", "faults", [{"kind": "redirect", "location": "https://evil.example/"}])
    answer = client.http.get(f"/woocommerce/{WOO}/wp-json/{LIST}")
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://evil.example/")


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"kind": "truncate"}, httpx.RemoteProtocolError),
        ({"kind": "reset"}, httpx.ReadError),
        ({"kind": "reset", "at": "start"}, httpx.ReadError),
        ({"kind": "hang"}, httpx.ReadTimeout),
        ({"kind": "hang", "at": "middle"}, httpx.ReadTimeout),
    ],
)
def test_a_connection_really_breaks(
    client: SandboxClient, rule: dict[str, Any], error: type[Exception]
) -> None:
    """The client sees a broken body, a reset or its own timeout; the next request is whole."""
    issued = client.credentials("woocommerce", WOO)
    client.control("PUT", "faults", [rule | {"times": 1, "match": {"domain": WOO}}])
    path = f"/woocommerce/{WOO}/wp-json/{LIST}"
    # Short if the timeout must happen, and long if a busy server must not cause one.
    patience = 0.5 if error is httpx.ReadTimeout else 60
    with pytest.raises(error):
        client.http.get(path, params=issued, timeout=patience)
    assert client.http.get(path, params=issued).status_code == 200


def test_a_truncated_body_promises_its_full_length(client: SandboxClient) -> None:
    """It has half the bytes of its Content-Length: only a reader that counts them notices."""
    issued = client.credentials("woocommerce", WOO)
    path = f"/woocommerce/{WOO}/wp-json/{LIST}"
    whole = len(client.http.get(path, params=issued).content)
    client.server.faults.set([FaultRule(kind="truncate")])
    with client.http.stream("GET", path, params=issued) as answer:
        assert int(answer.headers["Content-Length"]) == whole
        with pytest.raises(httpx.RemoteProtocolError, match=f"received {whole // 2} bytes"):
            answer.read()


def test_a_hang_with_seconds_ends_with_the_platforms_answer(client: SandboxClient) -> None:
    """The answer is late and otherwise the platform's own."""
    client.server.faults.set([FaultRule(kind="hang", seconds=0.05)])
    assert client.woo(LIST).status_code == 200
    client.server.faults.set([FaultRule(kind="hang", seconds=0.05, at="middle")])
    assert len(client.woo(LIST).json()) == 10


def test_a_server_with_a_hanging_request_stops() -> None:
    """A test that leaves a request hanging does not hang itself."""
    ended: list[Exception] = []
    with SandboxServer(SMALL_SHOPS) as server:
        server.faults.set([FaultRule(kind="hang")])

        def ask() -> None:
            try:
                httpx.get(f"{server.url}/woocommerce/{WOO}/wp-json/{LIST}", timeout=60)
            except httpx.HTTPError as error:
                ended.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        while not server.requests.shop("woocommerce", WOO).in_flight:
            threading.Event().wait(0.001)
    asking.join(timeout=60)
    assert not asking.is_alive()
    assert len(ended) == 1


def test_throttled_is_answered_as_each_platform_does(client: SandboxClient) -> None:
    """Shopify answers a 200 with a code, WooCommerce's host a 429 with Retry-After."""
    client.server.faults.set([FaultRule(kind="throttled", match={"path_contains": "graphql"})])
    answer = client.graphql("{ shop { id } }")
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["extensions"]["code"] == "THROTTLED"
    client.server.faults.set(
        [FaultRule(kind="throttled", match={"domain": WOO}, skip=1, seconds=7)]
    )
    assert client.woo(LIST).headers["Retry-After"] == "7"


def test_skip_and_times_count_the_matching_requests(client: SandboxClient) -> None:
    """Two pass, two fail, the rest pass; requests that do not match are not counted."""
    rule = {"kind": "status", "status": 500, "skip": 2, "times": 2}
    client.control("PUT", "faults", [rule | {"match": {"path_contains": "/wc/v3/products"}}])
    statuses = [client.woo(LIST).status_code for _ in range(6)]
    assert statuses == [200, 200, 500, 500, 200, 200]
    shown = client.control("GET", "faults").json()[0]
    assert (shown["matched"], shown["applied"]) == (6, 2)
    assert client.control("DELETE", "faults").status_code == 204
    assert client.control("GET", "faults").json() == []


def test_a_rule_can_match_on_the_body(client: SandboxClient) -> None:
    """One page of a GraphQL reader can fail, while the others do not."""
    client.control("PUT", "faults", [{"kind": "html", "match": {"body_contains": "hasNextPage"}}])
    assert client.graphql("{ shop { id } }").status_code == 200
    paged = client.graphql("{ products(first: 1) { pageInfo { hasNextPage } } }")
    assert paged.status_code == 503


def test_latency_adds_up_with_another_fault(client: SandboxClient) -> None:
    """A delayed request can have another fault, too."""
    rules = [{"kind": "latency", "seconds": 0.01}, {"kind": "status", "status": 502}]
    client.control("PUT", "faults", rules)
    path = f"/token-service/api/v1/tokens/shopify/{SHOPIFY}"
    assert client.http.get(path).status_code == 502
    assert [rule["applied"] for rule in client.control("GET", "faults").json()] == [1, 1]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ([], "JSON object"),
        ({}, "kind is missing"),
        ({"kind": "earthquake"}, "expected one of"),
        ({"kind": "latency"}, "seconds"),
        ({"kind": "workers", "seconds": 1}, "workers"),
        ({"kind": "workers", "workers": 0, "seconds": 1}, "workers"),
        ({"kind": "redirect"}, "location"),
        ({"kind": "status", "match": {"shop": "x"}}, "match: unknown shop"),
        ({"kind": "status", "sometimes": True}, "unknown: sometimes"),
        ({"kind": "reset", "at": "noon"}, "start or middle"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused(rule: Any, reason: str) -> None:
    """The error names the fault, and no rule is set."""
    with pytest.raises(InvalidFault, match=reason):
        rule_from_json(rule)


def test_a_host_of_two_workers_answers_two_at_a_time() -> None:
    """The third request waits until the first has ended; an idle host delays nothing."""
    rule = FaultRule("workers", workers=2, seconds=1.0)
    assert [rule.latency(100.0) for _ in range(5)] == [1.0, 1.0, 2.0, 2.0, 3.0]
    assert [rule.latency(102.5) for _ in range(2)] == [1.0, 1.5]
    assert rule.latency(200.0) == 1.0
