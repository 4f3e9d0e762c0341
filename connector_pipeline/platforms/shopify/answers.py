"""Judges an answer of Shopify's GraphQL endpoint by its status and body.

Most errors arrive with HTTP 200 and have a code in `errors[].extensions.code`
(https://shopify.dev/docs/api/admin-graphql/latest#status-and-error-codes).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.http.challenge import TroublePages, challenge
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.json_values import is_list, is_object, objects_in, value_at
from connector_pipeline.platforms.shopify.failed_fields import failed_fields

_LONGEST_MESSAGE: Final = 300
_MOST_SCOPES: Final = 10


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

    `reason` continues a sentence that begins with "Shopify". `retry` is for UNAVAILABLE alone, and
    so is `heavy`: a smaller page may help. `partial`: only fields of single products failed, and
    the rest of the data may be used. `scopes` are the access scopes that the token may lack.
    `about_credentials` is whether another token may help against a refusal. `foreign`: a firewall
    or a proxy answered in Shopify's place.
    """

    meaning: Meaning
    reason: str = ""
    retry: bool = False
    heavy: bool = False
    partial: bool = False
    scopes: tuple[str, ...] = ()
    about_credentials: bool = True
    foreign: bool = False


_REFUSED_STATUSES: Final = {
    401: "does not accept the access token (401)",
    402: "has frozen the shop, its bill is unpaid (402)",
    403: "denies access (403)",
    404: "knows no such shop (404)",
    423: "has locked the shop (423)",
}
_REFUSES_THE_TOKEN: Final = frozenset({401, 403})
# "`read_products` access scope. Also: ..."
_SCOPE: Final = re.compile(r"\b(?:unauthenticated_)?(?:read|write)_[a-z_]{1,60}\b")
_OUR_SCOPES: Final = ("read_products",)
_REQUIRED_ACCESS: Final = ("extensions", "requiredAccess")
_UNAVAILABLE_STATUSES: Final = {
    430: "turned the request away as a security risk (430)",
    540: "has disabled the shop's API for now (540)",
}

HEAVY_STATUSES: Final = frozenset({500, 502, 503})
"""Statuses that a page which is too heavy may have, beside those of an answer that is too slow."""

# In the order of their precedence: an answer may carry several errors, and a refusal lasts longer
# than any other error beside it.
_CODES: Final = {
    "SHOP_INACTIVE": Meaning.REFUSED,
    "ACCESS_DENIED": Meaning.REFUSED,
    "MAX_COST_EXCEEDED": Meaning.TOO_EXPENSIVE,
    "THROTTLED": Meaning.THROTTLED,
    "INTERNAL_SERVER_ERROR": Meaning.UNAVAILABLE,
    "TIMEOUT": Meaning.UNAVAILABLE,
}

# The beginnings of messages, in lower case, of errors that came without a code, with the code that
# they stand for (docs/facts/shopify.md, Errors in a 200).
_MESSAGES_WITHOUT_CODE: Final = {
    "throttled": "THROTTLED",
    "timeout": "TIMEOUT",
    "timed out": "TIMEOUT",
    "request timeout": "TIMEOUT",
    "request timed out": "TIMEOUT",
    "query timeout": "TIMEOUT",
    "query timed out": "TIMEOUT",
    "internal error": "INTERNAL_SERVER_ERROR",
    "internal server error": "INTERNAL_SERVER_ERROR",
    "internal_server_error": "INTERNAL_SERVER_ERROR",
    "something went wrong": "INTERNAL_SERVER_ERROR",
    "looks like something went wrong": "INTERNAL_SERVER_ERROR",
    "service unavailable": "INTERNAL_SERVER_ERROR",
}


