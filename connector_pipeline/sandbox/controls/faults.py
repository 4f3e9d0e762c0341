"""Faults and latency, set by rules: a rule names its requests, its number and its fault."""

import codecs
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, cast
from urllib.parse import parse_qs

from connector_pipeline.sandbox.controls import spoiling

KINDS: Final = (
    "status", "html", "truncate", "reset", "hang", "latency", "empty_json", "garbage", "captcha",
    "redirect", "throttled", "body", "workers", "bom", "printed", "gzip", "edit", "repeat", "twice",
    "drip", "length", "chunks", "bomb", "large",
)  # fmt: skip

_MATCHES: Final = (
    "platform", "domain", "path_contains", "body_contains", "query_contains", "query_lacks",
    "per_page_over",
)  # fmt: skip
_PARAMETERS: Final = (
    "status", "headers", "body", "seconds", "location", "at", "lasting", "workers", "edits", "size",
    "encodings",
)  # fmt: skip
_PLACES: Final = {
    "reset": ("start", "middle"), "hang": ("start", "middle"), "twice": ("start", "end")
}  # fmt: skip

_PRINTED: Final = (
    "<br />\n<b>Deprecated</b>:  Creation of dynamic property Some_Plugin::$opt is deprecated in "
    "<b>/var/www/html/wp-content/plugins/some-plugin/some-plugin.php</b> on line <b>31</b><br />\n"
)


class InvalidFault(ValueError):
    """A rule that cannot be applied, with the reason."""


@dataclass(slots=True)
class FaultRule:
    """One rule. In its match, `per_page_over` is for lists of pages with more objects than that.

    A match that ends in `_contains` or `_lacks` is a text, or a list of texts that all hold. The
    first `skip` requests that match pass, then the rule hits `times` (None: all).

    `at` is for reset and hang: "start" is before anything is sent, "middle" after half the body.
    `lasting`: the rule ends so many seconds after its first hit.
    `printed`: PHP prints `body`, a message, before the platform's own answer. `gzip` is that answer
    compressed, without the header that says so.
    `workers` is the latency of a host with so many PHP processes: a request waits until one of them
    is free, and then takes `seconds`.

    These send the platform's own answer, with `headers` beside its own and `status` for its own:

    - `edit`: its JSON after `edits` (see `spoiling.edited`). `repeat`: the answer to the first
      request that was hit, to every one, after `edits`.
    - `twice`: one more member `body`, the text `"name":value`, at the "start" or the "end".
    - `drip`: `size` bytes every `seconds`.
    - `length`: a Content-Length that is `size` bytes too large, or too small if it is negative.
    - `chunks`: sent in chunks, and cut off before the last one.

    `bomb` and `large` are answers of `size` bytes in the platform's place: compressed by
    `encodings`, the innermost first, or not at all.
    """

    kind: str
    match: Mapping[str, Any] = field(default_factory=dict[str, Any])
    skip: int = 0
    times: int | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    seconds: float | None = None
    location: str | None = None
    at: str | None = None
    lasting: float | None = None
    workers: int | None = None
    edits: Sequence[Mapping[str, Any]] = ()
    size: int | None = None
    encodings: Sequence[str] = ()
    matched: int = 0
    applied: int = 0
    kept: tuple[dict[str, Any], bytes] | None = None
    over_at: float | None = None
    free_at: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidFault(f"kind {self.kind!r}: expected one of {', '.join(KINDS)}")
        unknown = sorted(set(self.match) - set(_MATCHES))
        if unknown:
            raise InvalidFault(f"match: unknown {', '.join(unknown)}")
        if self.kind == "latency" and self.seconds is None:
            raise InvalidFault("latency: seconds are missing")
        if self.kind == "workers":
            if self.seconds is None or not self.workers or self.workers < 1:
                raise InvalidFault("workers: workers or seconds are missing")
            self.free_at = [0.0] * self.workers
        if self.kind == "redirect" and not self.location:
            raise InvalidFault("redirect: location is missing")
        if self.at not in (None, *_PLACES.get(self.kind, ("start", "middle"))):
            raise InvalidFault(
                f"at: expected {' or '.join(_PLACES.get(self.kind, ('start', 'middle')))}"
            )
        if self.kind in ("drip", "length", "bomb", "large") and not self.size:
            raise InvalidFault(f"{self.kind}: size is missing")
        if self.kind == "drip" and self.seconds is None:
            raise InvalidFault("drip: seconds are missing")
        if self.kind == "bomb" and not (
            self.encodings and set(self.encodings) <= set(spoiling.ENCODINGS)
        ):
            raise InvalidFault(f"bomb: encodings: expected some of {list(spoiling.ENCODINGS)}")
        if any("path" not in edit for edit in self.edits):
            raise InvalidFault("edits: path is missing")

    def matches(
        self, service: str, domain: str, path: str, body: bytes, query: bytes = b""
    ) -> bool:
        match = self.match
        if "per_page_over" in match and _per_page(query) <= int(match["per_page_over"]):
            return False
        return (
            match.get("platform", service) == service
            and match.get("domain", domain) == domain
            and all(text in path for text in _texts(match, "path_contains"))
            and all(text.encode() in body for text in _texts(match, "body_contains"))
            and all(text.encode() in query for text in _texts(match, "query_contains"))
            and not any(text.encode() in query for text in _texts(match, "query_lacks"))
        )

    def hits(self) -> bool:
        """Count one matching request. Returns whether the rule hits it."""
        self.matched += 1
        if self.matched <= self.skip or (self.times is not None and self.applied >= self.times):
            return False
        if self.lasting is not None:
            now = time.monotonic()
            self.over_at = now + self.lasting if self.over_at is None else self.over_at
            if now >= self.over_at:
                return False
        self.applied += 1
        return True

    def latency(self, now: float) -> float:
        """The seconds that this rule adds to a request that comes at `now`."""
        if self.kind != "workers":
            return self.seconds or 0.0
        worker = min(range(len(self.free_at)), key=self.free_at.__getitem__)
        self.free_at[worker] = max(now, self.free_at[worker]) + (self.seconds or 0.0)
        return self.free_at[worker] - now

    def spoiled(self, content: bytes) -> bytes | None:
        """The platform's own body as this rule has it sent; None where it is sent in part."""
        match self.kind:
            case "bom":
                return codecs.BOM_UTF8 + content
            case "printed":
                return (_PRINTED if self.body is None else str(self.body)).encode() + content
            case "gzip":
                return spoiling.zipped(content)
            case "edit" | "repeat":
                return spoiling.edited(content, self.edits, self.applied)
            case "twice":
                return spoiling.with_member(content, str(self.body), first=self.at != "end")
            case _:
                return None

    def as_json(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in _PARAMETERS}
        return {
            "match": dict(self.match),
            "skip": self.skip,
            "times": self.times,
            "kind": self.kind,
            **{name: value for name, value in given.items() if value not in (None, {}, ())},
            "matched": self.matched,
            "applied": self.applied,
        }


