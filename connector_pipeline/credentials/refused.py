"""Knowing a credential again that a platform refused, without keeping it.

When a shop is marked disconnected, a digest of what it refused is kept with it; the Token Service
having other credentials for the shop is then news. A salted scrypt: who reads the database learns
nothing of a credential, not even of one short enough to be guessed
(https://datatracker.ietf.org/doc/html/rfc7914).
"""

import base64
import hashlib
import hmac
import json
import secrets
from typing import Final

from pydantic import BaseModel, SecretStr

_SALT_BYTES: Final = 16
# 16 MB and some 50 ms each: nothing for a shop, a lot for a million guesses.
_COST: Final = {"n": 2**14, "r": 8, "p": 1}


def credential_digest(credentials: BaseModel) -> str:
    """A digest of the credentials' secrets under a salt of its own, as `is_digest_of` knows it.

    What else they hold, like the time they expire, is no part of it.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"{_text(salt)}:{_text(_digest(credentials, salt))}"


def is_digest_of(digest: str, credentials: BaseModel) -> bool:
    """Whether the digest was made of these same secrets."""
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
