"""Which failed requests are retried, and after how long: the same for answers and for files."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from connector_pipeline.model.errors import RateLimited

RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """How patient one shop's client is, in seconds, and how much it reads, in bytes.

    `retry_after_limit` is the longest wait that one Retry-After may ask for; RateLimited is raised
    for a longer one. `plain_http` allows HTTP, for requests that carry no secret or only a
    signature.
    """

    max_retries: int = 3
    retry_delay: float = 1.0
    retry_delay_limit: float = 30.0
    retry_after_limit: float = 120.0
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    max_body_bytes: int = 64 * 1024 * 1024
    allow_private_hosts: bool = False
    plain_http: bool = False


class StatedLimit(Protocol):
    """Reads a rate limit from answers, as seconds to wait; None where an answer states none."""

    def after_refusal(self, headers: Mapping[str, str], now: datetime) -> float | None:
        """How long to wait before the refused request is retried."""
        ...

    def after_answer(self, headers: Mapping[str, str], now: datetime) -> float | None:
        """How long to wait before the next request, if this answer used up the limit."""
        ...


class RetryAfter:
    """Reads the limit of a platform that states it only with a refusal, in `Retry-After`."""

    def after_refusal(self, headers: Mapping[str, str], now: datetime) -> float | None:
        """The seconds that `Retry-After` asks for."""
        return retry_after_seconds(headers.get("Retry-After"), now)

    def after_answer(self, headers: Mapping[str, str], now: datetime) -> float | None:
        """None: only refusals state the limit."""
        return None


def wait_before_retry(
    policy: HttpPolicy, attempt: int, retry_after: float | None, *, where: str
) -> float:
    """Seconds to wait before retry number `attempt`, from 0. Raises RateLimited past the limit."""
    if retry_after is not None:
        if retry_after > policy.retry_after_limit:
            raise RateLimited(
                f"{where} asks to wait {retry_after:.0f} s, "
                f"more than the {policy.retry_after_limit:.0f} s one sync waits."
            )
        return retry_after
    ceiling = min(policy.retry_delay_limit, policy.retry_delay * 2**attempt)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311  jitter, not a secret


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date; None if unreadable."""
    if header is None:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit() and len(header) < 10:
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
