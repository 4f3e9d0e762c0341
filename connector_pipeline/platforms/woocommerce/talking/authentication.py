"""Presents a shop's key: in a header, in the query string, or as a signature.

docs/facts/woocommerce.md, Authentication and Stripped headers;
https://woocommerce.github.io/woocommerce-rest-api-docs/#authentication
"""

import base64
import ipaddress
import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal, cast
from urllib.parse import parse_qsl, urlsplit

from oauthlib import oauth1
from pydantic import SecretStr

from connector_pipeline.platforms.http.signing import Signer
from connector_pipeline.platforms.kit.contract import Credentials

# At DEBUG, oauthlib logs the text that it signs, which has the consumer key. A root logger's level
# must not turn that on.
logging.getLogger("oauthlib.oauth1.rfc5849").setLevel(logging.INFO)


class WooCommerceCredentials(Credentials):
    """A shop's REST API key as the Token Service gives it."""

    consumer_key: SecretStr
    consumer_secret: SecretStr

    def authorization(self) -> str:
        """The Basic authentication header. It is a secret: never log or keep it."""
        pair = f"{self.consumer_key.get_secret_value()}:{self.consumer_secret.get_secret_value()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def query_string(self) -> Mapping[str, str]:
        """The key as query parameters. They are secrets: never log or keep them."""
        return {
            "consumer_key": self.consumer_key.get_secret_value(),
            "consumer_secret": self.consumer_secret.get_secret_value(),
        }


Method = Literal["GET", "POST", "PUT", "DELETE"]


class Authentication(StrEnum):
    """The ways to present a key, in the words that the UI shows."""

    BASIC = "Basic"
    QUERY_STRING = "query string"
    OAUTH = "OAuth 1.0a"


_BY_HTTPS: Final = (Authentication.BASIC, Authentication.QUERY_STRING)


def ways(base_url: str, *, allow_private_hosts: bool) -> tuple[Authentication, ...]:
    """The ways in which a key may be presented to this URL, in the order to try them.

    The secret is sent only over HTTPS, or to a sandbox on this machine's loopback. Any other URL
    with http gets a signature, which does not contain the secret.
    """
    url = urlsplit(base_url)
    if url.scheme == "https":
        return _BY_HTTPS
    if allow_private_hosts and _is_loopback(url.hostname or ""):
        return (*_BY_HTTPS, Authentication.OAUTH)
    return (Authentication.OAUTH,)


def presented(
    credentials: WooCommerceCredentials, way: Authentication, *, method: Method = "GET"
) -> tuple[dict[str, str], Signer | None]:
    """The headers and the query parameters that present a key."""
    if way is Authentication.BASIC:
        return {"Authorization": credentials.authorization()}, None
    if way is Authentication.QUERY_STRING:
        parameters = credentials.query_string()
        return {}, lambda _: parameters
    return {}, lambda url: oauth_parameters(credentials, url, method=method)


def oauth_parameters(
    credentials: WooCommerceCredentials, url: str, *, method: Method = "GET"
) -> Mapping[str, str]:
    """The signature of a request, with HMAC-SHA256 (OAuth 1.0a without a token), for one use.

    A body of JSON is not signed.
    """
    client = oauth1.Client(
        credentials.consumer_key.get_secret_value(),
        client_secret=credentials.consumer_secret.get_secret_value(),
        signature_method=oauth1.SIGNATURE_HMAC_SHA256,
        signature_type=oauth1.SIGNATURE_TYPE_QUERY,
    )
    # The package has no types of its own.
    signed = cast("str", client.sign(url, http_method=method)[0])  # pyright: ignore[reportUnknownMemberType]
    pairs = parse_qsl(urlsplit(signed).query, keep_blank_values=True)
    return {name: value for name, value in pairs if name.startswith("oauth_")}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
