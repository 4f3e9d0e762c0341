"""Plants recognisable credentials, and searches every place in which one could be left behind.

    canaries = plant()
    for name, value in canaries.environment(...).items(): monkeypatch.setenv(name, value)
    canaries.add("shopify token", "shpat_…")      # those that a sandbox shop has
    assert canaries.search([files("the archive", folder), database("the catalog", url)]) == []

A secret counts as found in its raw form, in base64 (alone or in the middle of something), percent-
encoded and JSON-escaped, whole or any part of it of PART characters. Compressed files are searched
decompressed.
"""

import base64
import gzip
import json
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

import psycopg
import zstandard
from psycopg import sql

PART: Final = 12
"""A part of a secret of so many characters is found as the secret itself."""

_PART_OF_BASE64: Final = PART * 4 // 3
_SHOWN: Final = 30

# Of these the value is made anew for each use, so no list can have it.
_DERIVED: Final[Mapping[str, re.Pattern[bytes]]] = {
    "an OAuth signature": re.compile(
        rb"oauth_signature(?:=|%3D|\\?\"\s*:\s*\\?\")(?!\*)[^&\s\"\\]{10,}", re.IGNORECASE
    ),
    "a signed URL": re.compile(rb"X-Goog-Signature(?:=|%3D)(?!\*)[0-9A-Za-z]{10,}", re.IGNORECASE),
    "a JWT": re.compile(rb"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{20,}"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret that was found: its name, the place, and the name of the text in the place."""

    secret: str
    place: str
    where: str

    def __str__(self) -> str:
        return f"{self.secret} in {self.place}: {self.where}"


@dataclass(frozen=True, slots=True)
class Place:
    """Texts of one kind, each with a name that tells where it is."""

    name: str
    texts: Iterable[tuple[str, bytes]]


@dataclass(slots=True)
class Canaries:
    """The planted secrets by their names."""

    secrets: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, secret: str) -> str:
        """Search for this secret, too. Returns it."""
        if len(secret) < PART:
            raise ValueError(f"the canary {name!r} is too short to be recognised")
        self.secrets[name] = secret
        return secret

    def environment(self, **more: str) -> dict[str, str]:
        """Variables that hold planted secrets. They lead nowhere; `more` stands before them."""
        kept = self.secrets
        proxy = quote(kept["proxy password"], safe="")
        return {
            "INTERNAL_JWT_SECRET": kept["JWT secret"],
            "CONNECTOR_PROXY_URL": f"http://canary:{proxy}@127.0.0.1:9",
            "CONNECTOR_NO_PROXY": "127.0.0.1,localhost,.example",
            "ALERT_WEBHOOK_URL": f"http://127.0.0.1:9/hooks/{kept['alert webhook']}",
            "NATS_USER": "canary",
            "NATS_PASSWORD": kept["NATS password"],
            "NATS_TOKEN": kept["NATS token"],
        } | more

    def login(self, url: str, name: str) -> str:
        """The Postgres URL with a role of its own, whose password is a canary called `name`."""
        secret = self.secrets.get(name) or self.add(name, f"pw%{secrets.token_hex(12)}/@:")
        role = f"canary_{secrets.token_hex(4)}"
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(secret)
                )
            )
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{role}:{quote(secret, safe='')}@{place}"))

    def search(self, places: Iterable[Place]) -> list[Finding]:
        """Where the secrets are, each once for a text."""
        known = _Known(self.secrets)
        found: dict[Finding, None] = {}
        for place in places:
            for where, text in place.texts:
                for secret in known.in_text(text):
                    found[Finding(secret, place.name, where)] = None
        return list(found)


def plant() -> Canaries:
    """New secrets of all kinds that settings hold. `Canaries.add` adds those of shops."""
    canaries = Canaries()
    for name in ("JWT secret", "proxy password", "alert webhook", "NATS password", "NATS token"):
        # A bare percent sign and a plus are read in different ways by URLs, forms and templates.
        canaries.add(name, f"{secrets.token_hex(10)}+%{secrets.token_hex(10)}")
    return canaries


def texts(name: str, *found: object) -> Place:
    """Texts, bytes or objects whose text is searched: messages, outputs, exceptions."""
    return Place(name, [(f"text {number}", _bytes(each)) for number, each in enumerate(found)])


def files(name: str, *folders: Path, without: Iterable[str] = ()) -> Place:
    """All files below the folders, and their names; but none whose name is in `without`."""
    excluded = frozenset(without)

    def read() -> Iterator[tuple[str, bytes]]:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                yield f"the name of {path}", str(path.relative_to(folder)).encode()
                if path.name not in excluded and path.is_file():
                    yield str(path), _decompressed(path.read_bytes())

    return Place(name, read())


def database(name: str, url: str) -> Place:
    """Every row of every table of a Postgres database as text, and the names of what is in it."""

    def read() -> Iterator[tuple[str, bytes]]:
        with psycopg.connect(url.replace("+psycopg2", "", 1)) as connection:
            tables = connection.execute(
                "SELECT table_schema, table_name FROM information_schema.tables "
                "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') "
                "AND table_type = 'BASE TABLE'"
            ).fetchall()
            for schema, table in tables:
                rows = connection.execute(
                    sql.SQL("SELECT each::text FROM {} each").format(sql.Identifier(schema, table))
                )
                for number, (row,) in enumerate(rows):
                    yield f"{schema}.{table}, row {number}", row.encode()

    return Place(name, read())


def processes(name: str = "process titles") -> Place:
    """The command lines of all processes of this machine, as `ps` shows them to everybody."""

    def read() -> Iterator[tuple[str, bytes]]:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                yield str(path), path.read_bytes()
            except OSError:
                # The process has ended meanwhile.
                continue

    return Place(name, read())


class _Known:
    def __init__(self, named: Mapping[str, str]):
        self._parts: dict[bytes, str] = {}
        self._parts_of_base64: dict[bytes, str] = {}
        for name, secret in named.items():
            for form in _readable_forms(secret):
                self._parts |= dict.fromkeys(_windows(form, PART), name)
            for form in _base64_forms(secret):
                self._parts_of_base64 |= dict.fromkeys(_windows(form, _PART_OF_BASE64), name)

    def in_text(self, text: bytes) -> set[str]:
        found = {
            name
            for size, parts in ((PART, self._parts), (_PART_OF_BASE64, self._parts_of_base64))
            for part in _windows(text, size)
            if (name := parts.get(part)) is not None
        }
        return found | {name for name, form in _DERIVED.items() if form.search(text)}


def _windows(text: bytes, size: int) -> Iterator[bytes]:
    for start in range(len(text) - size + 1):
        yield text[start : start + size]


def _readable_forms(secret: str) -> set[bytes]:
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    lower = {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), each) for each in quoted}
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret).replace("/", "\\/")[1:-1]}
    doubled = {json.dumps(each)[1:-1] for each in escaped}
    forms = {secret, repr(secret)[1:-1], secret.replace("%", "%%")}
    return {each.encode() for each in forms | quoted | lower | escaped | doubled}


def _base64_forms(secret: str) -> set[bytes]:
    """Base64 of a text that has the secret in it, without the ends, which its neighbours decide."""
    return {
        encode(b"\0" * before + secret.encode()).rstrip(b"=")[spoiled:-1]
        for before, spoiled in ((0, 0), (1, 2), (2, 3))
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    }


def _decompressed(content: bytes) -> bytes:
    try:
        if content.startswith(b"\x28\xb5\x2f\xfd"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(content)
        if content.startswith(b"\x1f\x8b"):
            return gzip.decompress(content)
    except (zstandard.ZstdError, OSError, EOFError, zlib.error):
        # A file that a crash cut off.
        return content
    return content


def _bytes(found: object) -> bytes:
    if isinstance(found, bytes):
        return found
    return str(found).encode(errors="backslashreplace")
