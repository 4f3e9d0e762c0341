"""Streams one large file over HTTP in bounded memory, and resumes at the byte where it broke off.

The file is at another host than the shop's, behind a signed URL. Everybody who has such a URL can
read the file, so no message and no log shows it. No credential is sent with the request, and no
redirect is followed.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, NoReturn, Protocol, Self

import httpx

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable, RateLimited
from connector_pipeline.platforms.http.connecting import http_client, shown
from connector_pipeline.platforms.http.file_address import checked_address
from connector_pipeline.platforms.http.file_parts import (
    LEAST_BYTES,
    BrokenOff,
    NoSuchRange,
    TooSlow,
    decoded,
    flowing,
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
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


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
        self._url = checked_address(url, hosts, policy, remedy)
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
                async with self._answer({"Range": "bytes=0-0", "Accept-Encoding": "identity"}, 0):
                    return self.identity
            except NoSuchRange:
                self._changed()
            except BrokenOff as broken:
                if not self._ranges:
                    # A host that sends another range does not say of which file it is.
                    return self.identity
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
                        failed, slow = 0, slow if since < LEAST_BYTES else 0
                        yield part
            except NoSuchRange as broken:
                # A compressed answer may break off after the last byte of the file, in the bytes
                # that end the compression. The file, sent again, shows whether it is the same one.
                self._ranges = False
                failed = await self._wait(failed, broken)
            except TooSlow as broken:
                slow, since = await self._wait(slow, broken), 0
            except BrokenOff as broken:
                failed = await self._wait(failed, broken)
            else:
                return
        if offset > self.identity.length:
            self._changed()

    async def _wait(self, failed: int, broken: BrokenOff) -> int:
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
        async with self._answer(headers, offset) as response:
            skipped, reached = 0, offset
            if response.status_code == 206:
                skipped = offset
            beginning = hashlib.sha256()
            where = self._where()
            async with aclosing(
                flowing(decoded(response, where), where, self._policy.read_timeout)
            ) as parts:
                async for part in parts:
                    fresh = part
                    if skipped < offset:
                        old, fresh = part[: offset - skipped], part[offset - skipped :]
                        skipped += len(old)
                        beginning.update(old)
                        if skipped == offset and beginning.digest() != read.digest():
                            self._changed()
                    if fresh:
                        reached += len(fresh)
                        yield fresh
            if skipped < offset:
                self._changed()
            if response.status_code == 206 and reached < (self.identity.length or 0):
                raise TooSlow(PlatformUnavailable(f"{where} sends less than it was asked for."))

    def _check_range(self, response: httpx.Response, offset: int) -> None:
        stated = _stated_range(response)
        if response.headers.get("Content-Encoding", "identity") != "identity" or (
            stated is None or stated[0] != offset
        ):
            # The host sent another range. From now on, read the whole file and skip its beginning.
            self._ranges = False
            raise BrokenOff(PlatformUnavailable(f"{self._where()} answers with other ranges."))

    @asynccontextmanager
    async def _answer(self, headers: dict[str, str], offset: int) -> AsyncGenerator[httpx.Response]:
        """An unread answer with the file, or with the part of it that begins at `offset`.

        Errors of httpx are raised as ours.
        """
        request = self._client.build_request("GET", self._url, headers=headers)
        self._report.requests += 1
        try:
            response = await self._head(request)
            try:
                self._judge(response, offset)
                yield response
            finally:
                await response.aclose()
        except FAILED_TRIES as error:
            found = unreadable(error, self._where(), "broke off", self._policy.longest_try)
            if not found.may_pass:
                raise found.error from error
            raise BrokenOff(found.error) from error

    async def _head(self, request: httpx.Request) -> httpx.Response:
        try:
            async with asyncio.timeout(self._policy.longest_try):
                return await self._client.send(request, stream=True)
        except TimeoutError as error:
            raise BrokenOff(
                PlatformUnavailable(
                    f"{self._where()} sends too slowly: no head of an answer within "
                    f"{self._policy.longest_try:g} s."
                )
            ) from error

    def _judge(self, response: httpx.Response, offset: int) -> None:
        status = response.status_code
        if status in RETRIED_STATUSES:
            kind = RateLimited if status == 429 else PlatformUnavailable
            raise BrokenOff(
                kind(f"{self._where()} answered {status}."),
                retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC)),
            )
        if status in _REFUSED:
            raise FileRefused(status)
        if status == 416:
            raise NoSuchRange(PlatformUnavailable(f"{self._where()} knows no such range."))
        if 300 <= status < 400:
            raise InvalidResponse(
                f"{self._where()} redirects ({status}), which is not followed from a signed URL."
            )
        if status not in (200, 206):
            raise InvalidResponse(f"{self._where()} answered {status} where a file should be.")
        if status == 206:
            self._check_range(response, offset)
        self._recognize(response)

    def _recognize(self, response: httpx.Response) -> None:
        """Remember the file's identity. A compressed answer does not state it."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return
        length = response.headers.get("Content-Length")
        if response.status_code == 206:
            stated = _stated_range(response)
            length = str(stated[1]) if stated else None
        seen = FileIdentity(
            response.headers.get("ETag"), int(length) if length and length.isdecimal() else None
        )
        known = self.identity
        # A whole file is compared by its bytes, too; of a range, the identity alone can be.
        other_length = known.length is not None and known.length != seen.length
        if (other_length and seen.length is not None) or (
            response.status_code == 206
            and (other_length or (known.etag and seen.etag and known.etag != seen.etag))
        ):
            self._changed()
        self.identity = FileIdentity(seen.etag or known.etag, seen.length)

    def _changed(self) -> NoReturn:
        raise FileChanged(f"The file at {self._where()} changed while it was read.")

    def _where(self) -> str:
        return shown(self._url)


def _stated_range(response: httpx.Response) -> tuple[int, int] | None:
    """The first byte and the file's length, where the answer states a range that can be."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None:
        return None
    first, last, length = map(int, found.groups())
    return (first, length) if first <= last < length else None
