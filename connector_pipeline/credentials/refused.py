"""Recognizes credentials that a shop refused, without keeping them.

When a shop is marked disconnected, a digest of the credentials that it refused is kept with it.
Later the connector can see that the Token Service has other credentials for the shop. The digest is
a salted scrypt (https://datatracker.ietf.org/doc/html/rfc7914): a reader of the database learns
nothing of a credential from it, even if the credential is short enough to be guessed.
"""

import base64
import hashlib
import hmac
import json
import secrets
from typing import Final

from pydantic import BaseModel, SecretStr

_SALT_BYTES: Final = 16
# A digest takes 16 MB and some 50 ms: little for one shop, a lot for a million guesses.
_COST: Final = {"n": 2**14, "r": 8, "p": 1}


def credential_digest(credentials: BaseModel) -> str:
    """A digest of the credentials' secrets, with a salt of its own, for `is_digest_of`.

    Other fields, such as the time when the credentials expire, do not change it.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"{_text(salt)}:{_text(_digest(credentials, salt))}"


def is_digest_of(digest: str, credentials: BaseModel) -> bool:
    """Whether the digest was made of the same secrets."""
    salt, _, expected = digest.partition(":")
    found = _text(_digest(credentials, base64.b64decode(salt)))
    return hmac.compare_digest(found, expected)


def _digest(credentials: BaseModel, salt: bytes) -> bytes:
    held = {
        name: value.get_secret_value()
        for name in sorted(type(credentials).model_fields)
        if isinstance(value := getattr(credentials, name), SecretStr)
    }
    return hashlib.scrypt(json.dumps(held).encode(), salt=salt, **_COST)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
