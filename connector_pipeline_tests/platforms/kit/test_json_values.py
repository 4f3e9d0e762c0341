"""Promises about reading any value of parsed JSON."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.json_values import (
    list_at,
    object_at,
    objects_in,
    text_at,
    value_at,
)

ANSWER = {"data": {"products": {"nodes": [{"id": "1"}, None, 2]}}, "name": "Acme"}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
)


def test_a_path_leads_to_its_value() -> None:
    """It leads through objects, name by name."""
    assert value_at(ANSWER, "data", "products", "nodes") == [{"id": "1"}, None, 2]
    assert object_at(ANSWER, "data", "products", of="It") == {"nodes": [{"id": "1"}, None, 2]}
    assert list_at(ANSWER, "data", "products", "nodes", of="It") == [{"id": "1"}, None, 2]
    assert list(objects_in(value_at(ANSWER, "data", "products", "nodes"))) == [{"id": "1"}]
    assert (text_at(ANSWER, "name"), text_at(ANSWER, "data")) == ("Acme", None)


@pytest.mark.parametrize("path", [("data",), ("data", "products"), ("nowhere",)])
def test_a_missing_value_is_named_by_its_path(path: tuple[str, ...]) -> None:
    """The error names the answer and the path."""
    missing = (*path, "orders")
    with pytest.raises(InvalidResponse, match=f"Acme's answer has no object '{'.'.join(missing)}'"):
        object_at(ANSWER, *missing, of="Acme's answer")
    with pytest.raises(InvalidResponse, match="Acme's answer has no list"):
        list_at(ANSWER, *missing, of="Acme's answer")


@given(ANYTHING, st.lists(st.sampled_from("ab"), max_size=3))
def test_a_path_through_anything_ends_in_a_value_or_in_none(value: Any, path: list[str]) -> None:
    """No value that a platform sends raises another error."""
    found = value_at(value, *path)
    assert found is None or isinstance(found, bool | int | str | list | dict)
    assert all(isinstance(each, dict) for each in objects_in(value))
