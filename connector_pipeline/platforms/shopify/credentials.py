"""The credentials of a Shopify shop: an access token."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from connector_pipeline.platforms.kit.contract import Credentials


def _sendable(token: SecretStr) -> SecretStr:
    # The exception of the HTTP client quotes a header value that it cannot send. A token with a
    # line break must not get there.
    value = token.get_secret_value()
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("must be printable ASCII without spaces")
    return token


class ShopifyCredentials(Credentials):
    """The credentials that the Token Service gives for a Shopify shop."""

    access_token: Annotated[SecretStr, AfterValidator(_sendable)]
