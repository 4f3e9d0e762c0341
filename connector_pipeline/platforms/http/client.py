"""One HTTP client for all platforms: retries, turns, body checks, redirects, size limits.

Only this module, `connecting.py` and `signing.py` beneath it and `download.py`, which streams
files, import httpx for platforms, so that a change to its continuation is four lines.
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
# Whoever stands before the shop gave up waiting for it.
_SLOW: Final = frozenset({408, 504, 524})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 3
_NO_PAGES: Final = TroublePages()
_RETRY_AFTER: Final = RetryAfter()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: `body` as received, `json` its parsed form (numbers as int and Decimal).

    Its headers are without `Link` where the request was signed: it may repeat the credentials.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


class Outcome(Enum):
    """How one try of a request went, as far as it tells how busy the platform is."""

    ANSWERED = "answered"
    OVERLOADED = "overloaded"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Turn:
    """One try of a request: its path, how many were under way as it began (by the loop's clock)."""

    path: str
    under_way: int
    began: float


class Pacer(Protocol):
    """Who decides when the origin may be asked: every try of every request passes it."""

    async def enter(self, path: str) -> Turn:
        """Wait for a turn."""
        ...

    def leave(self, turn: Turn, outcome: Outcome) -> None:
        """The turn is over. Called for each one, whatever became of it."""
        ...

    def pause(self, seconds: float) -> None:
        """Give no turn for this long. Whoever asked for it counts the seconds in the report."""
        ...


class SlowAnswer(Exception):
    """No answer in time, to somebody who would rather ask for less than ask again."""


class _Passing(Exception):
    """A trouble that may pass: retried, and in the end raised as `error`.

    Unless `answer`, of a status that is retried, is what the adapter wants to see in the end.
    """

    def __init__(
        self,
        error: PlatformUnavailable,
        retry_after: float | None = None,
        answer: Answer | None = None,
        *,
        overloaded: bool = False,
        slow: bool = False,
    ):
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after
        self.answer = answer
        self.overloaded = overloaded
        self.slow = slow


class OriginHttp:
    """HTTP with one origin and no other: credentials given here cannot go elsewhere.

    Every request counts in `report`; `trouble_pages` name what may answer in the shop's place. What
    `stated_limit` reads of a rate limit is waited out; before a refusal only where there is a
    `pacer`. An answer is returned with any status that is not retried; what it means is the
    adapter's to say. Raises PlatformUnavailable, RateLimited, InvalidResponse.
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
        """Whether the host ever took a connection of the scheme: TLS, if that is asked of it."""
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
    ) -> Answer:
        """One answer for `path` below the shop's base URL; `content` is sent as JSON.

        `signer` gives the query parameters that authenticate each try of it. `accept_retried`:
        statuses the adapter wants to see itself although they are usually retried;
        `accept_in_the_end`: those it wants to see when retrying them did not help.
        Where `retry_slow` is false, an answer that takes too long raises SlowAnswer at once.
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
                    # What one request is told goes for all of the shop's.
                    self._pacer.pause(wait)
                else:
                    self._report.waited_seconds += wait
                    await asyncio.sleep(wait)

    async def _in_turn(self, path: str, asked: Callable[[], Awaitable[Answer]]) -> Answer:
        if self._pacer is None:
            return await asked()
        turn = await self._pacer.enter(path)
        outcome = Outcome.UNTOLD
        try:
            answer = await asked()
            outcome = Outcome.ANSWERED
            self._pause_where_the_limit_is_reached(self._pacer, answer)
            return answer
        except _Passing as passing:
            if passing.overloaded or passing.slow:
                outcome = Outcome.OVERLOADED
            raise
        finally:
            self._pacer.leave(turn, outcome)

    def _pause_where_the_limit_is_reached(self, pacer: Pacer, answer: Answer) -> None:
        wait = self._stated_limit.after_answer(answer.headers, datetime.now(UTC))
        if wait:
            # A longer wait is for the refusal to ask for, which ends a sync that cannot wait so
            # long: headers beside a good answer are sometimes wrong.
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
                    slow=True,
                ) from error
            except httpx.InvalidURL as error:
                # httpx reads a Location even where it is not asked to follow it.
                raise InvalidResponse(
                    f"{self._where()} redirects to no readable address."
                ) from error
            # RequestError, not only TransportError: a compressed body cut off is a DecodingError.
            except httpx.RequestError as error:
                raise _Passing(self._unreadable(error)) from error
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
                "certificate; no key is sent to who cannot show one.",
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
                # A captcha, a maintenance page or a cut-off body: judged by whether it parses, not
                # by its status (docs/facts/woocommerce.md, Answers by others).
                raise _Passing(self._not_json(response, body)) from error
            answer = Answer(status, response.headers, body, None)
        if status in RETRIED_STATUSES and status not in accept_retried:
            kind = RateLimited if status == 429 else PlatformUnavailable
            found = (
                None
                if answer.json is not None
                else challenge(response.headers, body, self._trouble_pages)
            )
            error = kind(
                f"{self._where()} answered {status}{f' with {found.looks_like}' if found else ''}.",
                remedy=found.remedy if found else None,
            )
            seconds = self._stated_limit.after_refusal(response.headers, datetime.now(UTC))
            raise _Passing(
                error, seconds, answer, overloaded=status in _OVERLOADED, slow=status in _SLOW
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
                "where its credentials are not sent.",
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
