"""Promises about the currency of a shop: stated, set in the registry, or unknown, never guessed."""

from collections.abc import Callable
from typing import Any

import pytest

from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.woocommerce.reading.currency import currency_in, warnings_of


@pytest.mark.parametrize(
    ("recorded", "key"), [("currency_current", "code"), ("settings_currency", "value")]
)
def test_a_real_answer_states_the_currency(
    real_answer: Callable[[str], Any], recorded: str, key: str
) -> None:
    """The setting's default does not pass for its value."""
    assert currency_in(Answer(200, {}, b"", real_answer(recorded)), key) == "SEK"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"code": "woocommerce_rest_cannot_view"}),
        (404, {"code": "SEK"}),
        (200, {"code": ""}),
        (200, {"code": "kr"}),
        (200, {"code": "sek"}),
        (200, {"code": "SEK\n"}),
        (200, {"code": ["SEK"]}),
        (200, {"code": None}),
        (200, {}),
        (200, []),
        (200, "SEK"),
    ],
)
def test_a_currency_is_never_guessed(status: int, body: Any) -> None:
    """Three capitals in an answer of 200 are a currency, and no other value is one."""
    assert currency_in(Answer(status, {}, b"", body), "code") is None


@pytest.mark.parametrize(
    ("stated", "registered", "words"),
    [
        ("SEK", None, []),
        ("SEK", "SEK", []),
        ("SEK", "NOK", ["The registry says NOK and the shop charges in SEK"]),
        ("BTC", None, ["BTC, which is no active code"]),
        ("BTC", "EUR", ["The registry says EUR", "BTC, which is no active code"]),
    ],
)
def test_a_currency_that_needs_a_look_is_warned_of(
    stated: str, registered: str | None, words: list[str]
) -> None:
    """The registry's is out of date, or the code is a plugin's own. The shop's currency counts."""
    found = warnings_of(stated, registered=registered)
    assert len(found) == len(words)
    assert all(word in warning for word, warning in zip(words, found, strict=True))
