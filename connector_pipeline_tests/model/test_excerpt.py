"""An excerpt of any JSON is bounded, stays JSON, and says what was cut."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.excerpt import bounded_lines, excerpt

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(st.characters(), max_size=2_000)
    | st.builds(lambda digits: 10**digits, st.integers(1, 20_000)),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(), inner, max_size=40),
    max_leaves=60,
)


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: dict[str, Any] = {
    "a text of 10 MB": {"title": "a" * 10_000_000, "id": 1},
    "half surrogates": "\ud800" * 5_000,
    "a long key": {"k" * 1_000_000: 1},
    "many keys": {str(number): number for number in range(50_000)},
    "many entries": ["x"] * 1_000_000,
    "100,000 levels": nested(100_000),
    "a number of 100,000 digits": [Decimal("9" * 100_000), 10**100_000],
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_whatever_is_cut_says_so_and_stays_json(hostile: str) -> None:
    """The mark is `…`, in the place of what is missing."""
    written = json.dumps(excerpt(HOSTILE[hostile], most_bytes=4_096))
    assert len(written) <= 4_096
    assert "…" in json.dumps(json.loads(written), ensure_ascii=False) or "digits" in written


@given(value=ANYTHING, most_bytes=st.integers(10, 3_000))
def test_an_excerpt_of_anything_is_bounded_json(value: Any, most_bytes: int) -> None:
    """In ASCII, as it is stored."""
    written = json.dumps(excerpt(value, most_bytes=most_bytes))
    assert written.isascii()
    assert len(written) <= most_bytes
    json.loads(written, parse_constant=pytest.fail)


def test_what_fits_stays_whole() -> None:
    """A usual variant is kept as it came, but for fractions, which JSON might round."""
    value = {"id": 5, "title": "Röd \x00", "tags": ["a", None, True], "image": {"src": "…"}}
    assert excerpt(value, most_bytes=4_096) == value
    assert excerpt({"price": Decimal("1.50")}, most_bytes=4_096) == {"price": "1.50"}


def test_what_comes_first_is_kept_first() -> None:
    """A variant stands before its product, and a huge product does not push it out."""
    value = {"variant": {"id": 7, "price": "x"}, "product": {"tags": ["tag"] * 100_000}}
    cut: Any = excerpt(value, most_bytes=1_000)
    assert cut["variant"] == value["variant"]
    assert cut["product"]["tags"][-1].startswith("… (")


def test_lines_are_bounded_in_number_and_in_bytes() -> None:
    """The last line counts what was left out."""
    endless = (f"{number} " + "é" * 9_000 for number in range(100_000))
    lines = bounded_lines(endless, most=10, most_bytes=200)
    assert len(lines) == 10
    assert all(len(line.encode()) <= 200 for line in lines)
    assert lines[-1] == "… and 99991 more of these."
    assert bounded_lines(["one", "two"], most=2, most_bytes=200) == ["one", "two"]
