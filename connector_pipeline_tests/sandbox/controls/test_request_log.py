"""What the log of requests promises to a test in another thread."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from connector_pipeline.sandbox.controls.request_log import RequestLog, RequestLogMiddleware

SCOPE: Scope = {
    "type": "http",
    "method": "GET",
    "path": "/token-service/api/v1/tokens/shopify/a.myshopify.com",
    "query_string": b"",
}


async def nothing() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("headers", "counts"),
    [([(b"content-length", b"4")], [0, 0, 1, 1]), ([], [0, 0, 0, 1])],
    ids=["of a length", "in chunks"],
)
async def test_a_client_that_has_its_answer_finds_it_in_the_log(
    headers: list[tuple[bytes, bytes]], counts: list[int]
) -> None:
    """The last byte leaves after the request is counted, and is counted once."""
    log, seen = RequestLog(), list[int]()

    def counted() -> int:
        return log.shop("token-service", "a.myshopify.com").count

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for body in (b"ab", b"cd", b""):
            await send({"type": "http.response.body", "body": body, "more_body": body != b""})

    async def send(message: Message) -> None:
        seen.append(counted())

    await RequestLogMiddleware(app, log)(SCOPE, nothing, send)
    assert seen == counts
    assert counted() == 1


async def test_an_answer_that_breaks_off_is_in_the_log_in_the_end() -> None:
    """So is one of which nothing was sent."""
    log = RequestLog()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(ConnectionResetError):
        await RequestLogMiddleware(app, log)(SCOPE, nothing, send)
    [request] = log.requests()
    assert request.status == 0
