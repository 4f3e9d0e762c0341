"""Promises about secrets that are sent in a header."""

import pytest
from pydantic import ValidationError

from connector_pipeline.platforms.kit.contract import Credentials
from connector_pipeline.platforms.kit.header_secret import HeaderSecret


class Key(Credentials):
    """Credentials with one key."""

    key: HeaderSecret


@pytest.mark.parametrize("value", ["", "s3cr3t\nX-Evil: 1", "s3cr3t ", "s3cr3t\u00e5", "s3\x00"])
def test_a_secret_no_header_can_hold_is_refused_without_being_shown(value: str) -> None:
    """It is refused before an HTTP client could quote it in an exception."""
    with pytest.raises(ValidationError, match="printable ASCII") as caught:
        Key.model_validate({"key": value})
    assert "s3cr3t" not in str(caught.value)


def test_a_secret_is_kept_and_not_shown() -> None:
    """Neither the field nor the credentials show it."""
    key = Key.model_validate({"key": "s3cr3t"})
    assert key.key.get_secret_value() == "s3cr3t"
    assert "s3cr3t" not in f"{key} {key!r} {key.key}"
