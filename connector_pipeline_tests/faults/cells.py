"""Every fault in every phase of both platforms, without the cells that cannot be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final

from connector_pipeline_tests.faults.phases import PHASES, Phase

MIB: Final = 1024 * 1024
PLAIN_HTTP: Final = "the shop over plain HTTP"
ELSEWHERE: Final = "https://elsewhere.example/"
_HOUR: Final = timedelta(hours=1)
# What a merchant's server, or an attacker, may write into an error's message.
HOSTILE: Final = (
    "no \\ud800 \\u001b]0;owned\\u0007 \\u001b[31m \\u009b31m \\u202e \\u0000 \\r\\n way"
)
_LOGIN: Final = (
    "<!DOCTYPE html><html><head><title>Log In</title></head><body class='login'>"
    "<form name='loginform' action='wp-login.php'><input name='log'></form></body></html>"
)
_MAINTENANCE: Final = (
    "<h1>Briefly unavailable for scheduled maintenance. Check back in a minute.</h1>"
)


@dataclass(frozen=True)
class Fault:
    """One fault: the sandbox's rule without its match. `slow`: the sync has to lose patience.

    `closed`: nothing listens where the phase asks. `tls`: the shop is asked over HTTPS, and
    PLAIN_HTTP in a rule is the same shop without.
    """

    name: str
    rule: Mapping[str, Any] = field(default_factory=dict[str, Any])
    slow: bool = False
    closed: bool = False
    tls: bool = False


@dataclass(frozen=True)
class Cell:
    """A fault in a phase."""

    phase: Phase
    fault: Fault

    @property
    def key(self) -> str:
        """The cell's name."""
        return f"{self.phase.key}: {self.fault.name}"

    @property
    def rule(self) -> dict[str, Any]:
        """The sandbox's rule, with the edits that fit to the phase."""
        rule = dict(self.fault.rule)
        if rule.get("edits") == PLACES:
            items = self.phase.items
            assert items is not None
            rule["edits"] = rule["places"](self.phase, items)
            del rule["places"]
        if headers := rule.get("headers"):
            rule["headers"] = {name: _header(value) for name, value in headers.items()}
        if rule["kind"] == "twice":
            rule["body"] = f'"{self.phase.member}":null'
        return rule


PLACES: Final = "by the phase"


def _status(number: int, **headers: str | timedelta) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"kind": "status", "status": number, "headers": named}


def _raw(body: str, status: int = 200) -> dict[str, Any]:
    return {"kind": "body", "body": body, "status": status}


def _throttled() -> dict[str, Any]:
    # A bucket that fills up at once: the sync waits for points, and not for long.
    status = {"maximumAvailable": 50_000.0, "currentlyAvailable": 0, "restoreRate": 50_000.0}
    cost = {"requestedQueryCost": 100, "actualQueryCost": None, "throttleStatus": status}
    error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
    return {"kind": "body", "body": {"errors": [error], "extensions": {"cost": cost}}}


def _header(value: str | timedelta) -> str:
    """The value as it is sent: of a distance, the date that is as far away when the cell runs."""
    if isinstance(value, str):
        return value
    return format_datetime(datetime.now(UTC) + value, usegmt=True)


def _json_at(*names: tuple[str, str], json: str, gid: str = "") -> dict[str, Any]:
    """Another value in a member of each object; of a `gid`, Shopify's form with this number."""

    def places(phase: Phase, items: tuple[Any, ...]) -> list[dict[str, Any]]:
        of_platform = [name for platform, name in names if platform == phase.platform]
        kind = "ProductVariant" if phase.name == "variants" else "Product"
        of_shopify = gid and phase.platform == "shopify"
        text = f'"gid://shopify/{kind}/{gid}"' if of_shopify else json
        return [{"path": [*items, "*", name], "json": text} for name in of_platform]

    return {"kind": "edit", "edits": PLACES, "places": places}


def _same_cursor(phase: Phase, items: tuple[Any, ...]) -> list[dict[str, Any]]:
    if phase.platform == "woocommerce":
        return []
    cursor = {"hasNextPage": True, "endCursor": "eyJsYXN0X2lkIjoxfQ=="}
    return [{"path": [*items[:-1], "pageInfo"], "value": cursor}]


def _new_cursor(phase: Phase, items: tuple[Any, ...]) -> list[dict[str, Any]]:
    if phase.platform == "woocommerce":
        # In the texts of the answer: a number that grows with each answer.
        return [{"path": ["*", "id"], "json": "90{n}0000{i}"}]
    cursor = {"hasNextPage": True, "endCursor": "cursor-{n}"}
    kind = "ProductVariant" if phase.name == "variants" else "Product"
    return [
        {"path": [*items[:-1], "pageInfo"], "value": cursor},
        {"path": [*items, "*", "id"], "value": f"gid://shopify/{kind}/90{{n}}0000{{i}}"},
    ]


