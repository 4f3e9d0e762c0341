"""Judges whole answers: their JSON, the pages that came in its place, and what may pass."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable, RateLimited
from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.http.bounds import MOST_OF_A_REFUSAL, Bound, TooLarge
from connector_pipeline.platforms.http.challenge import TroublePages, challenge, own_trouble
from connector_pipeline.platforms.http.json_body import UnreadableJson, parse_json
from connector_pipeline.platforms.http.json_shape import begins_as_json, takes_more
from connector_pipeline.platforms.http.retrying import OVERLOADED, RETRIED_STATUSES, StatedLimit
from connector_pipeline.platforms.http.spoiled_body import (
    json_among_messages,
    printed_messages,
    unzipped,
)

# The shop, or a proxy before it, gave up waiting.
_SLOW: Final = frozenset({408, 504, 524})
# With these, a host may report that it broke over an answer: PHP ran out of memory or was killed.
_BROKE: Final = frozenset({500, 502, 503, 508, 520, 521, 522, 523, 524})

_REMEDY_OF_TOO_LARGE: Final = (
    "Only the next sync tries again. No page needs as much: ask the merchant which plugin or "
    "server makes the answers of the shop's API so large."
)
_REMEDY_OF_UNREADABLE: Final = (
    "Only the next sync tries again. Something of the shop writes what is no JSON into the answers "
    "of its API: ask the merchant which plugin changes them."
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Trouble that may pass: the try is repeated, and after the last retry `error` is raised.

    `retry_after` is the seconds that the answer asks to wait. `overloaded` and `slow` say that the
    shop was asked too much, or for too much. `heavy`: a smaller answer may not meet this trouble; a
    captcha in the shop's place and a limit with a stated wait never are. `soon_over`: the trouble
    lasts seconds, whatever `retry_after` says, and no adapter wants its answer.
    """

    error: PlatformUnavailable
    retry_after: float | None = None
    overloaded: bool = False
    slow: bool = False
    heavy: bool = False
    soon_over: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer's JSON, with the bytes that it was read from; None where the body has none.

    `is_json` tells the JSON null from no JSON. `printed` are the words for what PHP printed
    around the JSON. `unreadable` are the words for a value because of which JSON is not read.
    """

    body: bytes
    json: Any = None
    is_json: bool = True
    unreadable: str | None = None
    trouble: Trouble | None = None
    printed: str | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the answers of one origin, which `where` names."""

    where: str
    bound: Bound
    stated_limit: StatedLimit
    trouble_pages: TroublePages

    def most_bytes(self, status: int) -> int:
        """How many bytes of an answer's body are read."""
        return self.bound.body if status < 400 else min(self.bound.body, MOST_OF_A_REFUSAL)

    def too_large(self) -> TooLarge:
        """The exception for a body of more bytes than are read."""
        return TooLarge(
            InvalidResponse(
                f"{self.where} sent more than {self.bound.body:,} bytes in one answer.",
                remedy=_REMEDY_OF_TOO_LARGE,
            )
        )

    def judged(self, status: int, headers: Mapping[str, str], body: bytes) -> Judged:
        """What an answer is.

        Raises TooLarge, and InvalidResponse for JSON with a value that cannot be read.
        """
        most = self.most_bytes(status)
        body = unzipped(body, most)
        if len(body) > most:
            if status < 400:
                raise self.too_large()
            body = body[:most]
        if not takes_more(body, self.bound.parsed):
            read = self._read(body)
        elif status < 400 and begins_as_json(body):
            raise self._too_costly(len(body))
        else:
            read = Judged(body, is_json=False)
        if status in RETRIED_STATUSES:
            return replace(read, trouble=self._failed(status, headers, read))
        if read.unreadable is not None and status < 400:
            raise InvalidResponse(
                f"{self.where} answered {status} with JSON that cannot be read: {read.unreadable}.",
                remedy=_REMEDY_OF_UNREADABLE,
            )
        if not read.is_json and status < 400:
            # A captcha, a maintenance page or a body cut off. Its status does not show that, but it
            # does not parse (docs/facts/woocommerce.md, Answers by others).
            return replace(read, trouble=self._not_json(status, headers, body))
        return read

    def _too_costly(self, length: int) -> TooLarge:
        return TooLarge(
            InvalidResponse(
                f"{self.where} sent {length:,} bytes of JSON that may take more than "
                f"{self.bound.parsed:,} bytes of memory.",
                remedy=_REMEDY_OF_TOO_LARGE,
            )
        )

    @staticmethod
    def _read(body: bytes) -> Judged:
        try:
            return Judged(body, parse_json(body))
        except UnreadableJson as error:
            return Judged(body, is_json=False, unreadable=str(error))
        except ValueError:
            found = json_among_messages(body)
        if found is None:
            return Judged(body, is_json=False)
        return Judged(found.body, found.json, printed=found.around)

    def _failed(self, status: int, headers: Mapping[str, str], read: Judged) -> Trouble:
        kind = RateLimited if status == 429 else PlatformUnavailable
        look = own_trouble if read.is_json else challenge
        found = look(status, headers, read.body, self.trouble_pages)
        printed = None if found or read.is_json else printed_messages(read.body)
        seconds = self.stated_limit.after_refusal(headers, datetime.now(UTC))
        soon_over = found is not None and found.soon_over
        looks_like = found.looks_like if found else printed
        return Trouble(
            kind(
                f"{self.where} answered {status}{f' with {looks_like}' if looks_like else ''}.",
                remedy=found.remedy if found else None,
            ),
            seconds,
            overloaded=status in OVERLOADED,
            slow=status in _SLOW,
            heavy=status in _BROKE and seconds is None and not soon_over,
            soon_over=soon_over,
        )

    def _not_json(self, status: int, headers: Mapping[str, str], body: bytes) -> Trouble:
        found = challenge(status, headers, body, self.trouble_pages)
        printed = printed_messages(body) if found is None else None
        if found is not None:
            looks_like, remedy = found.looks_like, found.remedy
        elif printed is not None:
            looks_like = f"{printed} are printed into the answer"
            remedy = (
                "It will be retried with the next sync. Ask the merchant to turn off PHP's "
                "display_errors, and to repair or update what the messages name."
            )
        else:
            looks_like, remedy = "a captcha, a maintenance page or a body cut off", None
        media_type = clipped(
            headers.get("Content-Type", "no content type").split(";")[0], most_bytes=40
        )
        return Trouble(
            PlatformUnavailable(
                f"{self.where} answered {status} with {len(body)} bytes of "
                f"{media_type} that are not JSON: {looks_like}.",
                remedy=remedy,
            ),
            heavy=found is None,
            soon_over=found is not None and found.soon_over,
        )
