"""Promises about bodies that a host spoiled: PHP's messages around the JSON, and hidden gzip."""

import gzip
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.http.spoiled_body import json_among_messages, unzipped
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline_tests.platforms.http.test_client import PATIENT, answer, loopback

TEES = b'[{"id":196,"name":"Tee","price":"10.00","images":[]}]'
# The case from the field.
DEPRECATED = (
    b"<br />\n<b>Deprecated</b>:  Creation of dynamic property Some_Plugin::$opt is deprecated in "
    b"<b>/var/www/html/wp-content/plugins/some-plugin/some-plugin.php</b> on line <b>31</b><br />\n"
)
WARNING = (
    b"\nWarning: Undefined array key 3 in /home/shop/public_html/wp-content/themes/storefront-kid/"
    b"functions.php on line 12\n"
)
CORE = b"<br />\n<b>Notice</b>:  x in <b>/wp-includes/a.php</b> on line <b>5</b><br />\n"
MUST_USE = b"PHP Deprecated:  x in C:\\www\\mu-plugins\\cache-it\\x.php on line 9\n"
LOGGED = b"[28-Nov-2026 12:00:00 UTC] PHP Warning:  A in /app/plugins/bedrock-one/b.php on line 7\n"
DATABASE = (
    b'<div id="error"><p class="wpdberror"><strong>WordPress database error:</strong> [Table '
    b"&#039;x&#039; doesn&#039;t exist]<br /><code>SELECT 1</code></p></div>"
)
SPOILED = {
    "a message before": (DEPRECATED + TEES, "plugin some-plugin"),
    "many messages before": (DEPRECATED * 300 + TEES, "plugin some-plugin"),
    "a message of a theme, as text": (WARNING + TEES, "theme storefront-kid"),
    "a message after": (TEES + b"\n" + DEPRECATED, "plugin some-plugin"),
    "messages around": (
        WARNING + TEES + DEPRECATED,
        "theme storefront-kid and the plugin some-plu",
    ),
    "of WordPress itself": (CORE + TEES, "PHP's messages"),
    "of a must-use plugin on Windows": (MUST_USE + TEES, "plugin cache-it"),
    "a line that begins like a list": (LOGGED + TEES, "plugin bedrock-one"),
    "of the database, on the same line": (DATABASE + TEES, "PHP's messages"),
    "with a byte order mark": (DEPRECATED + b"\xef\xbb\xbf" + TEES, "plugin some-plugin"),
}


@pytest.mark.parametrize(("body", "named"), SPOILED.values(), ids=SPOILED)
async def test_json_among_phps_messages_is_read(body: bytes, named: str) -> None:
    """Only the JSON is kept, and one warning names what printed the messages."""
    report = FetchReport()
    async with (
        loopback(answer(body)) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=report) as http,
    ):
        received = await http.request("GET", "/products")
        again = await http.request("GET", "/products")
    assert received.json == again.json == json.loads(TEES)
    assert received.body == TEES
    assert parse_json(received.body) == received.json
    [warning] = report.warnings
    assert named in warning
    assert "display_errors" in warning
    assert (report.requests, report.retries) == (2, 0)


async def test_a_refusal_among_phps_messages_keeps_its_code() -> None:
    """The adapter judges it as any other."""
    refusal = b'{"code":"woocommerce_rest_cannot_view","data":{"status":401}}'
    async with (
        loopback(answer(DEPRECATED + refusal, "401 Unauthorized")) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=FetchReport()) as http,
    ):
        received = await http.request("GET", "/products")
    assert received.json["code"] == "woocommerce_rest_cannot_view"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (DEPRECATED + TEES[:-9], "PHP's messages about the plugin some-plugin"),
        (WARNING, "PHP's messages about the theme storefront-kid"),
        (TEES[:20] + DEPRECATED, "PHP's messages about the plugin some-plugin"),
        (CORE, "PHP's messages"),
    ],
)
async def test_messages_without_json_are_named(body: bytes, named: str) -> None:
    """The error names the plugin instead of a captcha, and the remedy says what to turn off."""
    async with (
        loopback(answer(body)) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=FetchReport()) as http,
    ):
        with pytest.raises(PlatformUnavailable) as caught:
            await http.request("GET", "/products")
    assert f"not JSON: {named} are printed into the answer" in caught.value.message
    assert "display_errors" in caught.value.remedy