class Faults:
    """The rules in force. Any thread may set them while requests are answered."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rules: tuple[FaultRule, ...] = ()
        self.closing = False
        self.replaced = 0

    def set(self, rules: Sequence[FaultRule | Mapping[str, Any]]) -> None:
        """Replace all rules, with new counters. Delayed requests go on. Raises InvalidFault."""
        read = tuple(
            rule if isinstance(rule, FaultRule) else rule_from_json(rule) for rule in rules
        )
        with self._lock:
            self._rules = read
            self.replaced += 1

    def clear(self) -> None:
        self.set(())

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [rule.as_json() for rule in self._rules]

    @property
    def any(self) -> bool:
        return bool(self._rules)

    def chosen(
        self, service: str, domain: str, path: str, body: bytes, query: bytes = b""
    ) -> tuple[float, FaultRule | None]:
        """The seconds of all latency and workers rules, and the first other rule that hits."""
        seconds = 0.0
        with self._lock:
            for rule in self._rules:
                if not rule.matches(service, domain, path, body, query) or not rule.hits():
                    continue
                if rule.kind not in ("latency", "workers"):
                    return seconds, rule
                seconds += rule.latency(time.monotonic())
        return seconds, None


def _texts(match: Mapping[str, Any], name: str) -> Sequence[str]:
    given = match.get(name, ())
    return (given,) if isinstance(given, str) else given


def _per_page(query: bytes) -> int:
    """The number of objects that a page of WooCommerce is asked for; 0 for no list."""
    written = parse_qs(query.decode("latin-1")).get("per_page", ["0"])[0]
    return int(written) if written.isascii() and written.isdigit() else 0


def rule_from_json(body: object) -> FaultRule:
    """Read a rule sent over HTTP. Raises InvalidFault."""
    if not isinstance(body, Mapping):
        raise InvalidFault("expected a JSON object per rule")
    given = dict(cast("Mapping[str, Any]", body))
    given.pop("matched", None)
    given.pop("applied", None)
    unknown = sorted(set(given) - {"match", "skip", "times", "kind", *_PARAMETERS})
    if unknown:
        raise InvalidFault(f"unknown: {', '.join(unknown)}")
    if "kind" not in given:
        raise InvalidFault("kind is missing")
    given["headers"] = dict(given.get("headers") or {})
    given["match"] = dict(given.get("match") or {})
    return FaultRule(**given)
