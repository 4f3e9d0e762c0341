"""Whatever a host says of a range of a file, the file is read whole or an error is raised."""

import asyncio
from collections.abc import Generator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.download import FileDownload, FileRefused
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.any_json import headers

FILE = b'{"id":"gid://shopify/Product/1"}\n{"id":"gid://shopify/Product/2"}\n'
NUMBER = st.integers(0, 90).map(str) | st.sampled_from(["9" * 18, "9" * 19, "*", "-1", ""])
RANGES = st.tuples(NUMBER, NUMBER, NUMBER).map(lambda each: "bytes {}-{}/{}".format(*each))


@pytest.fixture(scope="module")
def sandbox() -> Generator[SandboxServer]:
    """A sandbox without shops: each answer is a fault."""
    with SandboxServer(()) as running:
        yield running


@given(
    ranges=RANGES | st.text(max_size=20),
    more=headers("ETag", "Retry-After"),
    status=st.sampled_from([200, 206, 206, 206, 416, 301, 500]),
    offset=st.integers(0, len(FILE)),
)
def test_any_range_gives_the_file_or_an_error(
    sandbox: SandboxServer, ranges: str, more: httpx.Headers, status: int, offset: int
) -> None:
    """Bytes that follow the ones read before are never those of another place."""
    sent = {name: value for name, value in more.items() if value.isascii() and value.strip()}
    if ranges.isascii() and ranges.isprintable() and ranges.strip():
        sent["Content-Range"] = ranges
    # Latin-1 is what the headers of the sandbox's faults are written in.
    sandbox.faults.set([{"kind": "body", "body": FILE.decode(), "status": status, "headers": sent}])

    async def read() -> bytes:
        import hashlib

        policy = HttpPolicy(max_retries=1, retry_delay=0.001, allow_private_hosts=True)
        url = f"{sandbox.url}/storage/a.myshopify.com/x.jsonl"
        async with FileDownload(url, hosts=(), policy=policy, report=FetchReport()) as file:
            known = hashlib.sha256(FILE[:offset])
            return b"".join([part async for part in file.parts(offset, known)])

    try:
        rest = asyncio.run(read())
    except (PlatformUnavailable, InvalidResponse, FileRefused) as error:
        rest = None
        assert str(error)  # noqa: PT017  any of the three will do
    stated = ranges.startswith(f"bytes {offset}-")
    assert rest is None or stated or rest == FILE[offset:]
