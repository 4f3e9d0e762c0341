"""Takes the secrets that this process knows out of texts that somebody may read.

Settings and the Token Service hand in each secret when they get it. A text is searched for all of
them at once, in each form that a URL, a header, JSON or HTML gives them, and for any PART
characters of them: a platform may quote a token and cut it off. So a text is redacted before it is
cut. What looks like a credential in a URL or a header is taken out although nobody handed it in: a
signature is made anew for each request.

The secrets are kept in memory alone. Those of shops are dropped when nothing is held open any more
(`holding`), and the oldest when there are too many. Never print or log what is kept here.
"""

import base64
import html
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, quote_plus, unquote

PART: Final = 12
"""A part of a secret of so many characters is taken out as the secret itself."""

MARK: Final = "***"

_SHORTEST: Final = 4
"""A shorter secret is taken out only where it stands as a credential: it may be in any word."""

_MOST: Final = 2_000

# A password may have a piece of these in it, and they are in nearly every message of ours.
_OURS: Final = (
    "connector-pipeline connector_pipeline platform-connector postgresql:// postgresql+psycopg2:// "
    "authorization internal_jwt_secret connector_database_url dagster_postgres_url"
)
_LOWER: Final = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}
"""Lower case without a change of length."""

_STRUCTURES: Final = (
    # `user:password@` is how our own examples write it.
    (re.compile(r"(?<=://)(?!user:password@)[^\s/@:\"'<>]*:[^\s/@\"'<>]+@"), f"{MARK}@"),
    (
        # No wildcard in front: a text of hyphens would be searched anew from each.
        re.compile(
            r"(oauth_\w{1,40}|consumer_key|api_?key|signature|token|secret|password|passwd)"
            r"(=|%3D|\\?\"\s*:\s*\\?\"|=\\?\")(?!\*)[^&\s\"'<>\\,]+",
            re.IGNORECASE,
        ),
        rf"\g<1>\g<2>{MARK}",
    ),
    (
        re.compile(
            r"\b(authorization\\?[\"']?\s*[:=,]\s*\\?[b\"']*(?:basic|bearer)\s+)(?!\*)[^\s\"',\\<>]+",
            re.IGNORECASE,
        ),
        rf"\g<1>{MARK}",
    ),
    (re.compile(r"\beyJ[\w-]{8,999}\.[\w-]{8,4000}\.[\w-]{20,}"), MARK),
)
_MAY_HAVE_STRUCTURE: Final = re.compile("[:=]|%3d|eyJ|authorization", re.IGNORECASE)
"""Any text in which one of _STRUCTURES is found has one of these."""


