"""Which failed requests are retried, and after how long: the same for answers and for files."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.platforms.http.bounds import PAGE, Bound
from connector_pipeline.platforms.http.resolving import Resolve, system_addresses

# The 5xx of the standard that may pass (not: 501, not implemented; 505, not this HTTP; 511, a login
# of the network's own), and those of content networks and hosting companies.
RETRIED_STATUSES: Final = frozenset(
    {408, 425, 429, 500, 502, 503, 504, 506, 507, 508, 509, 510, *range(520, 531), 598, 599}
)

OVERLOADED: Final = frozenset({429, 503, 508, 529})
"""The statuses by which a host says that it is asked too much: 508 and 529 are hosting companies'
own words for a limit of the shop's resources (docs/facts/woocommerce.md, Answers by others)."""

_READS_A_TRY: Final = 3
SOON_OVER: Final = (2.0, 4.0, 8.0, 12.0, 16.0)
"""The waits, in units of the policy's `retry_delay`, before trouble of seconds is given up."""


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """How patient one shop's client is, in seconds, and how much it reads of one answer.

    `retry_after_limit` is the longest wait that one Retry-After may ask for. `read_timeout` is for
    each part of an answer, and `answer_timeout` for one try as a whole; None: three times as long.
    `plain_http` allows HTTP, for requests that carry no secret or only a signature. `through_proxy`
    is whether requests go through the proxy of the settings, if they name one. `resolve` gives the
    addresses of each host that no proxy resolves.
    """

    max_retries: int = 3
    retry_delay: float = 1.0
    retry_delay_limit: float = 30.0
    retry_after_limit: float = 120.0
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    answer_timeout: float | None = None
    bound: Bound = PAGE
    allow_private_hosts: bool = False
    plain_http: bool = False
    through_proxy: bool = True
    resolve: Resolve = system_addresses

    @property
    def longest_try(self) -> float:
        """Seconds from connecting to the last byte of an answer; of a file, to its head's end.

        Each read of an answer that comes byte by byte is in time.
        """
        if self.answer_timeout is not None:
            return self.answer_timeout
        return _READS_A_TRY * self.read_timeout


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
    policy: HttpPolicy, attempt: int, retry_after: float | None, error: PlatformUnavailable
) -> float:
    """Seconds to wait before retry number `attempt`, from 0, after a try that ended in `error`.

    Raises an error of the same class where the host asks for a longer wait than the policy's limit.
    """
    if retry_after is not None:
        if retry_after > policy.retry_after_limit:
            raise type(error)(
                f"{error.message.removesuffix('.')} and asks to wait {retry_after:.0f} s, "
                f"more than the {policy.retry_after_limit:.0f} s one sync waits.",
                remedy=error.remedy,
            ) from error
        return retry_after
    return own_delay(policy, attempt)


def own_delay(policy: HttpPolicy, attempt: int) -> float:
    """Seconds to wait before retry number `attempt`, from 0, where no answer asks for any."""
    ceiling = min(policy.retry_delay_limit, policy.retry_delay * 2**attempt)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311  jitter, not a secret


def wait_for_the_end(policy: HttpPolicy, attempt: int) -> float | None:
    """Seconds to wait before retry number `attempt`, from 0, of trouble that lasts seconds.

    None where it is given up: after some forty seconds at the usual delay, or at once by a policy
    without retries.
    """
    if not policy.max_retries or attempt >= len(SOON_OVER):
        return None
    return SOON_OVER[attempt] * policy.retry_delay


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
