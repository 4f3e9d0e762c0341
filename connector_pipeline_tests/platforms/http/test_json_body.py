"""Promises of the JSON parser."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.platforms.http.json_body import parse_json

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: number + Decimal("0.5"))
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)


def written(document: Any) -> str:
    """The document as JSON, with every Decimal digit for digit."""
    if isinstance(document, Decimal):
        return str(document)
    if isinstance(document, list):
        return f"[{','.join(map(written, document))}]"
    if isinstance(document, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in document.items()) + "}"
    return json.dumps(document)


@given(documents, st.booleans())
def test_every_number_and_letter_survives_parsing(document: Any, with_bom: bool) -> None:
    """The parsed document equals the written one, and no number passes through a float."""
    body = (b"\xef\xbb\xbf" if with_bom else b"") + written(document).encode()
    assert parse_json(body) == document


@given(st.binary() | st.text().map(str.encode))
@example(b"[" * 100_000)
@example(b"1e99999999999999999999")
@example(b"-1.5E-99999999999999999999")
@example(b"9" * 5000)
@example(b"NaN")
@example(b"[-Infinity]")
@example(b"\xff\xfe[\x001\x00]\x00")
def test_parsing_ends_in_a_value_or_a_value_error(body: bytes) -> None:
    """No bytes of a platform raise another error than ValueError."""
    try:
        parse_json(body)
    except ValueError:
        return


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_nan_and_infinity_are_not_json(constant: bytes) -> None:
    """Python's own additions to JSON are refused."""
    with pytest.raises(ValueError, match="is not JSON"):
        parse_json(b"[" + constant + b"]")


def standard(body: bytes) -> str:
    """The value that the standard library reads, as text that tells 1 from 1.0 and True.

    Of numbers that it refuses for their length, the Decimal.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    def whole(digits: str) -> int | Decimal:
        return int(digits) if len(digits) <= 4_300 else Decimal(digits)

    try:
        read = json.loads(
            body.decode("utf-8-sig"),
            parse_int=whole,
            parse_float=Decimal,
            parse_constant=refuse,
        )
    except (ValueError, RecursionError, InvalidOperation):
        return "refused"
    return repr(read)


def ours(body: bytes) -> str:
    """The value that `parse_json` reads, likewise."""
    try:
        return repr(parse_json(body))
    except ValueError:
        return "refused"


PUNCTUATION = b'[ ] { } : , " \\ - + . e E'.split()
VALUES = b"0 1 9 00 1e5 -0 0.10 1E400 -1e-400 18446744073709551616 true null NaN".split()
TEXT = [rb'"\ud800"', rb'"\ud83d\ude00"', rb"\ude00", rb"\u0000", rb"\x", rb'"a":1', rb'"a":']
BYTES = [b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xff", b"\x00", b"\x0c", b"\xa0", b" ", b"\n", b"\t"]
TOKENS = [*PUNCTUATION, *VALUES, *TEXT, *BYTES, b"9" * 4301]


@given(
    st.lists(st.sampled_from(TOKENS), max_size=12).map(b"".join)
    | documents.map(lambda document: written(document).encode())
    | st.tuples(documents, st.sampled_from(TOKENS), st.floats(0, 1)).map(
        lambda drawn: put_in(written(drawn[0]).encode(), *drawn[1:])
    )
)
@example(rb'{"title": "\ud800", "price": 1.10}')
@example(rb'{"\udfff": 1, "\udfff": 2}')
@example(b"[" * 100 + b"]" * 100)
def test_a_body_is_read_as_the_standard_library_reads_it(body: bytes) -> None:
    """The fast decoder refuses some JSON, e.g. half a surrogate pair; that is read, too."""
    assert ours(body) == standard(body)


def put_in(body: bytes, token: bytes, where: float) -> bytes:
    """The body with the token put in somewhere."""
    at = int(len(body) * where)
    return body[:at] + token + body[at:]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("9" * 5_000, Decimal("9" * 5_000)),
        ("-" + "9" * 100_000, Decimal("-" + "9" * 100_000)),
        ("1e999999999999999999999", Decimal("Infinity")),
        ("-1e999999999999999999999", Decimal("-Infinity")),
        ("1E-99999999999999999999", Decimal("Infinity")),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_number_that_python_cannot_hold_leaves_the_page_readable(
    written: str, read: Decimal
) -> None:
    """It is no text, which a title or a SKU could be, and no number that any field takes."""
    body = f'[{{"price": {written}}}, {{"price": 5}}]'.encode()
    assert parse_json(body) == [{"price": read}, {"price": 5}]