class Secrets:
    """Secrets in memory, and the texts without them. Any thread may use it."""

    def __init__(self, *, most: int = _MOST):
        self._most = most
        self._lock = threading.RLock()
        self._kept: OrderedDict[str, tuple[bool, frozenset[str]]] = OrderedDict()
        self._parts = set[str]()
        self._words: re.Pattern[str] | None = None
        self._holders = 0

    def keep(self, secrets: Iterable[str], *, while_held: bool = False) -> None:
        """Take these secrets out of all texts from here on.

        `while_held`: only until nothing is held open any more (see `holding`).
        """
        for secret in secrets:
            if len(secret) < _SHORTEST:
                continue
            with self._lock:
                known = self._kept.get(secret)
                if known is not None:
                    self._kept[secret] = (known[0] and while_held, known[1])
                    self._kept.move_to_end(secret)
                    continue
                parts = _parts_of(secret)
                self._kept[secret] = (while_held, parts)
                self._parts.update(parts)
                if len(self._kept) > self._most:
                    self._drop_oldest()
                elif len(secret) < PART:
                    # Only these are words, and looking through all that is kept takes long.
                    self._find_words()

    @contextmanager
    def holding(self) -> Generator[None]:
        """Hold what is kept meanwhile; the last holder to leave drops the secrets of shops."""
        with self._lock:
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._drop([secret for secret, (held, _) in self._kept.items() if held])

    def redacted(self, text: str) -> str:
        """The text with *** in place of each secret, and of each part of one."""
        # Most texts are a word or two of a catalog, and have none of what the expressions look for.
        if _MAY_HAVE_STRUCTURE.search(text):
            for structure, replacement in _STRUCTURES:
                text = structure.sub(replacement, text)
        if self._words is not None:
            text = self._words.sub(MARK, text)
        if not self._parts or len(text) < PART:
            return text
        return _without(text, list(self._spans(text)))

    def masked(self, text: str) -> str:
        """The text with an asterisk for each character of a secret of PART characters or more."""
        for begin, end in list(self._spans(text)):
            text = f"{text[:begin]}{'*' * (end - begin)}{text[end:]}"
        return text

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where parts of secrets are, as beginnings and ends in their order, none overlapping."""
        searched, parts = text.translate(_LOWER), self._parts
        begin = end = -1
        for start in range(len(searched) - PART + 1):
            if searched[start : start + PART] not in parts:
                continue
            if start > end:
                if end > 0:
                    yield begin, end
                begin = start
            end = start + PART
        if end > 0:
            yield begin, end

    def _drop_oldest(self) -> None:
        """Make room for some, those of shops first: what stays is looked through for each drop."""
        surplus = len(self._kept) - self._most + self._most // 4
        of_shops = [secret for secret, (held, _) in self._kept.items() if held]
        others = [secret for secret, (held, _) in self._kept.items() if not held]
        self._drop((of_shops + others)[:surplus])

    def _drop(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            del self._kept[secret]
        # Replaced as a whole: another thread may be searching a text for them.
        self._parts = set[str]().union(*(parts for _, parts in self._kept.values()))
        self._find_words()

    def _find_words(self) -> None:
        # Decoded, a secret may be shorter than it is.
        forms = {
            re.escape(form)
            for secret in self._kept
            if len(secret) < PART
            for form in _readable_forms(secret)
            if not _is_in_any_text(form)
        }
        either = "|".join(sorted(forms, key=len, reverse=True))
        self._words = re.compile(f"(?<![0-9A-Za-z])(?:{either})(?![0-9A-Za-z])") if forms else None


SECRETS: Final = Secrets()
"""The secrets of this process."""


def forms_of(secrets: Iterable[str]) -> set[str]:
    """The secrets as texts may have them, but for base64. Never show them."""
    return {form for secret in secrets for form in _readable_forms(secret)}


def redacted(text: str) -> str:
    """The text without the secrets of this process."""
    return SECRETS.redacted(text)


def without(text: str, secret: str) -> str:
    """The text without one secret that may not be among those of this process.

    One that may be in any text, because it is short or an ordinary word, is taken out only where it
    stands as a whole value: in quotes, after an equals sign, or as a part of a URL.
    """
    one = Secrets()
    one.keep([secret])
    found = one.redacted(text)
    forms = "|".join(re.escape(form) for form in _readable_forms(secret) if _is_in_any_text(form))
    if not forms:
        return found
    return re.sub(f"(?<=[\"'`=:/@])(?:{forms})(?=[\"'`@&/:?#]|$)", MARK, found)


def _is_in_any_text(form: str) -> bool:
    # It would make riddles of our messages.
    return len(form) < _SHORTEST or (len(form) < PART and form.isalpha() and form.islower())


def _parts_of(secret: str) -> frozenset[str]:
    if len(secret) < PART:
        return frozenset()
    # Many forms of a secret are one once they are in lower case.
    forms = {form.translate(_LOWER) for form in _forms_of(secret)}
    return frozenset[str]().union(*map(_pieces, forms)) - _PIECES_OF_OURS


def _pieces(text: str) -> set[str]:
    return {text[start : start + PART] for start in range(len(text) - PART + 1)}


_PIECES_OF_OURS: Final = frozenset(_pieces(_OURS))


def _forms_of(secret: str) -> set[str]:
    return _readable_forms(secret) | _base64_forms(secret)


def _readable_forms(secret: str) -> set[str]:
    encodable = secret.encode(errors="surrogatepass")
    quoted = {quote(encodable, safe=""), quote(encodable), quote_plus(encodable)}
    in_json = json.dumps(secret)[1:-1]
    return {
        secret,
        unquote(secret),
        *quoted,
        in_json,
        in_json.replace("/", "\\/"),
        json.dumps(in_json)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
    }


def _base64_forms(secret: str) -> set[str]:
    """Base64 of any text that has the secret in it, without what its neighbours decide."""
    encodable = secret.encode(errors="surrogatepass")
    return {
        encode(b"\0" * before + encodable).decode().rstrip("=")[spoiled:-1]
        for before, spoiled in ((0, 0), (1, 2), (2, 3))
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    }


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    if not spans:
        return text
    kept: list[str] = []
    done = 0
    for begin, end in spans:
        kept += [text[done:begin], MARK]
        done = end
    kept.append(text[done:])
    return "".join(kept)
