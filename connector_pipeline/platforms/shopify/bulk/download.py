"""Reads the result of a bulk operation as raw pages of whole JSONL lines while it downloads."""

import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.download import FileDownload
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify.reading.counts import ReadProducts

BULK: Final = "bulk"
"""The kind of the pages that hold lines of a result.

Their facts: `operation`, `offset` (bytes before the page), `objects` (lines in it), and `etag` and
`length` of the whole file, null where the host does not state them.
"""

PAGE_BYTES: Final = 2 * 1024 * 1024
"""About the size of a page: small in memory, and large enough for a file of its own."""

LONGEST_LINE: Final = 1024 * 1024
"""A longer line is an error. A line is one product or variant, of a few hundred bytes."""

# No text can contain this, because a quote inside a JSON string is escaped.
_CHILD: Final = b'"__parentId":'
_PRODUCT: Final = re.compile(rb'"id":"gid:\\?/\\?/shopify\\?/Product\\?/([0-9]{1,19})"')


@dataclass(slots=True)
class ReadSoFar:
    """How much of a result has been yielded: pages, bytes, objects, and objects at the root.

    `products` are the ids of the objects at the root. `unreadable` lines are no objects.
    """

    pages: int = 0
    bytes: int = 0
    objects: int = 0
    root_objects: int = 0
    unreadable: int = 0
    products: ReadProducts = field(default_factory=ReadProducts)

    @property
    def variants(self) -> int:
        """The objects that are not at the root."""
        return self.objects - self.root_objects


class _Line(msgspec.Struct):
    id: str


_line: Final = msgspec.json.Decoder(_Line)


def _is_object(line: bytes) -> bool:
    """Whether a line is an object with an id; an empty line passes. Costs about a microsecond."""
    if not line or line.isspace():
        return True
    try:
        _line.decode(line)
    except ValueError:
        return False
    return True


class BulkDownload:
    """Downloads the result of one operation, and counts it in `read`."""

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
        """Yield the pages: first the archived ones of the same file, then the rest of the file.

        Raises InvalidResponse for a file that is no JSONL, and what FileDownload raises.
        """
        if await self._is_same_file(archived):
            while (page := await archived.answer(self._of_this_file)) is not None:
                self._digest.update(page.body)
                self._count(page.body)
                yield page
        archived.stop()
        # The bytes since the last whole page, and of them those of the line that has not ended.
        rest = bytearray()
        line = 0
        async with aclosing(self._download.parts(self._read.bytes, self._digest)) as parts:
            async for part in parts:
                rest += part
                newline = part.rfind(b"\n")
                line = line + len(part) if newline < 0 else len(part) - newline - 1
                if line > LONGEST_LINE:
                    raise InvalidResponse(
                        f"The result of Shopify's bulk operation has a line of over {LONGEST_LINE} "
                        "bytes."
                    )
                if len(rest) < self._page_bytes:
                    continue
                end = len(rest) - line
                if end:
                    yield self._page(bytes(rest[:end]))
                    del rest[:end]
        if rest:
            yield self._page(bytes(rest))

    async def _is_same_file(self, archived: ArchivedPages) -> bool:
        """Whether the archived pages are of this operation and the host states which file it has.

        This is decided before the first of them is yielded, because a yielded page stays.
        """
        page = await archived.peek()
        if page is None or page.kind != BULK or page.facts.get("operation") != self._operation:
            return False
        return (await self._download.identify()).etag is not None

    def _of_this_file(self, page: RawPage) -> RawPage | None:
        """The archived page, if it is the next one of this file; else None."""
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
        for line in body.split(b"\n"):
            self._read.unreadable += not _is_object(line)
            found = None if _CHILD in line else _PRODUCT.search(line)
            if found is not None:
                self._read.products.add(int(found[1]))
        return objects