@pytest.mark.parametrize(
    "body",
    [
        b'<html><script type="application/ld+json">\n{"@context":"https://schema.org"}\n</script>',
        b"<!doctype html>\n" + DEPRECATED + TEES,
        b"Hello\n" + TEES,
        TEES + b"\n" + TEES,
        DEPRECATED + TEES + TEES,
        b"Error on line\n[]",
        b"",
    ],
)
def test_json_inside_anything_else_is_not_taken(body: bytes) -> None:
    """A page may hold whole JSON that is not the answer."""
    assert json_among_messages(body) is None


def test_several_byte_order_marks_are_no_message() -> None:
    """Each PHP file saved with one prints one."""
    found = json_among_messages(b"\xef\xbb\xbf\n\xef\xbb\xbf" + TEES + b"\n")
    assert found is not None
    assert (found.body, found.around) == (TEES, None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(VALUES) | st.dictionaries(st.text(), VALUES), st.booleans(), st.booleans())
def test_messages_change_no_json(document: object, before: bool, after: bool) -> None:
    """Whatever the JSON holds, it comes back byte for byte."""
    body = json.dumps(document, ensure_ascii=False).encode()
    found = json_among_messages(DEPRECATED * before + body + (b"\n" + WARNING) * after)
    assert found is not None
    assert (found.body, found.json) == (body, parse_json(body))


@given(st.binary() | st.binary().map(lambda rest: DEPRECATED + rest))
def test_any_body_ends_in_json_or_none(body: bytes) -> None:
    """No body raises an error, and what is found parses."""
    found = json_among_messages(body)
    assert found is None or parse_json(found.body) == found.json


HIDDEN = {
    "gzip without its header": answer(gzip.compress(b'{"price": 1.10}')),
    "gzip within gzip": answer(
        gzip.compress(gzip.compress(b'{"price": 1.10}')), "200 OK", "Content-Encoding: gzip"
    ),
    "gzip by an old name": answer(
        gzip.compress(b'{"price": 1.10}'), "200 OK", "Content-Encoding: none"
    ),
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
async def test_gzip_is_known_by_its_first_bytes(hidden: bytes) -> None:
    """The body that is kept is the JSON."""
    async with (
        loopback(hidden) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=FetchReport()) as http,
    ):
        received = await http.request("GET", "/products")
    assert received.json == {"price": Decimal("1.10")}
    assert received.body == b'{"price": 1.10}'


async def test_hidden_gzip_is_bounded() -> None:
    """A small gzip of a large body does not pass the limit."""
    policy = HttpPolicy(allow_private_hosts=True, max_body_bytes=10_000)
    large = gzip.compress(b"[" + b"1," * 100_000 + b"1]")
    assert len(large) < 10_000
    async with (
        loopback(answer(large)) as shop,
        OriginHttp(shop.url, policy=policy, report=FetchReport()) as http,
    ):
        with pytest.raises(InvalidResponse, match="more than 10000 bytes"):
            await http.request("GET", "/products")


async def test_half_of_a_hidden_gzip_is_asked_for_again() -> None:
    """It is trouble that may pass, as any body cut off."""
    report = FetchReport()
    async with (
        loopback(answer(gzip.compress(TEES)[:-10]), answer(TEES)) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=report) as http,
    ):
        received = await http.request("GET", "/products")
    assert received.json == json.loads(TEES)
    assert report.retries == 1


@given(st.binary() | st.binary().map(lambda rest: b"\x1f\x8b\x08" + rest))
def test_any_bytes_are_gzip_or_stay(body: bytes) -> None:
    """No bytes raise an error."""
    assert unzipped(body, 1000) == body or body.startswith(b"\x1f\x8b")
