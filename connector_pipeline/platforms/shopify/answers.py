"""Judges an answer of Shopify's GraphQL endpoint by its status and body.

Most errors arrive with HTTP 200 and have a code in `errors[].extensions.code`
(https://shopify.dev/docs/api/admin-graphql/latest#status-and-error-codes).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.json_values import is_object, objects_in, value_at

_MESSAGE_LIMIT: Final = 300


class Meaning(Enum):
    """The meaning of an answer, which decides how the client goes on."""

    DATA = auto()
    THROTTLED = auto()
    TOO_EXPENSIVE = auto()
    REFUSED = auto()
    UNAVAILABLE = auto()
    INVALID = auto()


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """The meaning of one answer, with the reason.

    `reason` continues a sentence that begins with "Shopify". `retry` is for UNAVAILABLE alone.
    `scopes` are the access scopes that the token may lack.
    """

    meaning: Meaning
    reason: str = ""
    retry: bool = False
    scopes: tuple[str, ...] = ()


_REFUSED_STATUSES: Final = {
    401: "does not accept the access token (401)",
    402: "has frozen the shop, its bill is unpaid (402)",
    403: "denies access (403)",
    404: "knows no such shop (404)",
    423: "has locked the shop (423)",
}
# "`read_products` access scope. Also: ..."
_SCOPE: Final = re.compile(r"\b(?:unauthenticated_)?(?:read|write)_[a-z_]+\b")
_OUR_SCOPES: Final = ("read_products",)
_REQUIRED_ACCESS: Final = ("extensions", "requiredAccess")
_UNAVAILABLE_STATUSES: Final = {
    430: "turned the request away as a security risk (430)",
    540: "has disabled the shop's API for now (540)",
}

# In the order of their precedence: an answer may carry several errors, and a refusal lasts longer
# than any other error beside it.
_CODES: Final = {
    "SHOP_INACTIVE": Meaning.REFUSED,
    "ACCESS_DENIED": Meaning.REFUSED,
    "MAX_COST_EXCEEDED": Meaning.TOO_EXPENSIVE,
    "THROTTLED": Meaning.THROTTLED,
    "INTERNAL_SERVER_ERROR": Meaning.UNAVAILABLE,
}


def judge(answer: Answer) -> JudgedAnswer:
    """Judge one answer. Raises no error for any body."""
    status = answer.status
    if status in _REFUSED_STATUSES:
        scopes = _OUR_SCOPES if status == 403 else ()
        return JudgedAnswer(Meaning.REFUSED, _REFUSED_STATUSES[status], scopes=scopes)
    if status in _UNAVAILABLE_STATUSES:
        return JudgedAnswer(Meaning.UNAVAILABLE, _UNAVAILABLE_STATUSES[status])
    if status >= 500:
        return JudgedAnswer(Meaning.UNAVAILABLE, f"answered {status}")
    if status != 200:
        return JudgedAnswer(Meaning.INVALID, f"answered {status}: {_first_message(answer.json)}")
    body: object = answer.json
    if not is_object(body):
        return JudgedAnswer(Meaning.INVALID, "answered 200 with JSON that is not an object")
    if body.get("errors"):
        return _of_errors(body["errors"])
    warnings = list(_search_warnings(body))
    if warnings:
        # Shopify ignores an invalid filter and lists everything. Only the warning shows that.
        return JudgedAnswer(Meaning.INVALID, f"warns about the search: {warnings[0]}")
    if not is_object(body.get("data")):
        return JudgedAnswer(Meaning.INVALID, "answered 200 with neither data nor errors")
    return JudgedAnswer(Meaning.DATA)


def _of_errors(errors: object) -> JudgedAnswer:
    by_code: dict[str, dict[str, Any]] = {}
    for error in objects_in(errors):
        by_code.setdefault(str(value_at(error, "extensions", "code")), error)
    for code, meaning in _CODES.items():
        if code in by_code:
            error = by_code[code]
            return JudgedAnswer(
                meaning,
                _reason(code, error),
                retry=meaning is Meaning.UNAVAILABLE,
                scopes=_missing_scopes(error) if code == "ACCESS_DENIED" else (),
            )
    return JudgedAnswer(
        Meaning.INVALID, f"answered with an error: {_first_message({'errors': errors})}"
    )


def _reason(code: str, error: dict[str, Any]) -> str:
    if code == "SHOP_INACTIVE":
        return f"says that the shop is closed ({code})"
    message = _shortened(error.get("message"))
    if code != "ACCESS_DENIED":
        return f"answered {code}: {message}"
    required = value_at(error, *_REQUIRED_ACCESS)
    if isinstance(required, str) and required not in message:
        message = f"{message} Required: {_shortened(required)}"
    return f"denies access ({code}: {message})"


def _missing_scopes(error: dict[str, Any]) -> tuple[str, ...]:
    """The scopes that the sentence in `requiredAccess` names; else the one that we need."""
    for stated in (value_at(error, *_REQUIRED_ACCESS), error.get("message")):
        named = _SCOPE.findall(stated) if isinstance(stated, str) else []
        if named:
            return tuple(dict.fromkeys(named))
    return _OUR_SCOPES


def _first_message(body: object) -> str:
    """The first error's message: `errors` is a list of objects, or a string, or an object."""
    errors = value_at(body, "errors")
    for error in objects_in(errors):
        if "message" in error:
            return _shortened(error["message"])
    return _shortened(errors) if errors else "without saying why"


def _search_warnings(body: dict[str, Any]) -> Iterator[str]:
    for search in objects_in(value_at(body, "extensions", "search")):
        for warning in objects_in(search.get("warnings")):
            yield _shortened(warning.get("message"))


def _shortened(message: object) -> str:
    text = " ".join(message.split()) if isinstance(message, str) else repr(message)
    return text if len(text) <= _MESSAGE_LIMIT else f"{text[:_MESSAGE_LIMIT]}..."
