"""One HTTP client for all platforms: retries, turns, body checks, redirects, size limits.

Below `platforms/`, only the modules of this folder import httpx. A change to another HTTP library
touches no adapter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self

import httpx

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.bounds import TooLarge
from connector_pipeline.platforms.http.challenge import TroublePages
from connector_pipeline.platforms.http.connecting import http_client, origin_of, shown
from connector_pipeline.platforms.http.content_coding import (
    SpoiledGzip,
    UnaskedCoding,
    decoded_parts,
)
from connector_pipeline.platforms.http.judging import Judge, Trouble
from connector_pipeline.platforms.http.resolving import NotPublic
from connector_pipeline.platforms.http.retrying import (
    HttpPolicy,
    RetryAfter,
    StatedLimit,
    wait_before_retry,
    wait_for_the_end,
)
from connector_pipeline.platforms.http.signing import SIGNER, Signer, SigningTransport
from connector_pipeline.platforms.http.unreadable import leads_nowhere, unreadable
from connector_pipeline.platforms.kit.contract import FetchReport

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 3
_MOST_OF_GZIP: Final = 64 * 1024
"""By so many bytes gzip may be longer than what is in it: headers, trailers and what is stored."""
_REMEDY_OF_CODING: Final = (
    "Only the next sync tries again. A cache or a server before the shop answers with what others "
    "asked for: ask the merchant to have it heed Accept-Encoding, or to exclude the API from it."
)
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
            accept_retried,
            follow_redirects,
            any_body,
        )
        attempt = soon = 0
        while True:
            try:
                return await self._in_turn(path, asked)
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
            trouble = passing.trouble
            if (trouble.overloaded or trouble.slow) and not trouble.soon_over:
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
        any_body: bool,
    ) -> Answer:
        url = httpx.URL(self._base_url + path)
        self._refuse_plain_http(url)
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                request = self._client.build_request(
                    method,
                    url,
                    params=params,
                    headers=headers,
                    json=content,
                    extensions=dict(extensions),
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
            except NotPublic as error:
                raise error.refusal(self._where()) from error
            except TimeoutError as error:
                too_slow = PlatformUnavailable(
                    f"{self._where()} sends too slowly: its answer was not whole after "
                    f"{self._policy.longest_try:g} s."
                )
                raise _Passing(Trouble(too_slow, slow=True)) from error
            except httpx.TimeoutException as error:
                timed_out = PlatformUnavailable(
                    f"{self._where()} timed out ({type(error).__name__})."
                )
                # A smaller answer does not help a host that cannot be connected to.
                slow = not isinstance(error, httpx.ConnectTimeout)
                raise _Passing(Trouble(timed_out, slow=slow)) from error
            except (httpx.InvalidURL, UnicodeError) as error:
                # httpx reads a Location even where it is not asked to follow it.
                raise InvalidResponse(
                    f"{self._where()} redirects to no readable address."
                ) from error
            except SpoiledGzip as error:
                broken = PlatformUnavailable(f"{self._where()} sent a body that {error}.")
                raise _Passing(Trouble(broken, heavy=True)) from error
            except httpx.RequestError as error:
                if leads_nowhere(error):
                    raise InvalidResponse(
                        f"{self._where()} redirects to no readable address."
                    ) from None
                found = unreadable(error, self._where(), "could not be read")
                self.reached = self.reached or found.reached
                if not found.may_pass:
                    raise found.error from error
                raise _Passing(Trouble(found.error, heavy=found.heavy)) from error
            if response.status_code not in _REDIRECTS:
                return self._judged(response, body, accept_retried, any_body=any_body)
            if not follow_redirects:
                return Answer(response.status_code, response.headers, body, None)
            url = self._redirect_target(response)
            params = None
        raise PlatformUnavailable(f"{self._where()} redirects in a circle.")

    async def _answered(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """The answer with its body, of which no more is read than is wanted."""
        response = await self._client.send(request, stream=True)
        self.reached = True
        try:
            return response, await self._read(response)
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        status = response.status_code
        if status in _REDIRECTS:
            return b""
        try:
            decoded = decoded_parts(response)
        except UnaskedCoding as error:
            if status >= 400:
                # The status says enough.
                return b""
            raise InvalidResponse(
                f"{self._where()} sent a body that is {error}, and gzip alone was asked for.",
                remedy=_REMEDY_OF_CODING,
            ) from None
        most = self._judge.most_bytes(status)
        parts = bytearray()
        async with aclosing(decoded):
            async for part in decoded:
                parts += part
                if len(parts) > most or response.num_bytes_downloaded > most + _MOST_OF_GZIP:
                    if status < 400:
                        raise self._judge.too_large()
                    return bytes(parts[:most])
        return bytes(parts)

    def _judged(
        self,
        response: httpx.Response,
        body: bytes,
        accept_retried: frozenset[int],
        *,
        any_body: bool,
    ) -> Answer:
        if any_body and response.status_code < 400:
            return Answer(response.status_code, response.headers, body, None)
        judged = self._judge.judged(response.status_code, response.headers, body)
        answer = Answer(response.status_code, response.headers, judged.body, judged.json)
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

    def _redirect_target(self, response: httpx.Response) -> httpx.URL:
        location = response.headers.get("Location", "")
        try:
            target = response.request.url.join(location)
        except httpx.InvalidURL as error:
            raise InvalidResponse(f"{self._where()} redirects to no readable address.") from error
        # Some clients read a backslash as a slash, and a name before the host is sent as a user's.
        if "\\" in location or target.userinfo:
            raise InvalidResponse(f"{self._where()} redirects to no readable address.")
        if origin_of(target) != self._origin:
            raise InvalidResponse(
                f"{self._where()} redirects to {shown(target)}, "
                "and credentials are sent to the shop's own origin only.",
                remedy="Register the shop under the domain it redirects to.",
            )
        return target

    def _refuse_plain_http(self, url: httpx.URL) -> None:
        if url.scheme == "https" or self._policy.plain_http or self._policy.allow_private_hosts:
            return
        raise InvalidResponse(
            f"{self._where()} is not HTTPS, and credentials are sent over HTTPS only.",
            remedy="Use an https:// base URL (ALLOW_PRIVATE_HOSTS=true is for sandboxes).",
        )

    def _where(self) -> str:
        return shown(httpx.URL(self._base_url))
