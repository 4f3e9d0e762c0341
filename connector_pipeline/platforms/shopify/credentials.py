"""What gives access to a Shopify shop: its token, as the Token Service has it."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from connector_pipeline.platforms.kit.contract import Credentials


def _sendable(token: SecretStr) -> SecretStr:
    # The HTTP client quotes a header value it cannot send in its exception: a token with a line
    # break must not get that far.
    value = token.get_secret_value()
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("must be printable ASCII without spaces")
    return token


class ShopifyCredentials(Credentials):
    """What the Token Service knows of a Shopify shop."""

    access_token: Annotated[SecretStr, AfterValidator(_sendable)]
