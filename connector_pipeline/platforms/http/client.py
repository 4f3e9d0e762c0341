"""One HTTP client for all platforms: retries, turns, body checks, redirects, size limits.

Below `platforms/`, only the modules of this folder import httpx. A change to another HTTP library
touches no adapter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self

import httpx

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable, RateLimited
from connector_pipeline.platforms.http.challenge import Challenge, TroublePages, challenge
from connector_pipeline.platforms.http.connecting import http_client, origin_of, refuse_private_host
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.http.retrying import (
    RETRIED_STATUSES,
    HttpPolicy,
    RetryAfter,
    StatedLimit,
    wait_before_retry,
)
from connector_pipeline.platforms.http.signing import SIGNER, Signer, SigningTransport
from connector_pipeline.platforms.kit.contract import FetchReport

_OVERLOADED: Final = frozenset({429, 503})
# The shop, or a proxy before it, gave up waiting.
_SLOW: Final = frozenset({408, 504, 524})
# With these, a host may report that it broke over an answer: PHP ran out of memory or was killed.
_BROKE: Final = frozenset({500, 502, 503, 508, 520, 521, 522, 523, 524})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 3
_NO_PAGES: Final = TroublePages()
_RETRY_AFTER: Final = RetryAfter()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: `body` as received, `json` its parsed form (numbers as int and Decimal).

    The answer to a signed request has no `Link` header, which may repeat the credentials.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


class PaceSignal(Enum):
    """The sign that one try of a request gives the pace of how busy the platform is."""

    ANSWERED = "answered"
    OVERLOADED = "overloaded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Turn:
    """The leave that the pace gives to one try of a request.

    `under_way` counts the requests under way when the try began, itself included. `began` is the
    time of that, in seconds of the event loop's clock.
    """

    path: str
    under_way: int
    began: float


class Pacer(Protocol):
    """Decides when the origin may be asked. Every try of every request takes a turn."""

    async def enter(self, path: str) -> Turn:
        """Wait for a turn."""
        ...

    def leave(self, turn: Turn, signal: PaceSignal) -> None:
        """End a turn. It is called once for each turn, also after an error."""
        ...

    def pause(self, seconds: float) -> None:
        """Give no turn for this long, and count the seconds in the report."""
        ...


class SlowAnswer(Exception):
    """The answer took too long, and the caller wants to ask for less instead of retrying."""


class HeavyAnswer(Exception):
    """The host broke over the answer repeatedly, and the caller wants to ask for less.

    `error` is the error to raise where less cannot be asked for. `answer` is the last answer, if it
    had a status that is retried.
    """

    def __init__(self, error: PlatformUnavailable, answer: Answer | None = None):
        super().__init__(str(error))
        self.error = error
        self.answer = answer


class _Passing(Exception):
    """Trouble that may pass. The try is repeated, and after the last retry `error` is raised.

    `answer` is the answer with a status that is retried. It is returned instead of the error where
    the adapter asked for such an answer in the end (`accept_in_the_end`).

    `heavy`: a smaller answer may not meet this trouble. A host that cannot be connected to, a
    captcha in the shop's place and a limit with a stated wait are never `heavy`.
    """

    def __init__(
        self,
        error: PlatformUnavailable,
        retry_after: float | None = None,
        answer: Answer | None = None,
        *,
        overloaded: bool = False,
        slow: bool = False,
        heavy: bool = False,
    ):
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after
        self.answer = answer
        self.overloaded = overloaded
        self.slow = slow
        self.heavy = heavy


class OriginHttp:
    """HTTP with one origin and no other, so that credentials given here cannot go elsewhere.

    Every request counts in `report`. `trouble_pages` are the pages that may answer in the shop's
    place. `stated_limit` reads from an answer how long to wait: after a refusal always, and after
    another answer only with a `pacer`. An answer with any status that is not retried is returned,
    and the adapter decides on its meaning.

    Raises PlatformUnavailable, RateLimited, InvalidResponse.
    """

    def __init__(
        self,
        base_url: str,
        *,
        policy: HttpPolicy,
        report: FetchReport,
        pacer: Pacer | None = None,
        stated_limit: StatedLimit = _RETRY_AFTER,
        trouble_pages: TroublePages = _NO_PAGES,
    ):
        self._pacer = pacer
        self._stated_limit = stated_limit
        self._trouble_pages = trouble_pages
        self._base_url = base_url.rstrip("/")
        self._origin = origin_of(httpx.URL(base_url))
        self._policy = policy
        self._report = report
        self._host_checked = False
        self.reached = False
        """Whether the host ever accepted a connection, over TLS if the scheme is https."""
        self._client = http_client(policy, accept="application/json", transport=SigningTransport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        content: Any = None,
        signer: Signer | None = None,
        accept_retried: frozenset[int] = frozenset(),
        accept_in_the_end: frozenset[int] = frozenset(),
        follow_redirects: bool = True,
        retry_slow: bool = True,
        retries_if_heavy: int | None = None,
    ) -> Answer:
        """Send a request for `path` below the shop's base URL and return the answer.

        `content` is sent as JSON. `signer` gives the query parameters that authenticate a try.
        `accept_retried` are statuses that are returned although they are usually retried.
        `accept_in_the_end` are statuses that are returned when no retry helped. Where `retry_slow`
        is false, an answer that takes too long raises SlowAnswer at once. Where `retries_if_heavy`
        is given, trouble that a smaller answer may not meet raises HeavyAnswer after so many
        retries, and after no more than the policy has.
        """
        asked = partial(
            self._once,
            method,
            path,
            params,
            headers,
            content,
            {} if signer is None else {SIGNER: signer},
            accept_retried,
            follow_redirects,
        )
        attempt = 0
        while True:
            try:
                return await self._in_turn(path, asked)
            except _Passing as passing:
                if passing.slow and not retry_slow:
                    raise SlowAnswer(str(passing)) from passing
                most = None if not passing.heavy else retries_if_heavy
                if most is not None and attempt >= min(most, self._policy.max_retries):
                    raise HeavyAnswer(passing.error, passing.answer) from passing
                if attempt >= self._policy.max_retries:
                    if passing.answer is not None and passing.answer.status in accept_in_the_end:
                        return passing.answer
                    raise passing.error from passing
                wait = wait_before_retry(
                    self._policy, attempt, passing.retry_after, where=self._where()
                )
                attempt += 1
                self._report.retries += 1
                if self._pacer is not None and passing.overloaded:
                    # The wait that one answer asks for holds for all requests to the shop.
                    self._pacer.pause(wait)
                else:
                    self._report.waited_seconds += wait
                    await asyncio.sleep(wait)

    async def _in_turn(self, path: str, asked: Callable[[], Awaitable[Answer]]) -> Answer:
        if self._pacer is None:
            return await asked()
        turn = await self._pacer.enter(path)
        signal = PaceSignal.UNKNOWN
        try:
            answer = await asked()
            signal = PaceSignal.ANSWERED
            self._pause_where_the_limit_is_reached(self._pacer, answer)
            return answer
        except _Passing as passing:
            if passing.overloaded or passing.slow:
                signal = PaceSignal.OVERLOADED
            raise
        finally:
            self._pacer.leave(turn, signal)

    def _pause_where_the_limit_is_reached(self, pacer: Pacer, answer: Answer) -> None:
        wait = self._stated_limit.after_answer(answer.headers, datetime.now(UTC))
        if wait:
            # Headers beside a good answer are sometimes wrong. A refusal may ask for a longer
            # wait, and then it ends the sync.
            pacer.pause(min(wait, self._policy.retry_after_limit))

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str] | None,
        content: Any,
        extensions: dict[str, Any],
        accept_retried: frozenset[int],
        follow_redirects: bool,
    ) -> Answer:
        url = httpx.URL(self._base_url + path)
        await self._check_host(url)
        for _ in range(_MAX_REDIRECTS + 1):
            request = self._client.build_request(
                method,
                url,
                params=params,
                headers=headers,
                json=content,
                extensions=dict(extensions),
            )
            self._report.requests += 1
            try:
                response = await self._client.send(request, stream=True)
                self.reached = True
                try:
                    body = await self._read(response)
                finally:
                    await response.aclose()
            except httpx.TimeoutException as error:
                raise _Passing(
                    PlatformUnavailable(f"{self._where()} timed out ({type(error).__name__})."),
                    # A smaller answer does not help a host that cannot be connected to.
                    slow=not isinstance(error, httpx.ConnectTimeout),
                ) from error
            except httpx.InvalidURL as error:
                # httpx reads a Location even where it is not asked to follow it.
                raise InvalidResponse(
                    f"{self._where()} redirects to no readable address."
                ) from error
            # RequestError, not only TransportError: a compressed body cut off is a DecodingError.
            except httpx.RequestError as error:
                broke = not isinstance(error, httpx.ConnectError)
                raise _Passing(self._unreadable(error), heavy=broke) from error
            if response.status_code not in _REDIRECTS:
                return self._judge(response, body, accept_retried)
            if not follow_redirects:
                return Answer(response.status_code, response.headers, body, None)
            url = self._redirect_target(response)
            params = None
        raise PlatformUnavailable(f"{self._where()} redirects in a circle.")

    def _unreadable(self, error: httpx.RequestError) -> PlatformUnavailable:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            self.reached = True
            return PlatformUnavailable(
                f"{self._where()} has a certificate that is not valid for it.",
                remedy="It will be retried with the next sync. Ask the merchant to renew the "
                "certificate. Credentials are sent only to a host with a valid one.",
            )
        return PlatformUnavailable(f"{self._where()} could not be read ({type(error).__name__}).")

    async def _read(self, response: httpx.Response) -> bytes:
        parts = bytearray()
        async for part in response.aiter_bytes():
            parts += part
            if len(parts) > self._policy.max_body_bytes:
                raise InvalidResponse(
                    f"{self._where()} sent more than {self._policy.max_body_bytes} bytes at once."
                )
        return bytes(parts)

    def _judge(
        self, response: httpx.Response, body: bytes, accept_retried: frozenset[int]
    ) -> Answer:
        status = response.status_code
        try:
            answer = Answer(status, response.headers, body, parse_json(body))
        except ValueError as error:
            if status < 400:
                # A captcha, a maintenance page or a body cut off. Its status does not show
                # that, but it does not parse (docs/facts/woocommerce.md, Answers by others).
                known = self._challenge(response, body) is not None
                raise _Passing(self._not_json(response, body), heavy=not known) from error
            answer = Answer(status, response.headers, body, None)
        if status in RETRIED_STATUSES and status not in accept_retried:
            kind = RateLimited if status == 429 else PlatformUnavailable
            found = None if answer.json is not None else self._challenge(response, body)
            error = kind(
                f"{self._where()} answered {status}{f' with {found.looks_like}' if found else ''}.",
                remedy=found.remedy if found else None,
            )
            seconds = self._stated_limit.after_refusal(response.headers, datetime.now(UTC))
            raise _Passing(
                error,
                seconds,
                answer,
                overloaded=status in _OVERLOADED,
                slow=status in _SLOW,
                heavy=status in _BROKE and seconds is None,
            )
        return answer

    def _challenge(self, response: httpx.Response, body: bytes) -> Challenge | None:
        return challenge(response.headers, body, self._trouble_pages)

    def _not_json(self, response: httpx.Response, body: bytes) -> PlatformUnavailable:
        found = self._challenge(response, body)
        looks_like = (
            found.looks_like if found else "a captcha, a maintenance page or a body cut off"
        )
        media_type = response.headers.get("Content-Type", "no content type").split(";")[0][:40]
        return PlatformUnavailable(
            f"{self._where()} answered {response.status_code} with {len(body)} bytes of "
            f"{media_type} that are not JSON: {looks_like}.",
            remedy=found.remedy if found else None,
        )

    def _redirect_target(self, response: httpx.Response) -> httpx.URL:
        try:
            target = response.request.url.join(response.headers.get("Location", ""))
        except httpx.InvalidURL as error:
            raise InvalidResponse(f"{self._where()} redirects to no readable address.") from error
        if origin_of(target) != self._origin:
            raise InvalidResponse(
                f"{self._where()} redirects to {target.scheme}://{target.host}, "
                "and credentials are sent to the shop's own origin only.",
                remedy="Register the shop under the domain it redirects to.",
            )
        return target

    async def _check_host(self, url: httpx.URL) -> None:
        if self._host_checked or self._policy.allow_private_hosts:
            return
        if url.scheme != "https" and not self._policy.plain_http:
            raise InvalidResponse(
                f"{self._where()} is not HTTPS, and credentials are sent over HTTPS only.",
                remedy="Use an https:// base URL (ALLOW_PRIVATE_HOSTS=true is for sandboxes).",
            )
        try:
            await refuse_private_host(url, where=self._where())
        except OSError as error:
            raise _Passing(
                PlatformUnavailable(f"{self._where()}: the host name does not resolve.")
            ) from error
        self._host_checked = True

    def _where(self) -> str:
        return f"{self._origin[0]}://{self._origin[1]}"
