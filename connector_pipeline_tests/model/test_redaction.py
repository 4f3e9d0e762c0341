"""No secret that the process knows stays in a text, in whatever form and however it is cut."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.redaction import PART, Secrets, without
from connector_pipeline.model.url_secrets import secrets_in_address, secrets_in_url, with_logins

TOKEN = "shpat_0123456789abcdef0123456789abcdef"
SECRET_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=24, max_size=60)


def knowing(*known: str) -> Secrets:
    """A redaction that knows these secrets."""
    secrets = Secrets()
    secrets.keep(known)
    return secrets


@given(SECRET_TEXT, st.text(max_size=30), st.text(max_size=30))
@example("pa%ss/word@with:all+of=them&?#", "x", "y")
@example(TOKEN, "", "")
def test_a_secret_is_taken_out_in_each_form(secret: str, before: str, after: str) -> None:
    """As it is, percent-encoded, in JSON, in HTML, and in base64 with or without neighbours."""
    secrets = knowing(secret)
    forms = {
        secret,
        secret.upper() if secret.isascii() else secret,
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        html.escape(secret),
        repr(secret)[1:-1],
    }
    for form in forms:
        assert form not in secrets.redacted(f"{before}{form}{after}") or len(form) < PART
    encoded = base64.b64encode(f"{before}:{secret}:{after}".encode()).decode()
    middle = encoded[len(encoded) // 2 - 6 : len(encoded) // 2 + 6]
    found = secrets.redacted(encoded)
    assert encoded not in found
    assert len(before) + len(after) > len(secret) // 2 or middle not in found


@given(st.integers(0, len(TOKEN) - PART), st.integers(PART, len(TOKEN)))
def test_a_part_of_a_secret_is_taken_out(start: int, length: int) -> None:
    """A platform, or a log, cuts a message in the middle of a token."""
    part = TOKEN[start : start + length]
    assert len(part) < PART or knowing(TOKEN).redacted(f"said {part}") == "said ***"


@given(st.text(max_size=300))
def test_nothing_changes_where_nothing_is_known(text: str) -> None:
    """Apart from what stands as a credential in a URL or a header."""
    if not any(sign in text for sign in "=:."):
        assert Secrets().redacted(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgresql://u:p@ss@host/db", "postgresql://***@ss@host/db"),
        ("nats://user:pw@host:4222,nats://user:pw@other", "nats://***@host:4222,nats://***@other"),
        ("GET /x?consumer_key=ck_1&consumer_secret=cs_2&a=b", None),
        ("?oauth_signature=abc%3D&oauth_nonce=def HTTP", None),
        ('OAuth oauth_signature="abc%3D"', 'OAuth oauth_signature="***"'),
        ('{"access_token": "abc"}', '{"access_token": "***"}'),
        (r"{\"client_secret\":\"abc\"}", r"{\"client_secret\":\"***\"}"),
        ("Authorization: Basic dTpw, x", "Authorization: Basic ***, x"),
        ("'authorization': 'Bearer abc.def'", "'authorization': 'Bearer ***'"),
        ("X-Goog-Signature=0123abc&x=1", "X-Goog-Signature=***&x=1"),
        ("password=x host=y", "password=*** host=y"),
        # What our own messages say is left alone.
        ("CONNECTOR_PROXY_URL=http://user:password@proxy.internal:3128", None),
        ("Check INTERNAL_JWT_SECRET: the service must let us in.", None),
        ("postgresql://connector@db.internal/catalog", None),
        ("partition_key=shopify/acme.example asset_key=raw", None),
        ("shopify/acme.example: Basic authentication is refused", None),
    ],
)
def test_what_stands_as_a_credential_is_taken_out_unknown(text: str, redacted: str | None) -> None:
    """A signature is made anew for each request, so nobody can hand it in."""
    expected = {
        "GET /x?consumer_key=ck_1&consumer_secret=cs_2&a=b": (
            "GET /x?consumer_key=***&consumer_secret=***&a=b"
        ),
        "?oauth_signature=abc%3D&oauth_nonce=def HTTP": (
            "?oauth_signature=***&oauth_nonce=*** HTTP"
        ),
    }.get(text, text)
    assert Secrets().redacted(text) == (redacted or expected)


def test_a_short_secret_does_not_make_stars_of_messages() -> None:
    """Of two letters, of a common word, or of the name of this program."""
    secrets = knowing("db", "a", "", "postgres", "connector-pipeline", "pw-1", "x9y8")
    message = "Postgres at db: run `connector-pipeline doctor` as postgres."
    assert secrets.redacted(message) == message
    assert secrets.redacted("password pw-1, x9y8z") == "password ***, x9y8z"


def test_a_secret_that_is_short_once_decoded_does_not_either() -> None:
    """Percent-encoded, it has three times as many characters."""
    secrets = knowing("%61%62", "%69%6E", "%73%79%6E%63")
    message = "ab in in the sync of a shop"
    assert secrets.redacted(message) == message


REASON = (
    'connection to server at "db.internal" (10.0.0.1), port 5432 failed: FATAL: password '
    'authentication failed for user "pipeline" in a database of e'
)


@given(st.text(st.sampled_from('aeiortn15.f "('), min_size=1, max_size=3))
def test_a_short_password_leaves_a_message_readable(password: str) -> None:
    """It is in any text."""
    assert without(REASON, password) == REASON


@pytest.mark.parametrize("password", ["e", "5", "(", "pw", "hunter"])
def test_a_short_password_is_taken_out_as_a_whole_value(password: str) -> None:
    """In quotes, behind an equals sign, or as a part of a URL."""
    assert without(f'invalid port "{password}" of hunters', password) == (
        'invalid port "***" of hunters'
    )
    assert without(f"password={password}", password) == "password=***"
    assert without(f"cannot read //me:a/{password}@db", password) == "cannot read //me:a/***@db"


def test_a_longer_password_is_taken_out_wherever_it_stands() -> None:
    """With each of its parts, and an ordinary word where it is a value."""
    assert without("no host s3cret-word-of-mine here", "s3cret-word-of-mine") == "no host *** here"
    assert without("no host Tr0ub4, here", "Tr0ub4") == "no host ***, here"
    assert without('invalid port "hunter" of hunters', "hunter") == 'invalid port "***" of hunters'
    assert without("postgresql://me@pass/word@h", "word") == "postgresql://me@pass/***@h"


def test_secrets_of_shops_are_dropped_when_nothing_is_held() -> None:
    """Those of settings stay, and so does one that is both."""
    secrets = knowing("settings-secret-1234")
    with secrets.holding():
        with secrets.holding():
            secrets.keep([TOKEN, "settings-secret-1234"], while_held=True)
        assert secrets.redacted(TOKEN) == "***"
    assert secrets.redacted(TOKEN) == TOKEN
    assert secrets.redacted("settings-secret-1234") == "***"


def test_only_so_many_secrets_are_kept() -> None:
    """The oldest of shops go first, and those of settings stay."""
    secrets = Secrets(most=3)
    secrets.keep(["settings-secret-1234"])
    for number in range(5):
        secrets.keep([f"token-of-shop-{'abcde'[number] * 20}"], while_held=True)
    assert secrets.redacted("settings-secret-1234") == "***"
    assert secrets.redacted(f"token-of-shop-{'e' * 20}") == "***"
    assert "a" * 20 in secrets.redacted(f"token-of-shop-{'a' * 20}")


def test_what_two_secrets_have_in_common_stays_secret_while_one_of_them_does() -> None:
    """A run over a thousand shops drops the oldest, of which one may begin as a newer one does."""
    secrets = Secrets(most=8)
    secrets.keep([f"shared-beginning-{'a' * 20}"], while_held=True)
    for number in range(8):
        secrets.keep([f"shared-beginning-{'bcdefghi'[number] * 20}"], while_held=True)
    assert secrets.redacted("a" * 20) == "a" * 20
    assert secrets.redacted("shared-beginning") == "***"
    assert secrets.redacted("i" * 20) == "***"


def test_a_mask_keeps_the_length_of_a_text() -> None:
    """A page's bytes have offsets that go on counting."""
    assert knowing(TOKEN).masked(f'{{"t": "{TOKEN}"}}') == f'{{"t": "{"*" * len(TOKEN)}"}}'


def test_the_secrets_of_a_url_are_found_however_it_is_written() -> None:
    """The password raw and decoded, its pieces, and what a query has of secrets."""
    found = secrets_in_url("postgresql://u:p%40ssword/piece123@h/d?sslmode=require&password=other9")
    assert {"p%40ssword/piece123", "p@ssword/piece123", "piece123", "other9"} <= set(found)
    assert "require" not in found
    assert secrets_in_url("postgresql://user@host/db") == []
    assert secrets_in_url("no url at all") == []
    assert secrets_in_url("https://[::1/x") == []
    webhook = "https://hooks.example/services/T0/B0/aB3dE5gH7jK9mN"
    assert secrets_in_address(webhook) == ["aB3dE5gH7jK9mN", "/services/T0/B0/aB3dE5gH7jK9mN"]
    assert secrets_in_address("https://alerts.internal/connector") == []
    assert with_logins(["user", "pass"])[2:] == ["dXNlcjpwYXNz", "cGFzczp1c2Vy"]