_MORE_PAGES: Final = {"X-WP-Total": "1000000000", "X-WP-TotalPages": "250000000"}

CONNECTION: Final = (
    Fault("connection refused", closed=True),
    Fault("reset before the answer", {"kind": "reset", "at": "start"}),
    Fault("reset amid the body", {"kind": "reset", "at": "middle"}),
    Fault("no answer", {"kind": "hang"}, slow=True),
    Fault("stands still amid the body", {"kind": "hang", "at": "middle"}, slow=True),
    Fault("drips", {"kind": "drip", "size": 1, "seconds": 0.05}, slow=True),
    Fault("cut off", {"kind": "truncate"}),
    Fault("chunks cut off", {"kind": "chunks"}),
    Fault("Content-Length too large", {"kind": "length", "size": 100}),
    Fault("Content-Length too small", {"kind": "length", "size": -10}),
)
BODIES: Final = (
    Fault("100 MB in gzip", {"kind": "bomb", "size": 100 * MIB, "encodings": ["gzip"]}),
    Fault(
        "100 MB in gzip in gzip",
        {"kind": "bomb", "size": 100 * MIB, "encodings": ["gzip", "gzip"]},
    ),
    Fault("100 MB in zstd", {"kind": "bomb", "size": 100 * MIB, "encodings": ["zstd"]}),
    Fault("100 MB, not compressed", {"kind": "large", "size": 100 * MIB}),
    Fault("JSON 100,000 deep", _raw("[" * 100_000 + "]" * 100_000)),
    Fault("300,000 empty lists", _raw("[" + "[]," * 300_000 + "[]]")),
    Fault("JSON null", _raw("null")),
    Fault("JSON text", _raw('"text"')),
    Fault("JSON number", _raw("42")),
    Fault("JSON list", _raw("[]")),
    Fault("JSON object", _raw("{}")),
    Fault("not UTF-8", {"kind": "garbage"}),
    Fault("empty at 200", _raw("")),
    Fault("204", _raw("", 204)),
    Fault("captcha page at 200", {"kind": "captcha", "status": 200}),
    Fault("login page at 200", {"kind": "html", "status": 200, "body": _LOGIN}),
    Fault("maintenance page at 200", {"kind": "html", "status": 200, "body": _MAINTENANCE}),
    Fault("a member twice, the truth last", {"kind": "twice", "at": "start"}),
    Fault("a member twice, the truth first", {"kind": "twice", "at": "end"}),
    Fault("NaN for a value", _json_at(("shopify", "title"), ("woocommerce", "price"), json="NaN")),
    Fault(
        "1e999999 for a value",
        _json_at(("shopify", "title"), ("woocommerce", "price"), json="1e999999"),
    ),
    Fault(
        "a number of 10,000 digits",
        _json_at(("shopify", "title"), ("woocommerce", "price"), json="9" * 10_000),
    ),
    Fault("ids of another type", _json_at(("shopify", "id"), ("woocommerce", "id"), json="{}")),
    Fault(
        "ids of 20 digits",
        _json_at(("shopify", "id"), ("woocommerce", "id"), json="9" * 20, gid="9" * 20),
    ),
    Fault(
        "ids of 4,000 digits",
        _json_at(("shopify", "id"), ("woocommerce", "id"), json="9" * 4_000, gid="9" * 4_000),
    ),
    Fault("ids missing", _json_at(("shopify", "id"), ("woocommerce", "id"), json="null")),
)
REDIRECTS: Final = (
    Fault("redirect to itself", {"kind": "redirect", "location": "#"}),
    Fault("redirect to another host", {"kind": "redirect", "location": ELSEWHERE}),
    Fault("redirect to plain HTTP", {"kind": "redirect", "location": PLAIN_HTTP}, tls=True),
    Fault(
        "redirect to a metadata address",
        {"kind": "redirect", "location": "http://169.254.169.254/latest/meta-data/"},
    ),
    Fault("redirect to a file", {"kind": "redirect", "location": "file:///etc/passwd"}),
)
STATUSES: Final = (
    Fault("429", _status(429)),
    Fault("429, wait an hour", _status(429, Retry_After="3600")),
    Fault("429, until a date in an hour", _status(429, Retry_After=_HOUR)),
    Fault("429, until a date gone by", _status(429, Retry_After=-_HOUR)),
    Fault("429, wait for garbage", _status(429, Retry_After="-1e9 soon\x80")),
    Fault("500", _status(500)),
    Fault("502", _status(502)),
    Fault("503", _status(503)),
    Fault("504", _status(504)),
    Fault("401", _status(401)),
    Fault("403", _status(403)),
    Fault("404", _status(404)),
    Fault("410", _status(410)),
    Fault("403 of a firewall", {"kind": "html", "status": 403}),
    Fault("hostile text in a 400", _raw(f'{{"errors": "{HOSTILE}", "message": "{HOSTILE}"}}', 400)),
    Fault("hostile text in a 403", _raw(f'{{"errors": "{HOSTILE}", "message": "{HOSTILE}"}}', 403)),
    Fault(
        "hostile text in a 500",
        _raw(f'{{"code": "{HOSTILE}", "message": "{HOSTILE}", "errors": "{HOSTILE}"}}', 500),
    ),
)
SHOPIFYS: Final = (
    Fault("THROTTLED", _throttled()),
    Fault(
        "hostile text in GraphQL errors",
        _raw(f'{{"errors": [{{"message": "{HOSTILE}", "extensions": {{"code": "{HOSTILE}"}}}}]}}'),
    ),
)
PAGING: Final = (
    Fault(
        "the same page again and again",
        {"kind": "repeat", "edits": PLACES, "places": _same_cursor, "headers": _MORE_PAGES},
    ),
    Fault(
        "pages without end",
        {"kind": "repeat", "edits": PLACES, "places": _new_cursor, "headers": _MORE_PAGES},
    ),
)
CLOCKS: Final = (
    Fault(
        "Date years ahead", {"kind": "edit", "headers": {"Date": "Fri, 01 Jan 2100 00:00:00 GMT"}}
    ),
    Fault("Date years ago", {"kind": "edit", "headers": {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}}),
    Fault("Date unreadable", {"kind": "edit", "headers": {"Date": "yesterday"}}),
)
EXPIRY: Final = tuple(
    Fault(
        f"expires_at {shown}",
        {"kind": "edit", "edits": [{"path": ["data", "expires_at"], **value}]},
    )
    for shown, value in (
        ("years ago", {"value": "2001-01-01T00:00:00Z"}),
        ("in year 1", {"value": "0001-01-01T00:00:00+14:00"}),
        ("in year 9999", {"value": "9999-12-31T23:59:59-12:00"}),
        ("no time", {"value": "soon"}),
        ("a huge number", {"json": "1e300"}),
        ("a list", {"value": []}),
    )
)
TIMES: Final = (
    Fault(
        "changed in year 1",
        _json_at(
            ("shopify", "updatedAt"),
            ("woocommerce", "date_modified_gmt"),
            json='"0001-01-01T00:00:00Z"',
        ),
    ),
    Fault(
        "changed in year 9999",
        _json_at(
            ("shopify", "updatedAt"),
            ("woocommerce", "date_modified_gmt"),
            json='"9999-12-31T23:59:59Z"',
        ),
    ),
)