def judge(answer: Answer) -> JudgedAnswer:
    """Judge one answer. Raises no error for any body."""
    status = answer.status
    if status in _UNAVAILABLE_STATUSES:
        return JudgedAnswer(Meaning.UNAVAILABLE, _UNAVAILABLE_STATUSES[status])
    if status >= 500:
        return JudgedAnswer(
            Meaning.UNAVAILABLE, f"answered {status}", heavy=status in HEAVY_STATUSES
        )
    if status != 200 and not _is_shopifys(answer.json):
        return _foreign(answer)
    if status in _REFUSED_STATUSES:
        return JudgedAnswer(
            Meaning.REFUSED,
            _REFUSED_STATUSES[status],
            scopes=_OUR_SCOPES if status == 403 else (),
            about_credentials=status in _REFUSES_THE_TOKEN,
        )
    if status != 200:
        return JudgedAnswer(Meaning.INVALID, f"answered {status}: {_first_message(answer.json)}")
    body: object = answer.json
    if not is_object(body):
        return JudgedAnswer(Meaning.INVALID, "answered 200 with JSON that is not an object")
    if body.get("errors"):
        return _of_errors(body)
    warnings = list(_search_warnings(body))
    if warnings:
        # Shopify ignores an invalid filter and lists everything. Only the warning shows that.
        return JudgedAnswer(Meaning.INVALID, f"warns about the search: {warnings[0]}")
    if not is_object(body.get("data")):
        return JudgedAnswer(Meaning.INVALID, "answered 200 with neither data nor errors")
    return JudgedAnswer(Meaning.DATA)


def _is_shopifys(body: object) -> bool:
    """Whether Shopify itself wrote an error's body (docs/facts/shopify.md, HTTP statuses)."""
    errors = value_at(body, "errors")
    return bool(errors) and (isinstance(errors, str) or is_list(errors) or is_object(errors))


def _foreign(answer: Answer) -> JudgedAnswer:
    """The judgement of a page of a firewall, a proxy or a hotel's login, which passes in time."""
    media_type = clipped(
        answer.headers.get("Content-Type", "no content type").split(";")[0], most_bytes=40
    )
    found = challenge(answer.status, answer.headers, answer.body, TroublePages())
    looks_like = f": {found.looks_like}" if found else ""
    return JudgedAnswer(
        Meaning.UNAVAILABLE,
        f"did not answer itself: {answer.status} came with a page that is not Shopify's "
        f"({len(answer.body)} bytes of {media_type}{looks_like})",
        retry=True,
        foreign=True,
    )


def _of_errors(body: dict[str, Any]) -> JudgedAnswer:
    errors = body["errors"]
    by_code: dict[str, dict[str, Any]] = {}
    for error in objects_in([{"message": errors}] if isinstance(errors, str) else errors):
        by_code.setdefault(_code(error), error)
    partial = bool(failed_fields(body))
    for code, meaning in _CODES.items():
        if code in by_code:
            error = by_code[code]
            passing = meaning is Meaning.UNAVAILABLE
            return JudgedAnswer(
                meaning,
                _reason(code, error),
                retry=passing,
                # A smaller page does not help a field that fails by itself.
                heavy=passing and (code == "TIMEOUT" or not partial),
                partial=passing and partial,
                scopes=_missing_scopes(error) if code == "ACCESS_DENIED" else (),
                about_credentials=code != "SHOP_INACTIVE",
            )
    return JudgedAnswer(
        Meaning.INVALID,
        f"answered with an error: {_first_message({'errors': errors})}",
        partial=partial,
    )


def _code(error: dict[str, Any]) -> str:
    """The error's code, or the one that its message stands for where it has none."""
    code = value_at(error, "extensions", "code")
    if code:
        return str(code)
    message = error.get("message")
    begins = message.strip().lower() if isinstance(message, str) else ""
    for beginning, meant in _MESSAGES_WITHOUT_CODE.items():
        if begins.startswith(beginning):
            return meant
    return ""


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
            return tuple(dict.fromkeys(named))[:_MOST_SCOPES]
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
    shown = clipped(text, most_bytes=_LONGEST_MESSAGE)
    # A sentence goes on behind it.
    return f"{shown[:-1]}..." if shown.endswith("…") else shown
