"""One HTTP client for all platforms: retries, turns, body checks, redirects, size limits.

Below `platforms/`, only the modules of this folder import httpx. A change to another HTTP library
touches no adapter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import httpx

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.body import body_of
from connector_pipeline.platforms.http.bounds import TooLarge
from connector_pipeline.platforms.http.challenge import TroublePages
from connector_pipeline.platforms.http.connecting import (
    origin_of,
    request_headers,
    shown,
    timeouts,
)
from connector_pipeline.platforms.http.json_shape import begins_as_json
from connector_pipeline.platforms.http.judging import Judge, Trouble
from connector_pipeline.platforms.http.pacing import Pacer, PaceSignal
from connector_pipeline.platforms.http.redirects import (
    REDIRECTS,
    redirect_target,
    refuse_plain_http,
    stated_target,
)
from connector_pipeline.platforms.http.retrying import (
    HttpPolicy,
    RetryAfter,
    StatedLimit,
    wait_before_retry,
    wait_for_the_end,
)
from connector_pipeline.platforms.http.signing import SIGNER, Signer, SigningTransport
from connector_pipeline.platforms.http.unreadable import FAILED_TRIES, unreadable
from connector_pipeline.platforms.kit.contract import FetchReport

_MAX_REDIRECTS: Final = 3
_TICKS_TO_SEND: Final = 4
"""Turns of the event loop until a request that got leave is sent: three, counted with httpx 0.28.1,
httpcore 1.0.9 and anyio on a connection that was open, and one to spare."""
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


class SlowAnswer(Exception):
    """The answer took too long, and the caller wants to ask for less instead of retrying."""


class HeavyAnswer(Exception):
    """The host broke over the answer repeatedly, and the caller wants to ask for less.

    `error` is the error to raise where less cannot be asked for: InvalidResponse for an answer that
    is `too_large`. `answer` is the last answer, if it had a status that is retried.
    """

    def __init__(
        self,
        error: PlatformUnavailable | InvalidResponse,
        answer: Answer | None = None,
        *,
        too_large: bool = False,
    ):
        super().__init__(str(error))
        self.error = error
        self.answer = answer
        self.too_large = too_large


class _Passing(Exception):
    """Trouble that may pass, and the answer that showed it, if there was one.

    The answer is returned instead of the error where the adapter asked for such an answer in the
    end (`accept_in_the_end`).
    """

    def __init__(self, trouble: Trouble, answer: Answer | None = None):
        super().__init__(str(trouble.error))
        self.trouble = trouble
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Received:
    """A whole answer that nobody has read yet."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def seems_good(self) -> bool:
        """Whether it is no refusal and begins as JSON does: it says nothing against the pace."""
        return self.status < 400 and begins_as_json(self.body)


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
        self._base_url = base_url.rstrip("/")
        self._origin = origin_of(httpx.URL(base_url))
        self._judge = Judge(self._where(), policy.bound, stated_limit, trouble_pages)
        self._policy = policy
        self._report = report
        self.reached = False
        """Whether the host ever accepted a connection, over TLS if the scheme is https."""
        # No client of httpx's: cookies, redirects and credentials are not its matter here, and
        # looking for them in each request takes a fifth of it.
        self._transport = SigningTransport(policy)
        self._headers = request_headers("application/json")
        self._extensions: dict[str, Any] = {"timeout": timeouts(policy).as_dict()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.aclose()

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
        any_body: bool = False,
        retries_if_heavy: int | None = None,
        most_retries: int | None = None,
    ) -> Answer:
        """Send a request for `path` below the shop's base URL and return the answer.

        `content` is sent as JSON. `signer` gives the query parameters that authenticate a try.
        `accept_retried` are statuses that are returned although they are usually retried.
        `accept_in_the_end` are statuses that are returned when no retry helped. Where `retry_slow`
        is false, an answer that takes too long raises SlowAnswer at once. With `any_body`, the body
        of an answer need not be JSON. Where `retries_if_heavy` is given, trouble that a smaller
        answer may not meet raises HeavyAnswer after so many retries, and after no more than the
        policy has. An answer past the policy's bound raises HeavyAnswer at once where that is
        given, or `retry_slow` is false, because the caller can ask for less. `most_retries` is for
        a question that is worth fewer than the policy has.
        """
        worth = self._policy.max_retries
        worth = worth if most_retries is None else min(worth, most_retries)
        asked = partial(
            self._once,
            method,
            path,
            params,
            headers,
            content,
            {} if signer is None else {SIGNER: signer},
            follow_redirects,
        )
        judged = partial(self._judged, accept_retried=accept_retried, any_body=any_body)
        attempt = soon = 0
        while True:
            try:
                return await self._in_turn(path, asked, judged)
            except TooLarge as large:
                if retry_slow and retries_if_heavy is None:
                    raise large.error from None
                raise HeavyAnswer(large.error, too_large=True) from large
            except _Passing as passing:
                trouble = passing.trouble
                if trouble.slow and not retry_slow:
                    raise SlowAnswer(str(passing)) from passing
                most = retries_if_heavy if trouble.heavy else None
                if most is not None and attempt >= min(most, worth):
                    raise HeavyAnswer(trouble.error, passing.answer) from passing
                if trouble.soon_over and most_retries is None:
                    wait = wait_for_the_end(self._policy, soon)
                    soon += 1
                elif attempt < worth:
                    wait = wait_before_retry(
                        self._policy, attempt, trouble.retry_after, trouble.error
                    )
                    attempt += 1
                else:
                    wait = None
                if wait is None:
                    answer = None if trouble.soon_over else passing.answer
                    if answer is not None and answer.status in accept_in_the_end:
                        return answer
                    raise trouble.error from passing
                self._report.retries += 1
                if self._pacer is not None and (trouble.overloaded or trouble.soon_over):
                    # The wait that one answer asks for holds for all requests to the shop.
                    self._pacer.pause(wait)
                else:
                    self._report.waited_seconds += wait
                    await asyncio.sleep(wait)

    async def _in_turn(
        self,
        path: str,
        asked: Callable[[], Awaitable[_Received]],
        judged: Callable[[_Received], Answer],
    ) -> Answer:
        if self._pacer is None:
            return judged(await asked())
        turn = await self._pacer.enter(path)
        signal = PaceSignal.UNKNOWN
        try:
            received = await asked()
            read = None if received.seems_good else judged(received)
            signal = PaceSignal.ANSWERED
            self._pause_where_the_limit_is_reached(self._pacer, received.headers)
        except _Passing as passing:
            trouble = passing.trouble
            if (trouble.overloaded or trouble.slow) and not trouble.soon_over:
                signal = PaceSignal.OVERLOADED
            raise
        finally:
            self._pacer.leave(turn, signal)
        if read is None:
            # Reading a page takes milliseconds, in which the shop would wait for its next request.
            for _ in range(_TICKS_TO_SEND):
                await asyncio.sleep(0)
            read = judged(received)
        return read

    def _pause_where_the_limit_is_reached(self, pacer: Pacer, headers: Mapping[str, str]) -> None:
        wait = self._stated_limit.after_answer(headers, datetime.now(UTC))
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
        follow_redirects: bool,
    ) -> _Received:
        query = f"?{httpx.QueryParams(params)}" if params else ""
        url = httpx.URL(f"{self._base_url}{path}{query}")
        refuse_plain_http(url, self._policy, self._where())
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                request = httpx.Request(
                    method,
                    url,
                    headers={**self._headers, **(headers or {})},
                    json=content,
                    extensions=self._extensions | extensions,
                )
            except UnicodeError as error:
                raise InvalidResponse(
                    f"{self._where()} cannot be asked: no such international name can exist.",
                    remedy="Register the shop by the xn-- form of its name.",
                ) from error
            self._report.requests += 1
            try:
                async with asyncio.timeout(self._policy.longest_try):
                    response, body = await self._answered(request)
            except FAILED_TRIES as error:
                found = unreadable(
                    error, self._where(), "could not be read", self._policy.longest_try
                )
                self.reached = self.reached or found.reached
                if not found.may_pass:
                    raise found.error from error
                raise _Passing(Trouble(found.error, slow=found.slow, heavy=found.heavy)) from error
            if response.status_code not in REDIRECTS:
                return _Received(response.status_code, response.headers, body)
            if not follow_redirects:
                stated_target(url, response.headers.get("Location", ""), self._where())
                return _Received(response.status_code, response.headers, body)
            url = redirect_target(response, self._origin, self._where())
        raise PlatformUnavailable(f"{self._where()} redirects in a circle.")

    async def _answered(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """The answer with its body, of which no more is read than is wanted."""
        response = await self._transport.handle_async_request(request)
        response.request = request
        self.reached = True
        try:
            if response.status_code in REDIRECTS:
                return response, b""
            return response, await body_of(response, self._judge)
        finally:
            await response.aclose()

    def _judged(
        self, received: _Received, *, accept_retried: frozenset[int], any_body: bool
    ) -> Answer:
        status, headers, body = received.status, received.headers, received.body
        if status in REDIRECTS or (any_body and status < 400):
            return Answer(status, headers, body, None)
        judged = self._judge.judged(status, headers, body)
        answer = Answer(status, headers, judged.body, judged.json)
        if judged.printed is not None:
            self._warn_of(judged.printed)
        trouble = judged.trouble
        if trouble is None:
            return answer
        if trouble.soon_over or answer.status not in accept_retried:
            raise _Passing(trouble, answer if answer.status >= 400 else None)
        return answer

    def _warn_of(self, printed: str) -> None:
        warning = (
            f"{self._where()} prints {printed} into its answers: its PHP has display_errors on. "
            "The JSON beside them was read."
        )
        if warning not in self._report.warnings:
            self._report.warnings.append(warning)

    def _where(self) -> str:
        return shown(httpx.URL(self._base_url))
