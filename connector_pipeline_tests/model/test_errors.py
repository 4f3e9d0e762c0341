"""Errors say what an operator needs, and never quote a request."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.errors import (
    LONGEST_MESSAGE,
    ConnectorError,
    Defect,
    InvalidShop,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.settings import SettingsError

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
TOKEN = "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"


def test_a_defect_names_the_place_and_never_quotes_the_exception() -> None:
    """An unforeseen exception may quote a request, and with it a credential."""
    try:
        raise RuntimeError("shpat_secret")
    except RuntimeError as error:
        defect = Defect.from_exception(error)
    assert "shpat_secret" not in str(defect)
    assert "RuntimeError at test_errors.py:" in str(defect)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
@example("\ud800", "\x1b]0;x\x07", "\u202e")
@example("x" * 1_000_000, "é" * 100_000, "k" * 10_000)
def test_an_error_of_any_text_can_be_shown_stored_and_sent(
    message: str, remedy: str, key: str
) -> None:
    """Whatever the code that raised it forgot to escape or to cut."""
    error = ConnectorError(message, remedy=remedy, partition_key=key)
    for found in (
        str(error),
        error.message,
        error.remedy,
        error.args[0],
        str(InvalidShop(message)),
    ):
        assert all(each.isprintable() or each in "\n\t\u200d" for each in found)
        assert len(found.encode()) <= 3 * LONGEST_MESSAGE
    for line in SettingsError([message]).lines:
        assert all(each.isprintable() or each in "\n\t\u200d" for each in line)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [(ConnectorError, "remedy"), (PlatformUnavailable, "remedy"), (ShopDisconnected, "look_at")],
)
def test_an_error_never_shows_a_secret_that_is_known(
    kind: Callable[..., ConnectorError], advice: str
) -> None:
    """Not even where the code that raised it quotes a request."""
    with SECRETS.holding():
        SECRETS.keep([TOKEN], while_held=True)
        error = kind(f"GET /?t={TOKEN}", **{advice: f"try {TOKEN[:15]}"}).of(f"a/{TOKEN}")
    assert "try" in error.remedy
    assert "shpat" not in f"{error} {error!r} {error.message} {error.args}"
