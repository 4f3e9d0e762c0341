"""Promises of judging an answer."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.shopify.answers import Meaning, judge
from connector_pipeline_tests.platforms.shopify.scripted import error_body, shop_body


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, {}, b"", body)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, Meaning.INVALID),
        (401, Meaning.REFUSED),
        (402, Meaning.REFUSED),
        (403, Meaning.REFUSED),
        (404, Meaning.REFUSED),
        (418, Meaning.INVALID),
        (423, Meaning.REFUSED),
        (430, Meaning.UNAVAILABLE),
        (501, Meaning.UNAVAILABLE),
        (540, Meaning.UNAVAILABLE),
    ],
)
def test_each_status_has_its_meaning(status: int, meaning: Meaning) -> None:
    """On 401 to 404 `errors` is a string, and the status is enough."""
    judged = judge(answer({"errors": "[API] Something"}, status))
    assert judged.meaning is meaning
    assert str(status) in judged.reason


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("THROTTLED", Meaning.THROTTLED),
        ("MAX_COST_EXCEEDED", Meaning.TOO_EXPENSIVE),
        ("ACCESS_DENIED", Meaning.REFUSED),
        ("SHOP_INACTIVE", Meaning.REFUSED),
        ("INTERNAL_SERVER_ERROR", Meaning.UNAVAILABLE),
        ("SOMETHING_NEW", Meaning.INVALID),
        (None, Meaning.INVALID),
    ],
)
def test_an_error_inside_a_200_is_noticed(code: Any, meaning: Meaning) -> None:
    """Partial data beside an error does not count as data."""
    judged = judge(answer(error_body(code, data=shop_body()["data"])))
    assert judged.meaning is meaning


@pytest.mark.parametrize(
    ("stated", "scopes"),
    [
        ("`read_products` access scope.", ("read_products",)),
        (
            "`read_products` access scope. Also: The user must have a permission. "
            "Or `read_inventory` access scope.",
            ("read_products", "read_inventory"),
        ),
        (None, ("read_products",)),
        ("a permission to view products", ("read_products",)),
        ({"scope": "odd"}, ("read_products",)),
    ],
)
def test_access_denied_names_the_missing_scope(stated: Any, scopes: tuple[str, ...]) -> None:
    """It is the scope in `requiredAccess`, or the one that the adapter needs."""
    body = error_body("ACCESS_DENIED", "Access denied for products field.")
    body["errors"][0]["extensions"]["requiredAccess"] = stated
    judged = judge(answer(body))
    assert judged.scopes == scopes
    if isinstance(stated, str):
        assert stated in judged.reason
    assert judge(answer({"errors": "no"}, 403)).scopes == ("read_products",)
    assert judge(answer({"errors": "no"}, 401)).scopes == ()


@pytest.mark.parametrize(
    ("status", "ours"), [(401, True), (402, False), (403, True), (404, False), (423, False)]
)
def test_a_refusal_says_whether_another_token_may_help(status: int, ours: bool) -> None:
    """A shop that is frozen, locked or gone refuses whichever token it gets."""
    assert judge(answer({"errors": "no"}, status)).about_credentials is ours
    assert judge(answer(error_body("ACCESS_DENIED"))).about_credentials
    assert not judge(answer(error_body("SHOP_INACTIVE"))).about_credentials


def test_only_an_internal_error_of_a_200_is_worth_asking_again() -> None:
    """The HTTP client has retried passing statuses already."""
    assert judge(answer(error_body("INTERNAL_SERVER_ERROR"))).retry
    assert not judge(answer({}, 540)).retry


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ("Not Found", "Not Found"),
        ([{"message": "Field 'x'\n doesn't exist"}], "Field 'x' doesn't exist"),
        ({"base": ["wrong"]}, "wrong"),
        (["odd"], "odd"),
        ([{"message": "m" * 5000}], "m..."),
    ],
)
def test_shopifys_message_is_kept_in_whatever_form_it_comes(errors: Any, words: str) -> None:
    """A list of objects, a string or an object becomes one short line."""
    judged = judge(answer({"errors": errors}))
    assert judged.meaning is Meaning.INVALID
    assert words in judged.reason
    assert len(judged.reason) < 400
    assert "\n" not in judged.reason


def test_a_search_warning_is_an_error() -> None:
    """Shopify ignores an invalid filter and lists everything."""
    search = [{"path": ["products"], "warnings": [{"field": "updated_at", "message": "Invalid"}]}]
    judged = judge(answer({**shop_body(), "extensions": {"search": search}}))
    assert judged.meaning is Meaning.INVALID
    assert "Invalid" in judged.reason
    without = [{"path": ["products"], "warnings": []}]
    judged = judge(answer({**shop_body(), "extensions": {"search": without}}))
    assert judged.meaning is Meaning.DATA


@pytest.mark.parametrize("body", [None, [], "x", {}, {"data": None}, {"data": []}])
def test_a_200_without_data_is_invalid(body: Any) -> None:
    """The JSON has neither data nor errors."""
    assert judge(answer(body)).meaning is Meaning.INVALID


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["errors", "data", "extensions", "message", "code", "search", "warnings", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


_WITH_DATA = st.fixed_dictionaries(
    {"data": st.dictionaries(st.text(max_size=5), _JSON, max_size=2)},
    optional={"errors": _JSON, "extensions": _JSON},
)


@given(body=_JSON | _WITH_DATA, status=st.sampled_from([200, 200, 200, 400, 401, 500]))
@example(body={"data": {"shop": {}}}, status=200)
@example(body={"data": None, "errors": [{"path": ["products", "nodes", 0]}]}, status=200)
def test_no_body_breaks_the_judgement(body: Any, status: int) -> None:
    """Any JSON has a meaning, and means data only where it has data and no error."""
    judged = judge(answer(body, status))
    if judged.meaning is Meaning.DATA:
        assert status == 200
        assert isinstance(body["data"], dict)
        assert not body.get("errors")
