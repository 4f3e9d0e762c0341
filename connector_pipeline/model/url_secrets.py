"""Which parts of a URL are secrets: passwords, keys in its query, the address of a webhook."""

import base64
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from connector_pipeline.model.redaction import PART

_SECRET_NAME: Final = re.compile("pass|secret|token|key|sig|credential", re.IGNORECASE)
_IN_PIECES: Final = re.compile(r"[@/:?#%\[\]]")
_SHORTEST_PIECE: Final = 6
"""A shorter one, a year say, would be taken out of harmless texts."""
_WORDS: Final = re.compile("[a-z_.-]+")


def secrets_in_url(url: str) -> list[str]:
    """The password of a URL and the keys in its query; valid or not.

    They are raw and decoded. So are the pieces of a password that has special characters: unescaped
    ones move pieces of it into what is taken for the host, the port or the path, and so into the
    messages of whatever reads the URL. A login without a password is a user, unless it looks like a
    token.
    """
    _, found, rest = url.partition("://")
    login, at, _ = rest.rpartition("@")
    secrets: list[str] = []
    if found and at:
        user, colon, password = login.partition(":")
        if colon:
            decoded = unquote(password)
            pieces = [
                piece
                for form in (password, decoded)
                for piece in _IN_PIECES.split(form)
                if len(piece) >= _SHORTEST_PIECE
            ]
            secrets += [password, decoded, *pieces, basic_login(unquote(user), decoded)]
        elif len(user) >= 2 * PART:
            secrets.append(user)
    query = parse_qsl(_split(url).query)
    secrets += [value for name, value in query if _SECRET_NAME.search(name)]
    return list(dict.fromkeys(filter(None, secrets)))


def secrets_in_address(url: str) -> list[str]:
    """The path, query and fragment of a URL that serves as its own password, as a webhook's."""
    parts = _split(url)
    where = f"{parts.path}?{parts.query}" if parts.query else parts.path
    pieces = re.split(r"[/?&=]", where)
    named = [each for each in pieces if len(each) >= PART and not _WORDS.fullmatch(each)]
    key = [parts.fragment] if parts.fragment else []
    # Of a short path, a part would be in too many others.
    return [*named, where, *key] if named else key


def basic_login(user: str, password: str) -> str:
    """`user:password` as the header of Basic authentication has it."""
    return base64.b64encode(f"{user}:{password}".encode(errors="surrogatepass")).decode()


def with_logins(secrets: Sequence[str]) -> list[str]:
    """The secrets, and each two of them as user and password of Basic authentication."""
    pairs = [basic_login(one, other) for one in secrets for other in secrets if one != other]
    return [*secrets, *pairs]


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
