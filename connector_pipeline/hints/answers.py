"""The answers of the receiver: a status, and for a refusal the reason and how it ends."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request. `reason` is a line for whoever reads the platform's log of it.

    `closes`: the connection is not used again, because the rest of the request was not read.
    """

    status: int
    reason: str = ""
    closes: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


TAKEN = Answer(200)


class Refused(Exception):
    """The request is refused with this answer. `counts`: against the number of its source."""

    def __init__(self, answer: Answer, *, counts: bool = True):
        super().__init__(answer.reason)
        self.answer = answer
        self.counts = counts


def refused(
    status: int,
    reason: str,
    *,
    closes: bool = False,
    counts: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Refused:
    """The refusal with this status and reason."""
    return Refused(Answer(status, reason, closes, headers or {}), counts=counts)


def later(reason: str, *, closes: bool = False) -> Refused:
    """The refusal of a request that is to be sent again: the fault is ours."""
    return refused(503, reason, closes=closes, counts=False, headers={"retry-after": "30"})


async def send_answer(send: Send, answer: Answer) -> None:
    """Send the answer, as ASGI has it."""
    body = f"{answer.reason}\n".encode() if answer.reason else b""
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **answer.headers,
    }
    if answer.closes:
        headers["connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
