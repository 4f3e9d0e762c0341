"""Streams one large file over HTTP in bounded memory, and resumes at the byte where it broke off.

The file is at another host than the shop's, behind a signed URL. Everybody who has such a URL can
read the file, so no message and no log shows it. No credential is sent with the request, and no
redirect is followed.
"""

import asyncio
import hashlib
import ipaddress
import logging
import re
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, NoReturn, Protocol, Self

import httpx

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable, RateLimited
from connector_pipeline.platforms.http.bounds import MEGABYTE
from connector_pipeline.platforms.http.connecting import host_of, http_client, shown
from connector_pipeline.platforms.http.content_coding import (
    SpoiledGzip,
    UnaskedCoding,
    decoded_parts,
)
from connector_pipeline.platforms.http.retrying import (
    RETRIED_STATUSES,
    HttpPolicy,
    retry_after_seconds,
    wait_before_retry,
)
from connector_pipeline.platforms.http.unreadable import FAILED_TRIES, unreadable
from connector_pipeline.platforms.kit.contract import FetchReport

_REFUSED: Final = frozenset({400, 401, 403, 404, 410})
_LEAST_BYTES: Final = 64 * 1024
"""A host sends so many bytes while we wait for them for the policy's `read_timeout`, or more."""
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")

# JSON lines become ten to thirty times as large, and gzip can become a thousand times as large.
_MOST_RATIO: Final = 250
_USUAL: Final = 32 * MEGABYTE


class Digest(Protocol):
    """A running hash, as hashlib makes them."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class FileRefused(Exception):
    """The host refuses the file: it is gone, or the signature of its URL has expired."""

    def __init__(self, status: int):
        super().__init__(f"answered {status}")
        self.status = status


class FileChanged(PlatformUnavailable):
    """The URL has another file now than the one whose beginning was read."""

    default_remedy = "The next sync reads it from its beginning."


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The ETag and the length in bytes that identify a file; None where not stated."""

    etag: str | None = None
    length: int | None = None


class _BrokenOff(Exception):
    """Trouble that may pass. The rest is asked for again; after the last try `error` is raised."""

    def __init__(self, error: PlatformUnavailable, retry_after: float | None = None):
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class _NoSuchRange(_BrokenOff):
    """The host says that the file ends before the range. It is shorter now, or was read whole."""


class _TooSlow(_BrokenOff):
    """The host drips. That each try brings a few bytes is no reason for another one."""


