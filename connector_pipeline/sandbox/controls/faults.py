"""Faults and latency, set by rules: a rule names its requests, its number and its fault."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, cast
from urllib.parse import parse_qs

from connector_pipeline.sandbox.answers import json_bytes

KINDS: Final = (
    "status", "html", "truncate", "reset", "hang", "latency", "empty_json", "garbage", "captcha",
    "redirect", "throttled", "body", "workers", "bom",
)  # fmt: skip

_MATCHES: Final = ("platform", "domain", "path_contains", "body_contains", "per_page_over")
_PARAMETERS: Final = (
    "status", "headers", "body", "seconds", "location", "at", "lasting", "workers"
)  # fmt: skip

_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
)


class InvalidFault(ValueError):
    """A rule that cannot be applied, with the reason."""


@dataclass(frozen=True, slots=True)
class FaultAnswer:
    """An answer in place of the platform's."""

    status: int
    content: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class FaultRule:
    """One rule. In its match, `per_page_over` is for lists of pages with more objects than that.

    The first `skip` requests that match pass, then it hits `times` (None: all).

    `at` is for reset and hang: "start" is before anything is sent, "middle" after half the body.
    `lasting`: the rule ends so many seconds after its first hit.
    `workers` is the latency of a host with so many PHP processes: a request waits until one of them
    is free, and then takes `seconds`.
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
    matched: int = 0
    applied: int = 0
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
        if self.at not in (None, "start", "middle"):
            raise InvalidFault("at: expected start or middle")

    def matches(
        self, service: str, domain: str, path: str, body: bytes, query: bytes = b""
    ) -> bool:
        match = self.match
        if "per_page_over" in match and _per_page(query) <= int(match["per_page_over"]):
            return False
        return (
            match.get("platform", service) == service
            and match.get("domain", domain) == domain
            and match.get("path_contains", "") in path
            and match.get("body_contains", "").encode() in body
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

    def as_json(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in _PARAMETERS}
        return {
            "match": dict(self.match),
            "skip": self.skip,
            "times": self.times,
            "kind": self.kind,
            **{name: value for name, value in given.items() if value not in (None, {})},
            "matched": self.matched,
            "applied": self.applied,
        }

    def answer(self, service: str) -> FaultAnswer | None:
        """The answer in place of the platform's; None if the platform's own answer is spoiled."""
        match self.kind:
            case "status":
                body = {"errors": "Sandbox fault"} if self.body is None else self.body
                return self._answer(self.status or 500, body)
            case "html":
                return self._page(self.status or 503, "Service Unavailable")
            case "captcha":
                return self._page(self.status or 202, "One moment, please...")
            case "empty_json":
                return self._answer(self.status or 200, {})
            case "garbage":
                content = b'{"data":{"products":\xff\xfe,,]'
                return FaultAnswer(self.status or 200, content, self._headers("application/json"))
            case "redirect":
                headers = self._headers("text/html") | {"Location": self.location or "/"}
                return FaultAnswer(self.status or 302, b"", headers)
            case "body":
                return self._answer(self.status or 200, "" if self.body is None else self.body)
            case "throttled":
                return self._throttled(service)
            case _:
                return None

    def _throttled(self, service: str) -> FaultAnswer:
        if service != "shopify":
            page = self._page(self.status or 429, "429 Too Many Requests")
            retry = {"Retry-After": str(int(self.seconds or 2))}
            return FaultAnswer(page.status, page.content, retry | dict(page.headers))
        status = {"maximumAvailable": 2000.0, "currentlyAvailable": 0, "restoreRate": 100.0}
        cost = {"requestedQueryCost": 100, "actualQueryCost": None, "throttleStatus": status}
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return self._answer(self.status or 200, {"errors": [error], "extensions": {"cost": cost}})

    def _page(self, status: int, title: str) -> FaultAnswer:
        text = self.body if isinstance(self.body, str) else _PAGE.format(title)
        return FaultAnswer(status, text.encode(), self._headers("text/html; charset=UTF-8"))

    def _answer(self, status: int, body: Any) -> FaultAnswer:
        content = body.encode() if isinstance(body, str) else json_bytes(body)
        return FaultAnswer(status, content, self._headers("application/json; charset=utf-8"))

    def _headers(self, content_type: str) -> dict[str, str]:
        return {"Content-Type": content_type} | {
            name.title(): value for name, value in self.headers.items()
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
