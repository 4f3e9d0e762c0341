"""Promises of the bound on JSON: what it costs is never underrated, and honest pages pass."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.platforms.http.bounds import LARGE_PAGE, PAGE
from connector_pipeline.platforms.http.json_body import UnreadableJson, parse_json
from connector_pipeline.platforms.http.json_shape import (
    MOST_DEPTH,
    is_too_deep,
    most_memory,
    takes_more,
)
from connector_pipeline_tests.platforms.shopify.scripted import product, products_body, variant

texts = st.text(max_size=8) | st.sampled_from(
    ["\\", '"', '\\"', "[{", "]}", ",:", '","', "[" * 200]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


def depth(document: Any) -> int:
    """How deep values are nested, by the parsed document."""
    if isinstance(document, dict):
        return 1 + max(map(depth, document.values()), default=0)
    if isinstance(document, list):
        return 1 + max(map(depth, document), default=0)
    return 0


def counted(document: Any) -> tuple[int, int, int]:
    """The commas and colons, the objects and the lists of a document, by the parsed document."""
    if isinstance(document, dict):
        inner, own = document.values(), (max(0, 2 * len(document) - 1), 1, 0)
    elif isinstance(document, list):
        inner, own = document, (max(0, len(document) - 1), 0, 1)
    else:
        return 0, 0, 0
    parts = [own, *map(counted, inner)]
    return tuple(map(sum, zip(*parts, strict=True)))  # pyright: ignore[reportReturnType]


def written(document: Any, *, compact: bool, escaped: bool) -> bytes:
    """The document as JSON."""
    separators = (",", ":") if compact else None
    text = json.dumps(document, ensure_ascii=escaped, separators=separators)
    return text.encode(errors="surrogatepass")


@given(documents, st.booleans(), st.booleans())
@example(['"[', "\\", {"a\\": '\\"'}], True, True)
def test_the_cost_is_counted_outside_of_texts(document: Any, compact: bool, escaped: bool) -> None:
    """It equals the count over the parsed document, whatever the texts have in them."""
    body = written(document, compact=compact, escaped=escaped)
    values, objects, lists = counted(document)
    expected = 4 * len(body) + 112 * (values + 1) + 192 * objects + 72 * lists
    assert most_memory(body) == expected
    assert not takes_more(body, expected)
    assert takes_more(body, expected - 1)
    assert expected <= 160 * len(body)


@given(documents, st.integers(0, 130), st.booleans())
@example([], MOST_DEPTH - 1, True)
@example([], MOST_DEPTH, True)
@example({"[[[": [{"]": '"'}]}, MOST_DEPTH - 3, False)
def test_depth_is_counted_outside_of_texts(document: Any, around: int, in_lists: bool) -> None:
    """It is refused past the bound and never below it."""
    for _ in range(around):
        document = [1, document] if in_lists else {"a": document, "b": "["}
    body = written(document, compact=True, escaped=False)
    assert is_too_deep(body) is (depth(document) > MOST_DEPTH)
    assert is_too_deep(b" \n" + body) is (depth(document) > MOST_DEPTH)


@given(st.binary() | st.text().map(str.encode))
@example(b'"' * 3 + b"[" * 300)
@example(b"]" * 300 + b"[" * 101)
@example(b"\\" * 301 + b'"' + b"[" * 300)
def test_any_bytes_are_judged(body: bytes) -> None:
    """Nothing raises an error."""
    most_memory(body)
    takes_more(body, 1)
    is_too_deep(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 50_000 + b"0]",
        b"[" + b"{}," * 50_000 + b"0]",
        b"[" + b'{"":0},' * 50_000 + b"0]",
        b"[" + b"[[0]]," * 50_000 + b"0]",
        b"[" + b"1.5," * 50_000 + b"0]",
        b"[" + b"999," * 50_000 + b"0]",
        b"[" + b'"ab",' * 50_000 + b"0]",
        b"{" + b",".join(b'"%d":0' % number for number in range(50_000)) + b"}",
        b"[" + b",".join(b'{"%d":[0]}' % number for number in range(50_000)) + b"]",
        b"[" + b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6},' * 20_000 + b"0]",
        b'["' + b"a" * 400_000 + '\U0001f600"]'.encode(),
        b'["' + b"a" * 400_000 + 'ж"]'.encode(),
        rb'["' + rb"\ud83d\ude00" * 40_000 + rb'"]',
        b'["' + b"\\n" * 200_000 + b'\\u2028"]',
    ],
    ids=lambda body: body[:12].decode(errors="replace"),
)
@pytest.mark.parametrize("by", ["msgspec", "the standard library"])
def test_no_json_takes_more_memory_than_it_may(body: bytes, by: str) -> None:
    """Measured: each kind of value, many times."""
    decoder = msgspec.json.Decoder(float_hook=Decimal)
    tracemalloc.start()
    try:
        kept = decoder.decode(body) if by == "msgspec" else json.loads(body, parse_float=Decimal)
        took, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept
    # The interpreter's own bookkeeping comes once.
    assert took <= most_memory(body) + 4096


def test_honest_pages_are_far_below_their_bounds() -> None:
    """100 full products of WooCommerce, and 2,000 variants of Shopify."""
    woocommerce = [
        {
            "id": number,
            "name": f"Chemise \U0001f455 à manches longues, {number}",
            "sku": f"SKU-{number}",
            "price": "19.95",
            "images": [
                {
                    "id": image,
                    "src": f"https://shop.example/wp-content/uploads/2026/01/{image}.jpg",
                    "name": "front, back",
                    "alt": "",
                    "date_created": "2026-01-01T00:00:00",
                    "srcset": "https://shop.example/a.jpg 300w, " * 10,
                }
                for image in range(8)
            ],
            "variations": list(range(40)),
        }
        for number in range(100)
    ]
    body = json.dumps(woocommerce).replace("/", "\\/").encode()
    assert len(body) < PAGE.body
    assert not takes_more(body, PAGE.parsed)
    shopify = products_body(
        [product(n, [variant(n * 100 + each) for each in range(8)]) for n in range(1, 251)]
    )
    body = json.dumps(shopify).encode()
    assert len(body) < LARGE_PAGE.body
    assert not takes_more(body, LARGE_PAGE.parsed)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'[{"price": NaN}]', "NaN is not JSON"),
        (b'{"a": [1, -Infinity]}', "-Infinity is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested more than 100 deep"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "nested more than 100 deep"),
        (b"\xef\xbb\xbf [" + b'{"a":[' * 60 + b"]}" * 60 + b"]", "nested more than 100 deep"),
    ],
)
def test_refused_json_is_called_what_it_is(body: bytes, words: str) -> None:
    """It is JSON but for one value, and the error names that."""
    with pytest.raises(UnreadableJson, match=words):
        parse_json(body)


@pytest.mark.parametrize(
    "body", [b"Infinity War tickets", b'[{"a": NaN}, ', b"<html>NaN</html>", b"[1,,NaN]", b"NaN,"]
)
def test_what_is_no_json_is_not_called_refused(body: bytes) -> None:
    """A page, or half an answer, may have such a word too."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  its class is looked at
        parse_json(body)
    assert type(caught.value) is not UnreadableJson


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (rb'{"title": "\ud800"}', {"title": "\ud800"}),
        (b'{"id": 1, "id": 2}', {"id": 2}),
        (b"[" + b"9" * 4300 + b"]", [int("9" * 4300)]),
        (b"[1e999999999]", [Decimal("1e999999999")]),
        (
            b"[0.1000000000000000055511151231257827]",
            [Decimal("0.1000000000000000055511151231257827")],
        ),
    ],
)
def test_odd_json_is_read(body: bytes, read: Any) -> None:
    """A value of one product must not hide a page from the rules that judge single values."""
    assert parse_json(body) == read