class FileDownload:
    """One file at one URL, which must be HTTPS at one of `hosts`. Requests count in `report`.

    The policy's `allow_private_hosts` allows loopback too, over plain HTTP. Raises InvalidResponse
    for another URL, with `remedy`, which names the setting with the hosts.
    """

    def __init__(
        self,
        url: str,
        *,
        hosts: Collection[str],
        policy: HttpPolicy,
        report: FetchReport,
        remedy: str | None = None,
    ):
        self._url = _checked(url, hosts, policy, remedy)
        self._policy = policy
        self._report = report
        self._ranges = True
        self.identity = FileIdentity()
        """The file's identity, as far as answers have stated it."""
        self._client = http_client(policy, accept="*/*")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def identify(self) -> FileIdentity:
        """Ask for the first byte alone, to learn the identity. Raises what `parts` raises."""
        failed = 0
        while True:
            try:
                async with self._answer({"Range": "bytes=0-0", "Accept-Encoding": "identity"}):
                    return self.identity
            except _NoSuchRange:
                self._changed()
            except _BrokenOff as broken:
                failed = await self._wait(failed, broken)

    async def parts(self, offset: int = 0, read: Digest | None = None) -> AsyncGenerator[bytes]:
        """Yield the file's bytes from `offset` on, in parts of any size.

        `read` is the SHA-256 of the bytes before `offset`, and is updated with each part. A host
        without ranges sends the whole file again, and its beginning is compared with `read`.
        Raises FileRefused, FileChanged, PlatformUnavailable, RateLimited, InvalidResponse.
        """
        read = read or hashlib.sha256()
        failed = slow = since = 0
        while self.identity.length is None or offset < self.identity.length:
            try:
                async with aclosing(self._from(offset, read)) as fresh:
                    async for part in fresh:
                        read.update(part)
                        offset += len(part)
                        since += len(part)
                        failed, slow = 0, slow if since < _LEAST_BYTES else 0
                        yield part
            except _NoSuchRange as broken:
                # A compressed answer may break off after the last byte of the file, in the bytes
                # that end the compression. The file, sent again, shows whether it is the same one.
                self._ranges = False
                failed = await self._wait(failed, broken)
            except _TooSlow as broken:
                slow, since = await self._wait(slow, broken), 0
            except _BrokenOff as broken:
                failed = await self._wait(failed, broken)
            else:
                return

    async def _wait(self, failed: int, broken: _BrokenOff) -> int:
        if failed >= self._policy.max_retries:
            raise broken.error from broken
        wait = wait_before_retry(self._policy, failed, broken.retry_after, broken.error)
        self._report.retries += 1
        self._report.waited_seconds += wait
        await asyncio.sleep(wait)
        return failed + 1

    async def _from(self, offset: int, read: Digest) -> AsyncGenerator[bytes]:
        headers = {"Accept-Encoding": "identity" if offset else "gzip"}
        if offset and self._ranges:
            headers["Range"] = f"bytes={offset}-"
            if self.identity.etag is not None and not self.identity.etag.startswith("W/"):
                headers["If-Range"] = self.identity.etag
        async with self._answer(headers) as response:
            skipped = 0
            if response.status_code == 206:
                self._check_range(response, offset)
                skipped = offset
            beginning = hashlib.sha256()
            async with aclosing(self._flowing(self._decoded(response))) as parts:
                async for part in parts:
                    fresh = part
                    if skipped < offset:
                        old, fresh = part[: offset - skipped], part[offset - skipped :]
                        skipped += len(old)
                        beginning.update(old)
                        if skipped == offset and beginning.digest() != read.digest():
                            self._changed()
                    if fresh:
                        yield fresh
            if skipped < offset:
                self._changed()

    async def _decoded(self, response: httpx.Response) -> AsyncGenerator[bytes]:
        """The body's decoded parts. Raises InvalidResponse for a coding nobody asked for."""
        read = 0
        try:
            parts = decoded_parts(response)
        except UnaskedCoding as error:
            raise InvalidResponse(
                f"{self._where()} sent a file that is {error}, and gzip alone was asked for."
            ) from None
        try:
            async with aclosing(parts):
                async for part in parts:
                    read += len(part)
                    if read > _USUAL + _MOST_RATIO * response.num_bytes_downloaded:
                        raise InvalidResponse(
                            f"{self._where()} sent a file that decompresses to more than "
                            f"{_MOST_RATIO} times of its size."
                        )
                    yield part
        except SpoiledGzip as error:
            raise _BrokenOff(
                PlatformUnavailable(f"{self._where()} sent a file that {error}.")
            ) from error

    async def _flowing(self, parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The parts, as long as they come fast enough. The time between two asks does not count."""
        now = asyncio.get_running_loop().time
        waited, received = 0.0, 0
        async with aclosing(parts):
            while True:
                began = now()
                try:
                    async with asyncio.timeout(self._policy.read_timeout - waited):
                        part = await anext(parts)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise _TooSlow(
                        PlatformUnavailable(
                            f"{self._where()} sends too slowly: {received} bytes in "
                            f"{self._policy.read_timeout:g} s."
                        )
                    ) from error
                waited += now() - began
                received += len(part)
                if received >= _LEAST_BYTES:
                    waited, received = 0.0, 0
                yield part

    def _check_range(self, response: httpx.Response, offset: int) -> None:
        stated = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.headers.get("Content-Encoding", "identity") != "identity" or (
            stated is None or int(stated[1]) != offset
        ):
            # The host sent another range. From now on, read the whole file and skip its beginning.
            self._ranges = False
            raise _BrokenOff(PlatformUnavailable(f"{self._where()} answers with other ranges."))

    @asynccontextmanager
    async def _answer(self, headers: dict[str, str]) -> AsyncGenerator[httpx.Response]:
        """An unread answer with the file or a part of it. Errors of httpx are raised as ours."""
        request = self._client.build_request("GET", self._url, headers=headers)
        self._report.requests += 1
        try:
            response = await self._head(request)
            try:
                self._judge(response)
                yield response
            finally:
                await response.aclose()
        except FAILED_TRIES as error:
            found = unreadable(error, self._where(), "broke off", self._policy.longest_try)
            if not found.may_pass:
                raise found.error from error
            raise _BrokenOff(found.error) from error

    async def _head(self, request: httpx.Request) -> httpx.Response:
        try:
            async with asyncio.timeout(self._policy.longest_try):
                return await self._client.send(request, stream=True)
        except TimeoutError as error:
            raise _BrokenOff(
                PlatformUnavailable(
                    f"{self._where()} sends too slowly: no head of an answer within "
                    f"{self._policy.longest_try:g} s."
                )
            ) from error

    def _judge(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in RETRIED_STATUSES:
            kind = RateLimited if status == 429 else PlatformUnavailable
            raise _BrokenOff(
                kind(f"{self._where()} answered {status}."),
                retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC)),
            )
        if status in _REFUSED:
            raise FileRefused(status)
        if status == 416:
            raise _NoSuchRange(PlatformUnavailable(f"{self._where()} knows no such range."))
        if 300 <= status < 400:
            raise InvalidResponse(
                f"{self._where()} redirects ({status}), which is not followed from a signed URL."
            )
        if status not in (200, 206):
            raise InvalidResponse(f"{self._where()} answered {status} where a file should be.")
        self._recognize(response)

    def _recognize(self, response: httpx.Response) -> None:
        """Remember the file's identity. A compressed answer does not state it."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return
        length = response.headers.get("Content-Length")
        if response.status_code == 206:
            stated = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            length = stated[3] if stated else None
        seen = FileIdentity(
            response.headers.get("ETag"), int(length) if length and length.isdecimal() else None
        )
        known = self.identity
        # A whole file is compared by its bytes. For a range, only its identity can be compared.
        if response.status_code == 206 and (
            (known.etag and seen.etag and known.etag != seen.etag)
            or (known.length is not None and known.length != seen.length)
        ):
            self._changed()
        self.identity = FileIdentity(seen.etag or known.etag, seen.length)

    def _changed(self) -> NoReturn:
        raise FileChanged(f"The file at {self._where()} changed while it was read.")

    def _where(self) -> str:
        return shown(self._url)


def _checked(url: str, hosts: Collection[str], policy: HttpPolicy, remedy: str | None) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise InvalidResponse("The address of a file to download cannot be read.") from None
    if policy.allow_private_hosts and _is_loopback(host_of(parsed)):
        return parsed
    named = host_of(parsed) in hosts and parsed.port is None and not parsed.userinfo
    if parsed.scheme != "https" or not named:
        raise InvalidResponse(
            f"A file to download is at {shown(parsed)}, and files are "
            f"downloaded from https://{{{', '.join(sorted(hosts))}}} only.",
            remedy=remedy,
        )
    return parsed


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _WithoutQuery(logging.Filter):
    """Takes the query, which holds the signature, out of the URLs that httpx logs at INFO."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg
                for arg in record.args
            )
        return True


logging.getLogger("httpx").addFilter(_WithoutQuery())
