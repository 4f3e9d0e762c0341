"""Post alerts to a webhook of ALERT_WEBHOOK_URL, which may hold a token and is never logged."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

import httpx
from pydantic import SecretStr

# httpx logs the URL of every request at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)

_SECONDS: Final = 10.0
"""From connecting to the status: a webhook that drips must not hold up the sensor."""


class NotDelivered(Exception):
    """The webhook did not take the alert; the text is its status or the kind of error.

    `answered` is false where no status came: another alert would wait as long in vain.
    """

    def __init__(self, reason: str, *, answered: bool):
        super().__init__(reason)
        self.answered = answered


def post(url: SecretStr, payload: Mapping[str, Any], *, seconds: float = _SECONDS) -> None:
    """POST the payload as JSON; any 2xx status counts as taken. Raises NotDelivered.

    `seconds` are for the whole call. No redirect is followed, and no body is read.
    """
    try:
        status = asyncio.run(_status(url, payload, seconds))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise NotDelivered(type(error).__name__, answered=False) from None
    if not 200 <= status < 300:
        raise NotDelivered(f"status {status}", answered=True)


async def _status(url: SecretStr, payload: Mapping[str, Any], seconds: float) -> int:
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(timeout=seconds, follow_redirects=False) as client,
        client.stream(
            "POST",
            url.get_secret_value(),
            # Not in ASCII: Teams counts bytes, and an escape is three times a letter.
            content=json.dumps(payload, ensure_ascii=False).encode(errors="backslashreplace"),
            headers={"Content-Type": "application/json"},
        ) as answer,
    ):
        return answer.status_code
