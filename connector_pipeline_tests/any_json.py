"""Strategies for what a stranger may send: any JSON, any bytes near to JSON, any header."""

import json
from typing import Any, Final

import httpx
from hypothesis import strategies as st

_NUMBERS: Final = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**25, -(10**400), 1e308])
)
_TEXTS: Final = st.text(max_size=12) | st.sampled_from(
    ["", "\ud800", "\x00", "\x1b]0;x\x07", "null", "1", "9" * 5_000, "2026-01-01T00:00:00Z"]
)


def any_json(*names: str) -> st.SearchStrategy[Any]:
    """Any JSON value, whose objects often have members of these names."""
    keys = st.sampled_from(names) | st.text(max_size=5) if names else st.text(max_size=5)
    return st.recursive(
        st.none() | st.booleans() | _NUMBERS | _TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=20,
    )


def near(sample: Any) -> st.SearchStrategy[Any]:
    """The sample with one or two of its places replaced by any JSON, or removed."""
    places = list(_places(sample))

    def spoil(changes: list[tuple[tuple[Any, ...], bool, Any]]) -> Any:
        body = json.loads(json.dumps(sample))
        for path, removed, value in changes:
            body = _put(body, path, removed, value)
        return body

    change = st.tuples(st.sampled_from(places), st.booleans(), any_json())
    return st.lists(change, min_size=1, max_size=2).map(spoil)


def near_json(sample: Any) -> st.SearchStrategy[bytes]:
    """Bytes near to the sample's JSON: a spoiled place, a part of it, noise in it."""
    whole = near(sample).map(lambda body: json.dumps(body).encode())
    cut = st.tuples(whole, st.integers(0, 400)).map(lambda given: given[0][: given[1]])
    noisy = st.tuples(whole, st.integers(0, 400), st.binary(max_size=6)).map(
        lambda given: given[0][: given[1]] + given[2] + given[0][given[1] :]
    )
    return whole | cut | noisy | st.binary(max_size=60)


def headers(*names: str) -> st.SearchStrategy[httpx.Headers]:
    """Headers of these names with any values that HTTP can carry."""
    value = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
    known = st.sampled_from(["0", "-1", "1e9", "9" * 30, "Fri, 31 Dec 9999 23:59:59 -2359"])
    sent = (value | known).map(lambda text: text.encode("latin-1")) | st.just("\u0663".encode())
    names_sent = st.sampled_from([name.encode() for name in names])
    return st.dictionaries(names_sent, sent, max_size=len(names)).map(httpx.Headers)


def _places(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    members: Any = ()
    if isinstance(body, dict):
        members = body.items()
    elif isinstance(body, list):
        members = enumerate(body)
    for key, inner in members:
        found += _places(inner, (*path, key))
    return found


def _put(body: Any, path: tuple[Any, ...], removed: bool, value: Any) -> Any:
    if not path:
        return value
    inside = body
    for key in path[:-1]:
        try:
            inside = inside[key]
        except (LookupError, TypeError):
            return body
    try:
        if removed:
            del inside[path[-1]]
        else:
            inside[path[-1]] = value
    except (LookupError, TypeError):
        return body
    return body
