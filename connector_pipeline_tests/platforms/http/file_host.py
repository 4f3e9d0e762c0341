"""A host of one file on loopback. It breaks off, ignores ranges or redirects, as a test asks."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

SIGNATURE = "s1gn4ture-0f-the-f1le"


@dataclass
class FileHost:
    """Serves `content`.

    `cuts` are the bytes after which the body of each answer breaks off, in turn. As long as there
    are `answers`, they are sent instead, one after the other.
    """

    content: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    compressed: bool = False
    cuts: list[int] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/file.jsonl?X-Goog-Signature={SIGNATURE}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heard.append(head)
            writer.write(self.answers.pop(0) if self.answers else self._answer(head))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, head: str) -> bytes:
        body, status, headers = self.content, "200 OK", ["Connection: close"]
        if self.etag is not None:
            headers.append(f"ETag: {self.etag}")
        asked = re.search(r"range: bytes=(\d+)-(\d*)\r\n", head, re.IGNORECASE)
        if_range = re.search(r"if-range: (.*)\r\n", head, re.IGNORECASE)
        unchanged = if_range is None or if_range[1] == self.etag
        if asked and self.ranges and unchanged:
            start, total = int(asked[1]), len(self.content)
            stop = min(total, int(asked[2]) + 1 if asked[2] else total)
            if start >= stop:
                return b"HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            body, status = self.content[start:stop], "206 Partial Content"
            headers.append(f"Content-Range: bytes {start}-{stop - 1}/{total}")
        elif self.compressed and "gzip" in head.lower():
            body = gzip.compress(body)
            headers.append("Content-Encoding: gzip")
        headers.append(f"Content-Length: {len(body)}")
        sent = body[: self.cuts.pop(0)] if self.cuts and len(body) > 1 else body
        lines = "\r\n".join([f"HTTP/1.1 {status}", *headers])
        return f"{lines}\r\n\r\n".encode() + sent


@asynccontextmanager
async def serving(host: FileHost) -> AsyncIterator[FileHost]:
    """The host, which listens until the block ends."""
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        await server.wait_closed()
