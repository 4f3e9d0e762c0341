"""Serves results of bulk operations as storage.googleapis.com does: signed links, ranges, ETags.

It refuses a request that brings a Shopify token, which must not be sent to this host.
"""

import hmac
import re
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from connector_pipeline.sandbox.shopify.bulk_result import BulkResult
from connector_pipeline.sandbox.shops.store import Store

_CHUNK: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=([0-9]+)-([0-9]*)")


class BulkStorage:
    """The host of the results of all shops."""

    def __init__(self, store: Store):
        self._store = store

    def routes(self) -> list[Route]:
        return [Route("/storage/{domain}/{name}", self._file, methods=["GET"])]

    async def _file(self, request: Request) -> Response:
        if "x-shopify-access-token" in request.headers or "authorization" in request.headers:
            return _refused(400, "InvalidArgument")
        shop = self._store.get("shopify", request.path_params["domain"])
        operation = shop.bulk.at_path(request.path_params["name"]) if shop else None
        if shop is None or operation is None:
            return _refused(404, "NoSuchKey")
        signature = request.query_params.get("X-Goog-Signature", "")
        if not hmac.compare_digest(signature.encode(), operation.signature.encode()):
            return _refused(403, "SignatureDoesNotMatch")
        if shop.bulk.plan.refused is not None:
            return _refused(shop.bulk.plan.refused, "ExpiredToken")
        result = operation.result
        headers = {"ETag": result.etag, "Content-Type": "application/jsonl"}
        asked = _RANGE.fullmatch(request.headers.get("range", ""))
        unchanged = request.headers.get("if-range", result.etag) == result.etag
        if asked is None or not shop.bulk.plan.ranges or not unchanged:
            return _answer(result, 0, result.length, 200, headers)
        start = int(asked[1])
        stop = min(result.length, int(asked[2]) + 1 if asked[2] else result.length)
        if start >= stop:
            return _refused(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{result.length}"
        return _answer(result, start, stop, 206, headers)


def _answer(
    result: BulkResult, start: int, stop: int, status: int, headers: dict[str, str]
) -> Response:
    async def content() -> AsyncIterator[bytes]:
        for at in range(start, stop, _CHUNK):
            yield result.read(at, min(_CHUNK, stop - at))

    return StreamingResponse(content(), status, headers | {"Content-Length": str(stop - start)})


def _refused(status: int, code: str) -> Response:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"
    return Response(body, status, media_type="application/xml")
