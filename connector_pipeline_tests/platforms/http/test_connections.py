"""Promises about the connections of an HTTP client, kept against a real HTTPS server."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpx
import psutil
import pytest
import trustme

from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.connecting import Transport
from connector_pipeline.platforms.http.download import FileDownload
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport

POLICY = HttpPolicy(allow_private_hosts=True, max_retries=0)
BODY = b"[1, 2, 3]"
_LONGEST_CLOSING: Final = 120.0
ANSWER = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request on the connection, until the client ends it."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def test_an_answer_too_many_is_not_the_next_request_s() -> None:
    """A host, or a proxy before it, may send two at once: the shop's pages would be mixed up."""
    one, other = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body for body in (b"[1]", b"[2]")
    )
    answers = [one + other, one, one]
    connections: list[asyncio.Task[Any] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answers.pop(0))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    policy = HttpPolicy(allow_private_hosts=True, max_retries=1, retry_delay=0.01)
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        OriginHttp(f"http://127.0.0.1:{port}", policy=policy, report=FetchReport()) as http,
    ):
        assert [(await http.request("GET", "/")).json for _ in range(2)] == [[1], [1]]
    assert len(connections) == 2
    await asyncio.gather(*filter(None, connections))


@asynccontextmanager
async def https_server(authority: trustme.CA) -> AsyncIterator[int]:
    """The port of a server on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.example", "127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class CancelledAtAStep:
    """Awaits the work and cancels the task when the work waits for the `step`th time.

    With `late`, the task is cancelled only when what it waited for has come. `steps` counts how
    often the work waited.
    """

    def __init__(self, work: Coroutine[Any, Any, None], *, step: int, late: bool):
        self._work = work
        self._step = step
        self._late = late
        self.steps = 0

    def __await__(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        work = self._work.__await__()
        resume: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
        while True:
            try:
                awaited = resume()
            except StopIteration:
                return
            self.steps += 1
            if self.steps == self._step and self._late and awaited is not None:
                awaited.add_done_callback(lambda _: task.cancel())
            elif self.steps == self._step:
                task.cancel()
            try:
                value = yield awaited
                resume = lambda value=value: work.send(value)  # noqa: E731
            except BaseException as error:
                resume = lambda error=error: work.throw(error)  # noqa: E731


def open_to(port: int) -> int:
    """How many connections this process has open to the server."""
    found = psutil.Process().net_connections(kind="tcp")
    return sum(
        bool(each.raddr) and each.raddr.port == port
        for each in found
        if each.status == "ESTABLISHED"
    )


async def none_is_open(port: int) -> bool:
    """Whether the connections are closed: at once, or in a moment, when the loop comes to it.

    The garbage collector, which would close a lost one, waits meanwhile. The time only bounds the
    failure of the test.
    """
    gc.disable()
    try:
        async with asyncio.timeout(_LONGEST_CLOSING):
            while open_to(port):  # noqa: ASYNC110  the system has no event for it
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    finally:
        gc.enable()
    return True


async def one_after_the_other(port: int) -> None:
    """Two requests on one connection."""
    async with origin(port) as http:
        await http.request("GET", "/")
        await http.request("GET", "/")


async def at_once(port: int) -> None:
    """Two requests on two connections, then a third one."""
    async with origin(port) as http:
        await asyncio.gather(http.request("GET", "/"), http.request("GET", "/"))
        await http.request("GET", "/")


async def download(port: int) -> None:
    """A file."""
    url = f"https://127.0.0.1:{port}/file"
    async with FileDownload(url, hosts=(), policy=POLICY, report=FetchReport()) as file:
        assert b"".join([part async for part in file.parts()]) == BODY


def origin(port: int) -> OriginHttp:
    """A client of the server."""
    return OriginHttp(f"https://127.0.0.1:{port}", policy=POLICY, report=FetchReport())


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("work", [one_after_the_other, at_once, download])
def test_a_cancelled_client_leaves_no_connection_open(
    shop_names: None,
    authority: trustme.CA,
    work: Callable[[int], Coroutine[Any, Any, None]],
    late: bool,
) -> None:
    """Wherever it is cancelled: in a connection's TLS handshake, or while it closes several."""

    async def cancelled_everywhere() -> None:
        async with https_server(authority) as port:
            step, done = 1, False
            while not done:
                stepped = CancelledAtAStep(work(port), step=step, late=late)

                async def run(stepped: Awaitable[None] = stepped) -> None:
                    await stepped

                [outcome] = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
                assert outcome is None or isinstance(outcome, asyncio.CancelledError)
                assert await none_is_open(port), f"cancelled at step {step} of {stepped.steps}"
                done = outcome is None
                step += 1
            # The handshake alone waits several times.
            assert step > 5

    asyncio.run(cancelled_everywhere())


def test_a_client_that_was_closed_opens_no_connection(
    shop_names: None, authority: trustme.CA
) -> None:
    """Also where the client is closed while a request is on its way to a connection."""

    async def closed_meanwhile() -> None:
        async with https_server(authority) as port:
            transport = Transport(POLICY)
            request = httpx.Request("GET", f"https://127.0.0.1:{port}/")
            asked = asyncio.create_task(transport.handle_async_request(request))
            await asyncio.sleep(0)
            await transport.aclose()
            with pytest.raises(httpx.ConnectError):
                await asked
            assert await none_is_open(port)

    asyncio.run(closed_meanwhile())