FAULTS: Final = (
    *CONNECTION, *BODIES, *REDIRECTS, *STATUSES, *SHOPIFYS, *PAGING, *CLOCKS,
    *TIMES, *EXPIRY,
)  # fmt: skip


def excluded(phase: Phase, fault: Fault) -> str | None:
    """Why there is no such cell; None where there is one."""
    first = ("token", "shop", "discovery")
    if fault.closed and phase.name not in (*first, "bulk download"):
        return "the connection is kept from the phase before; refused, it is a reset"
    if fault.tls and phase.name not in (*first, "first page"):
        return "all requests go through one client, and these are with and without a credential"
    if fault.name == "drips" and phase.key in ("shopify: later page", "shopify: variants"):
        return "the same as in the first page, and it takes ten times as long as another cell"
    if fault in SHOPIFYS and (phase.platform != "shopify" or phase.service != "shopify"):
        return "only Shopify's API says it so"
    if fault.rule.get("edits") == PLACES and phase.items is None:
        return "the answer has no list of objects"
    if fault in PAGING and phase.name in ("first page", "look-up"):
        return "the same as in a later page, which also the rule for it would hit"
    if phase.name == "bulk download" and (
        fault.name.startswith(("JSON ", "a member twice", "Date"))
    ):
        return "the file is lines, and no JSON document"
    if fault in EXPIRY and phase.name != "token":
        return "only the Token Service says when credentials expire"
    if fault in TIMES and phase.name in ("ids", "look-up"):
        return "these questions ask for no times"
    return None


CELLS: Final = {
    cell.key: cell
    for phase in PHASES.values()
    for fault in FAULTS
    if excluded(phase, fault) is None
    for cell in (Cell(phase, fault),)
}
