"""Post alerts to the webhook at ALERT_WEBHOOK_URL, which may hold a token and is never logged."""

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

import httpx
from pydantic import SecretStr

# httpx logs the URL of every request at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)

_TIMEOUT: Final = 10.0


class NotDelivered(Exception):
    """The webhook did not take the alert; the text is its status or the kind of error."""


def post(url: SecretStr, payload: Mapping[str, Any]) -> None:
    """POST the payload as JSON; any 2xx status counts as taken. Raises NotDelivered."""
    try:
        answer = httpx.post(
            url.get_secret_value(),
            content=json.dumps(payload),
            headers={"Content-Type": "application/json"},
            timeout=_TIMEOUT,
            follow_redirects=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDelivered(type(error).__name__) from None
    if not answer.is_success:
        raise NotDelivered(f"status {answer.status_code}")
