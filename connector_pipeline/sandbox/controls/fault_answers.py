"""The answers that come in the place of a platform's: statuses, pages, captchas, bombs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connector_pipeline.sandbox.answers import json_bytes
from connector_pipeline.sandbox.controls import spoiling
from connector_pipeline.sandbox.controls.faults import FaultRule

_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
)


@dataclass(frozen=True, slots=True)
class FaultAnswer:
    """An answer in place of the platform's."""

    status: int
    content: bytes
    headers: Mapping[str, str]


def answer_in_place(rule: FaultRule, service: str) -> FaultAnswer | None:
    """The answer in place of the platform's; None if the platform's own answer is spoiled."""
    match rule.kind:
        case "status":
            body = {"errors": "Sandbox fault"} if rule.body is None else rule.body
            return _answer(rule, rule.status or 500, body)
        case "html":
            return _page(rule, rule.status or 503, "Service Unavailable")
        case "captcha":
            return _page(rule, rule.status or 202, "One moment, please...")
        case "empty_json":
            return _answer(rule, rule.status or 200, {})
        case "garbage":
            content = b'{"data":{"products":\xff\xfe,,]'
            return FaultAnswer(rule.status or 200, content, _headers(rule, "application/json"))
        case "redirect":
            headers = _headers(rule, "text/html") | {"Location": rule.location or "/"}
            return FaultAnswer(rule.status or 302, b"", headers)
        case "body":
            return _answer(rule, rule.status or 200, "" if rule.body is None else rule.body)
        case "throttled":
            return _throttled(rule, service)
        case "bomb":
            # In the order in which they were applied (RFC 9110, 8.4).
            headers = {"Content-Encoding": ", ".join(rule.encodings)}
            content = spoiling.bomb(rule.size or 0, tuple(rule.encodings))
            return FaultAnswer(
                rule.status or 200, content, _headers(rule, "application/json") | headers
            )
        case _:
            return None


def _throttled(rule: FaultRule, service: str) -> FaultAnswer:
    if service != "shopify":
        page = _page(rule, rule.status or 429, "429 Too Many Requests")
        retry = {"Retry-After": str(int(rule.seconds or 2))}
        return FaultAnswer(page.status, page.content, retry | dict(page.headers))
    status = {"maximumAvailable": 2000.0, "currentlyAvailable": 0, "restoreRate": 100.0}
    cost = {"requestedQueryCost": 100, "actualQueryCost": None, "throttleStatus": status}
    error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
    return _answer(rule, rule.status or 200, {"errors": [error], "extensions": {"cost": cost}})


def _page(rule: FaultRule, status: int, title: str) -> FaultAnswer:
    text = rule.body if isinstance(rule.body, str) else _PAGE.format(title)
    return FaultAnswer(status, text.encode(), _headers(rule, "text/html; charset=UTF-8"))


def _answer(rule: FaultRule, status: int, body: Any) -> FaultAnswer:
    content = body.encode() if isinstance(body, str) else json_bytes(body)
    return FaultAnswer(status, content, _headers(rule, "application/json; charset=utf-8"))


def _headers(rule: FaultRule, content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type} | {
        name.title(): value for name, value in rule.headers.items()
    }
