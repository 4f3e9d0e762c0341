"""Secrets that are sent in a header: an API key, an access token."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr


def _sendable(secret: SecretStr) -> SecretStr:
    # The exception of the HTTP client quotes a header value that it cannot send. A secret with a
    # line break must not get there.
    value = secret.get_secret_value()
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("must be printable ASCII without spaces")
    return secret


HeaderSecret = Annotated[SecretStr, AfterValidator(_sendable)]
"""The type of a credentials field whose value is sent in a header."""
