"""Reads rate limits from headers, which platforms write under many names and in many units.

    Retry-After: 30                               seconds, or a date (RFC 9110, 10.2.3)
    Retry-After-Ms: 1500                          milliseconds, by the name's end
    X-RateLimit-Remaining: 0                      requests left until ...
    X-RateLimit-Reset: 1767225600                 ... a time, or so many seconds from now
    RateLimit: "default";r=0;t=30                 both (draft-ietf-httpapi-ratelimit-headers)
    RateLimit: limit=100, remaining=0, reset=30   both, as the draft had it before
    X-Call-Limit: 40/40                           used and allowed, of a bucket that leaks

A header that cannot be read counts as absent, and is no error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connector_pipeline.platforms.http.retrying import retry_after_seconds

# Seconds since 1970 have been above this since 2001, and no platform asks for a wait of 31 years.
_EPOCH: Final = 1e9
_EPOCH_MILLISECONDS: Final = 1e12
_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_USED: Final = re.compile(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*")
_PARAMETER: Final = re.compile(r"\b(remaining|reset|r|t)\s*=\s*([0-9]{1,9})\b")


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """The names of the headers in which a platform states its limit. The first one found counts.

    `used` names a header of the form used/allowed, for a bucket that regains `leaks_per_second`
    requests a second. The class fulfils `http.retrying.StatedLimit`.
    """

    retry_after: tuple[str, ...] = ("Retry-After",)
    remaining: tuple[str, ...] = ("RateLimit-Remaining", "X-RateLimit-Remaining")
    reset: tuple[str, ...] = ("RateLimit-Reset", "X-RateLimit-Reset")
    combined: tuple[str, ...] = ("RateLimit",)
    used: tuple[str, ...] = ()
    leaks_per_second: float = 1.0

    def after_refusal(self, headers: Mapping[str, str], now: datetime) -> float | None:
        """Seconds to wait before the refused request is retried; None where no header states it."""
        for name in self.retry_after:
            if (wait := _retry_after(name, headers, now)) is not None:
                return wait
        wait = self.after_answer(headers, now)
        return self._until_reset(headers, now) if wait is None else wait

    def after_answer(self, headers: Mapping[str, str], now: datetime) -> float | None:
        """Seconds to wait before the next request, if this answer used up the limit."""
        for name in self.used:
            used = _USED.fullmatch(headers.get(name, ""))
            if used is not None and int(used[1]) >= int(used[2]):
                return 1 / self.leaks_per_second
        if self._remaining(headers) == 0:
            return self._until_reset(headers, now)
        return None

    def _remaining(self, headers: Mapping[str, str]) -> float | None:
        for name in self.remaining:
            if (left := _number(headers.get(name))) is not None:
                return left
        return self._of_combined(headers, "remaining", "r")

    def _until_reset(self, headers: Mapping[str, str], now: datetime) -> float | None:
        for name in self.reset:
            if (wait := _until(headers.get(name), now)) is not None:
                return wait
        return self._of_combined(headers, "reset", "t")

    def _of_combined(self, headers: Mapping[str, str], *parameters: str) -> float | None:
        for name in self.combined:
            # Of several quotas, the smallest remainder and the longest wait count.
            found = [
                float(value)
                for parameter, value in _PARAMETER.findall(headers.get(name, ""))
                if parameter in parameters
            ]
            if found:
                return min(found) if "remaining" in parameters else max(found)
        return None


def _retry_after(name: str, headers: Mapping[str, str], now: datetime) -> float | None:
    written = headers.get(name)
    number = _number(written)
    if name.lower().endswith("-ms"):
        return None if number is None else number / 1000
    return number if number is not None else retry_after_seconds(written, now)


def _number(written: str | None) -> float | None:
    written = (written or "").strip()
    return float(written) if _NUMBER.fullmatch(written) else None


def _until(written: str | None, now: datetime) -> float | None:
    """Seconds until a reset.

    It is written as seconds from now, as seconds or milliseconds since 1970, or as a date.
    """
    number = _number(written)
    if number is None:
        return _until_date(written, now)
    if number < _EPOCH:
        return number
    at = number / 1000 if number >= _EPOCH_MILLISECONDS else number
    return max(0.0, at - now.timestamp())


def _until_date(written: str | None, now: datetime) -> float | None:
    try:
        at = datetime.fromisoformat((written or "").strip())
    except ValueError:
        return retry_after_seconds(written, now)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    try:
        return max(0.0, (at - now).total_seconds())
    except OverflowError:
        return None
