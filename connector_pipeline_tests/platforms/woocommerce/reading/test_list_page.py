"""Promises about the length that a page states of its list."""

from typing import Any

import pytest

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.woocommerce.reading.list_page import list_page

ENDPOINT = "/wc/v3/products"


def answer(parsed: Any = None, **headers: str) -> Answer:
    """An answer with these headers, with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, named, b"", [] if parsed is None else parsed)


def test_headers_say_how_long_a_list_is() -> None:
    """Both headers are read as numbers."""
    page = list_page(answer([{"id": 1}], X_WP_Total="301", X_WP_TotalPages="4"), 2, ENDPOINT)
    assert (page.number, page.total, page.total_pages) == (2, 301, 4)
    assert page.objects == [{"id": 1}]


@pytest.mark.parametrize("written", [None, "", "-1", "1.5", "many", "9" * 20, "\u0662", " 1"])
def test_a_list_without_its_length_breaks_the_contract(written: str | None) -> None:
    """A page that does not show whether it is the last one is an error."""
    headers = {"X_WP_Total": "1"} | ({} if written is None else {"X_WP_TotalPages": written})
    with pytest.raises(InvalidResponse, match="X-WP-TotalPages") as caught:
        list_page(answer(**headers), 1, ENDPOINT)
    assert ENDPOINT in str(caught.value)
