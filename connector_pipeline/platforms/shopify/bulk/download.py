"""The result of a bulk operation as raw pages: whole lines of its JSONL, while it downloads."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.download import FileDownload
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.resume import ArchivedPages

BULK: Final = "bulk"
"""The kind of page that holds lines of a result.

Facts: `operation`, `offset` (bytes before it), `objects` (lines in it), and `etag` and `length` of
the whole file, null where the host did not say.
"""

PAGE_BYTES: Final = 2 * 1024 * 1024
"""About the size of a page: small beside a process, large beside what a file of its own costs."""

LONGEST_LINE: Final = 8 * 1024 * 1024
"""A line is one product or variant, a few hundred bytes; what has no end is no JSONL."""

# Inside a JSON string the quote before the colon would be escaped, so that no text can hold this.
_CHILD: Final = b'"__parentId":'


@dataclass(slots=True)
class ReadSoFar:
    """How much of a result has been yielded: pages, bytes, objects, and those at the root."""

    pages: int = 0
    bytes: int = 0
    objects: int = 0
    root_objects: int = 0


class BulkDownload:
    """One result of one operation. Counts in `read`."""

    def __init__(
        self,
        download: FileDownload,
        operation: str,
        read: ReadSoFar,
        *,
        page_bytes: int = PAGE_BYTES,
    ):
        self._download = download
        self._operation = operation
        self._page_bytes = page_bytes
        self._digest = hashlib.sha256()
        self._read = read

    async def pages(self, archived: ArchivedPages) -> AsyncGenerator[RawPage]:
        """Yield the pages: first those archived of the same file, then the rest as it comes.

        Raises InvalidResponse for what is no JSONL, and what FileDownload raises.
        """
        if await self._is_same_file(archived):
            while (page := await archived.answer(self._of_this_file)) is not None:
                self._digest.update(page.body)
                self._count(page.body)
                yield page
        archived.stop()
        rest = bytearray()
        async with aclosing(self._download.parts(self._read.bytes, self._digest)) as parts:
            async for part in parts:
                rest += part
                if len(rest) < self._page_bytes:
                    continue
                end = rest.rfind(b"\n") + 1
                if end:
                    yield self._page(bytes(rest[:end]))
                    del rest[:end]
                elif len(rest) > LONGEST_LINE:
                    raise InvalidResponse(
                        f"The result of Shopify's bulk operation has a line of over {LONGEST_LINE} "
                        "bytes."
                    )
        if rest:
            yield self._page(bytes(rest))

    async def _is_same_file(self, archived: ArchivedPages) -> bool:
        """Whether the file is the one that the archived pages are of, for all that can be known.

        Asked before the first of them is yielded: what was yielded cannot be taken back.
        """
        page = await archived.peek()
        if page is None or page.kind != BULK or page.facts.get("operation") != self._operation:
            return False
        return (await self._download.identify()).etag is not None

    def _of_this_file(self, page: RawPage) -> RawPage | None:
        """An archived page, if it goes on with this file where what was yielded ends."""
        identity = self._download.identity
        facts = page.facts
        known = (facts.get("operation"), facts.get("etag"), facts.get("length"))
        follows = known == (self._operation, identity.etag, identity.length) and (
            facts.get("offset") == self._read.bytes
        )
        return page if page.kind == BULK and follows else None

    def _page(self, body: bytes) -> RawPage:
        identity = self._download.identity
        facts: dict[str, Any] = {
            "operation": self._operation,
            "offset": self._read.bytes,
            "objects": self._count(body),
            "etag": identity.etag,
            "length": identity.length,
        }
        return RawPage(BULK, body, facts)

    def _count(self, body: bytes) -> int:
        objects = body.count(b"\n") + (not body.endswith(b"\n"))
        self._read.pages += 1
        self._read.bytes += len(body)
        self._read.objects += objects
        self._read.root_objects += objects - body.count(_CHILD)
        return objects
