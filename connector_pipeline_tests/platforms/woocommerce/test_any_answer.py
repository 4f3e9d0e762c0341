"""Whatever a shop answers, each reader of it ends in a value or in an error of the taxonomy."""

import json
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import ConnectorError, Defect, InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.woocommerce.reading.currency import currency_in, warnings_of
from connector_pipeline.platforms.woocommerce.reading.deletions import LastLook
from connector_pipeline.platforms.woocommerce.reading.endpoints import Endpoints
from connector_pipeline.platforms.woocommerce.reading.list_page import (
    allowed_by_refusal,
    list_page,
)
from connector_pipeline.platforms.woocommerce.talking.refusals import error_of
from connector_pipeline_tests.any_json import any_json, headers, near

PRODUCTS = [{"id": 5, "name": "Cup", "variations": [1, 2]}, {"id": 6}]
TOTALS = headers("X-WP-Total", "X-WP-TotalPages", "Content-Type", "WWW-Authenticate")


def answered(body: Any, status: int = 200, sent: httpx.Headers | None = None) -> Answer:
    """The answer as the client has it."""
    content = json.dumps(body).encode()
    return Answer(status, sent or httpx.Headers(), content, parse_json(content))


@given(near(PRODUCTS) | any_json(), TOTALS)
def test_any_list_is_read_or_refused(body: Any, sent: httpx.Headers) -> None:
    try:
        page = list_page(answered(body, sent=sent), 1, "/wc/v3/products", per_page=10)
    except InvalidResponse as error:
        page, refusal = None, str(error)
    if page is None:
        assert len(refusal) < 1_000
        return
    assert 0 <= page.total < 10**9
    assert page.end >= 0
    assert page.allowed is None or page.allowed >= 0
    assert all(own_id is None or isinstance(own_id, int) for own_id in page.ids)


@given(
    near({"code": "rest_invalid_param", "data": {"params": {"per_page": "between 1 and 50"}}}),
    st.integers(1, 100),
)
def test_any_refusal_of_a_size_leads_to_a_smaller_one(body: Any, asked: int) -> None:
    allowed = allowed_by_refusal(answered(body, 400), asked)
    assert allowed is None or 0 <= allowed < asked


@given(
    near({"code": "woocommerce_rest_cannot_view", "message": "Sorry", "data": {"status": 401}}),
    st.integers(201, 599),
    TOTALS,
    st.booleans(),
)
def test_any_refusal_has_an_error_with_a_remedy(
    body: Any, status: int, sent: httpx.Headers, same_key: bool
) -> None:
    error = error_of(answered(body, status, sent), "/wc/v3/products", same_key=same_key)
    assert isinstance(error, ConnectorError)
    assert not isinstance(error, Defect)
    assert error.remedy
    assert len(str(error)) < 1_000


@given(near({"code": "SEK", "value": "SEK"}), st.sampled_from(["code", "value"]))
def test_any_answer_about_the_currency_is_three_capitals_or_none(body: Any, key: str) -> None:
    currency = currency_in(answered(body), key)
    if currency is not None:
        assert len(currency) == 3
        warnings_of(currency, registered="EUR")


@given(
    st.dictionaries(
        st.sampled_from(["variations_endpoint", "last_look", "look"]),
        any_json("endpoint", "look_again_at", "products", "variations", "at", "failed"),
    )
)
def test_no_memory_of_a_shop_breaks_its_reading(learned: dict[str, Any]) -> None:
    """The memory is a column that anybody with rights may have edited."""
    endpoints = Endpoints(learned=dict(learned))
    assert endpoints.whole_list_fails in (True, False)
    assert list(endpoints.to_ask()) != []
    LastLook.of(FetchReport(learned=dict(learned)))
