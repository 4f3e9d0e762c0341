"""JSON answers, with text byte for byte as the store holds it."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


def json_bytes(body: Any) -> bytes:
    """Compact JSON in UTF-8. If a text has half a surrogate pair, JSON in ASCII with escapes."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response with the content type that both platforms send."""
    return Response(
        json_bytes(body), status, dict(headers or {}), "application/json; charset=utf-8"
    )
