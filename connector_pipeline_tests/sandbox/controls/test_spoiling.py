"""Each way to spoil an answer reaches the client as it would from a broken server or proxy."""

import gzip
import json
from typing import Any

import httpx
import pytest
import zstandard

from connector_pipeline.sandbox.controls import spoiling
from connector_pipeline.sandbox.controls.faults import InvalidFault, rule_from_json
from connector_pipeline_tests.sandbox.conftest import WOO, SandboxClient

LIST = "wc/v3/products"


@pytest.mark.parametrize(
    ("edit", "edited"),
    [
        ({"path": ["a", "*", "id"], "value": "x{n}-{i}"}, {"a": [{"id": "x7-1"}, {"id": "x7-2"}]}),
        ({"path": ["a", 1], "remove": True}, {"a": [{"id": 1}]}),
        ({"path": ["a", "*"], "remove": True}, {"a": []}),
        ({"path": ["b"], "value": [1]}, {"a": [{"id": 1}, {"id": 2}], "b": [1]}),
        ({"path": ["b", "c"], "value": 1}, {"a": [{"id": 1}, {"id": 2}]}),
        ({"path": [], "value": None}, None),
    ],
)
def test_an_edit_changes_its_places_alone(edit: dict[str, Any], edited: Any) -> None:
    """A place that the body lacks is left out, except a member that an object lacks."""
    content = b'{"a":[{"id":1},{"id":2}]}'
    assert json.loads(spoiling.edited(content, [edit], 7)) == edited
    assert spoiling.edited(b"<html>", [edit], 7) == b"<html>"


def test_an_edit_may_put_in_what_is_no_json() -> None:
    """NaN, and text with half a surrogate beside it."""
    content = b'{"title":"\\ud800","price":1}'
    spoiled = spoiling.edited(content, [{"path": ["price"], "json": "NaN"}], 1)
    assert spoiled == b'{"title":"\\ud800","price":NaN}'


@pytest.mark.parametrize(
    ("content", "first", "last"),
    [
        (b'{"a":1}', b'{"a":0,"a":1}', b'{"a":1,"a":0}'),
        (b'[{"a":1},{"a":2}]', b'[{"a":0,"a":1},{"a":2}]', b'[{"a":1},{"a":2,"a":0}]'),
        (b"[]", b"[]", b"[]"),
    ],
)
def test_a_member_comes_twice(content: bytes, first: bytes, last: bytes) -> None:
    assert spoiling.with_member(content, '"a":0', first=True) == first
    assert spoiling.with_member(content, '"a":0', first=False) == last


def test_a_bomb_is_small_and_whole() -> None:
    """What comes out is JSON of the size that was asked for."""
    packed = spoiling.bomb(3_000_000, ("gzip", "zstd"))
    assert len(packed) < 10_000
    plain = gzip.decompress(zstandard.ZstdDecompressor().decompressobj().decompress(packed))
    assert len(plain) == 3_000_002
    assert json.loads(plain) == []


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"kind": "length", "size": 10}, httpx.RemoteProtocolError),
        ({"kind": "chunks"}, httpx.RemoteProtocolError),
        ({"kind": "drip", "size": 1, "seconds": 60}, httpx.ReadTimeout),
    ],
)
def test_a_body_is_not_whole(
    client: SandboxClient, rule: dict[str, Any], error: type[Exception]
) -> None:
    """And the next answer is."""
    issued = client.credentials("woocommerce", WOO)
    client.server.faults.set([{**rule, "times": 1, "match": {"platform": "woocommerce"}}])
    patience = 0.5 if error is httpx.ReadTimeout else 60
    path = f"/woocommerce/{WOO}/wp-json/{LIST}"
    with pytest.raises(error):
        client.http.get(path, params=issued, timeout=patience)
    assert len(client.http.get(path, params=issued).json()) == 10


def test_a_length_that_is_too_small_cuts_the_body_off(client: SandboxClient) -> None:
    whole = client.woo(LIST).content
    client.server.faults.set([{"kind": "length", "size": -10, "times": 1}])
    # The fault comes to this question. Its rest is left unread, so that the connection may be reset
    # at any time after it: this client therefore asks nothing else.
    with (
        httpx.Client(base_url=client.server.url, timeout=60) as other,
        pytest.raises((json.JSONDecodeError, httpx.ReadError)),
    ):
        other.get(
            f"/token-service/api/v1/tokens/woocommerce/{WOO}", headers={"X-Correlation-ID": "test"}
        ).json()
    assert client.woo(LIST).content == whole


def test_a_drip_ends_with_the_rules(client: SandboxClient) -> None:
    """A client that waits gets the whole answer."""
    client.server.faults.set([{"kind": "drip", "size": 4_000, "seconds": 0.001}])
    assert len(client.woo(LIST).json()) == 10


def test_a_large_answer_is_as_long_as_it_says(client: SandboxClient) -> None:
    client.server.faults.set([{"kind": "large", "size": 3_000_000}])
    answer = client.http.get(f"/woocommerce/{WOO}/wp-json/{LIST}")
    assert int(answer.headers["Content-Length"]) == len(answer.content) == 3_000_002


def test_the_first_answer_comes_again_and_again(client: SandboxClient) -> None:
    """With its own headers, those of the rule, and each time another number."""
    headers = {"X-WP-Total": "999"}
    edits = [{"path": ["*", "id"], "json": "{n}{i}"}]
    match = {"platform": "woocommerce", "query_contains": ["page="], "query_lacks": "per_page=7"}
    client.server.faults.set(
        [{"kind": "repeat", "edits": edits, "headers": headers, "match": match}]
    )
    pages = [client.woo(LIST, page=number, per_page=2) for number in (1, 2)]
    assert [[each["id"] for each in page.json()] for page in pages] == [[11, 12], [21, 22]]
    first, second = ([each["name"] for each in page.json()] for page in pages)
    assert first == second
    assert {page.headers["X-WP-Total"] for page in pages} == {"999"}
    assert client.woo(LIST, page=1, per_page=7).headers["X-WP-Total"] != "999"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"kind": "bomb", "size": 10}, "encodings"),
        ({"kind": "bomb", "encodings": ["gzip"]}, "size is missing"),
        ({"kind": "bomb", "size": 1, "encodings": ["rot13"]}, "encodings"),
        ({"kind": "large"}, "size is missing"),
        ({"kind": "drip", "size": 1}, "seconds are missing"),
        ({"kind": "edit", "edits": [{"value": 1}]}, "path is missing"),
        ({"kind": "twice", "at": "middle"}, "start or end"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused(rule: Any, reason: str) -> None:
    with pytest.raises(InvalidFault, match=reason):
        rule_from_json(rule)
