"""OAuth 1.0a without a token, verified as WooCommerce does over http.

docs/facts/woocommerce.md, Authentication. Like WooCommerce's WC_REST_Authentication it builds its
own string to sign, so that it shares no code with a client that signs by a library.
"""

import hmac
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from connector_pipeline.sandbox.shops.credentials import ShopCredentials

_WINDOW: Final = 15 * 60
_REQUIRED: Final = (
    "oauth_consumer_key",
    "oauth_timestamp",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
)
_HASHES: Final = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}


def refused(method: str, url: str, given: Mapping[str, str], issued: ShopCredentials) -> str | None:
    """The reason to refuse a signed request, None if it is valid. `url` is without its query."""
    missing = [name for name in _REQUIRED if not given.get(name)]
    if missing:
        return f"Missing OAuth parameters {', '.join(missing)}"
    if not issued.accepts_key(given["oauth_consumer_key"]):
        return "Consumer key is invalid."
    hash_name = _HASHES.get(given["oauth_signature_method"])
    if hash_name is None:
        return "Invalid signature - signature method is invalid."
    secret = f"{issued.consumer_secret}&".encode()
    digest = hmac.new(secret, string_to_sign(method, url, given).encode(), hash_name).digest()
    if not hmac.compare_digest(b64encode(digest).decode(), given["oauth_signature"]):
        return "Invalid signature - provided signature does not match."
    if abs(time.time() - int(given["oauth_timestamp"])) > _WINDOW:
        return "Invalid timestamp."
    if not issued.spend(given["oauth_nonce"]):
        return "Invalid nonce - nonce has already been used."
    return None


def string_to_sign(method: str, url: str, given: Mapping[str, str]) -> str:
    """The method, the URL and every parameter but the signature, sorted and encoded twice."""
    pairs = sorted(
        (_encoded(name), _encoded(value))
        for name, value in given.items()
        if name != "oauth_signature"
    )
    query = "%26".join(_encoded(f"{name}={value}") for name, value in pairs)
    return f"{method.upper()}&{_encoded(url)}&{query}"


def _encoded(text: str) -> str:
    return quote(text, safe="-._~")
