"""The receiver: an ASGI application to which platforms deliver their webhooks.

It verifies a delivery, records what it asks for, and answers after the commit. It keeps no body and
asks no shop. A failure on our side is a 503: the platform then delivers again.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connector_pipeline.credentials.webhook_secrets import made_secrets
from connector_pipeline.hints.answers import TAKEN, Answer, Refused, Send, later, refused
from connector_pipeline.hints.answers import send_answer as _send_answer
from connector_pipeline.hints.asked_secrets import AskedSecrets
from connector_pipeline.hints.body import Aborted, Bodies, Held, TooLarge, TooMany, TooSlow
from connector_pipeline.hints.recording import NotRecorded, Recorder, Unstorable
from connector_pipeline.hints.shop_rates import ShopRates
from connector_pipeline.hints.sources import Network, Refusals, source_of
from connector_pipeline.model.errors import ConnectorError, InvalidResponse, InvalidShop
from connector_pipeline.model.shop import valid_host_name
from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.platforms.kit.webhooks import Delivery, WebhookReader
from connector_pipeline.settings import Settings
from connector_pipeline.state.deliveries import ReceivedDelivery

HEALTH: Final = "/health"
_SUMMED_EVERY_SECONDS: Final = 60.0
_log: Final = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Scope = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Platform:
    """What the receiver knows of a platform. `app_secrets` sign for all its shops."""

    adapter: Adapter
    reader: WebhookReader
    app_secrets: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Request:
    platform_name: str
    platform: Platform
    named: str | None
    """The domain in the path."""
    headers: Mapping[str, str]
    source: str


class Receiver:
    """The ASGI application. `prefix` is the path of WEBHOOKS_URL, `''` or `/` and names."""

    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        settings: Settings,
        recorder: Recorder,
        asked: AskedSecrets,
        bodies: Bodies,
        proxies: Sequence[Network] = (),
        prefix: str = "",
    ):
        self._platforms = {
            name: Platform(adapter, reader, reader.app_secrets(settings))
            for name, adapter in adapters.items()
            if (reader := adapter.webhooks) is not None
        }
        self._settings = settings
        self._recorder = recorder
        self._asked = asked
        self._bodies = bodies
        self._proxies = proxies
        self._prefix = prefix
        self._refusals = Refusals()
        self._rates = ShopRates()
        self._unlogged = 0
        self._summed_at = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = _headers(scope["headers"])
        client = scope.get("client") or ("", 0)
        source = source_of(client[0], headers.get("x-forwarded-for", ""), self._proxies)
        try:
            answer = await self._answer(scope, headers, source, receive)
        except Refused as refusal:
            answer = self._of_refusal(refusal, source, str(scope["path"]))
        except Aborted:
            return
        except Exception:
            _log.exception("a delivery was not taken.")
            answer = later("An error of the receiver.", closes=True).answer
        await _send_answer(send, answer)

    async def _answer(
        self, scope: Scope, headers: Mapping[str, str], source: str, receive: Receive
    ) -> Answer:
        path, method = str(scope["path"]), str(scope["method"])
        if path == HEALTH and method in ("GET", "HEAD"):
            return TAKEN
        request = self._request(path, method, headers, source)
        held = Held(source)
        try:
            body = await self._body(receive, headers, held)
            if request.platform.reader.is_unsigned_ping(headers, body):
                return TAKEN
            domain = self._domain(request, body)
            delivery = await self._verified(request, domain, body)
            del body
        finally:
            # Before the commit: nothing of the body is needed any more.
            self._bodies.release(held)
        return await self._recorded(request, domain, delivery)

    def _request(self, path: str, method: str, headers: Mapping[str, str], source: str) -> _Request:
        # A proxy may have taken the prefix away.
        below = [each for each in path.removeprefix(f"{self._prefix}/").split("/") if each]
        platform = self._platforms.get(below[0]) if below else None
        if platform is None or len(below) > 2:
            raise refused(404, "Nothing is delivered to this path.", closes=True)
        if method != "POST":
            raise refused(405, "Send POST.", closes=True, headers={"allow": "POST"})
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in platform.reader.content_types:
            raise refused(415, f"Send {' or '.join(platform.reader.content_types)}.", closes=True)
        named = below[1].lower() if len(below) == 2 else None
        return _Request(below[0], platform, named, headers, source)

    async def _body(self, receive: Receive, headers: Mapping[str, str], held: Held) -> bytes:
        try:
            return await self._bodies.read(receive, headers.get("content-length"), held)
        except TooLarge:
            raise refused(413, "The body is too large.", closes=True) from None
        except TooSlow:
            raise refused(408, "The body took too long.", closes=True) from None
        except TooMany:
            raise later("Too much is being delivered at once.", closes=True) from None

    def _domain(self, request: _Request, body: bytes) -> str:
        """The domain of the shop that the delivery is of. Raises Refused."""
        try:
            return _domain(request)
        except Refused:
            reader, secrets = request.platform.reader, request.platform.app_secrets
            if not reader.shops_have_secrets and not reader.is_signed(
                request.headers, body, secrets
            ):
                # A platform tries whether bad signatures are refused as such.
                raise _unsigned() from None
            raise

    async def _verified(self, request: _Request, domain: str, body: bytes) -> Delivery:
        """The delivery, read once its signature is found good. Raises Refused."""
        if not await self._is_signed(request, domain, body):
            raise _unsigned()
        try:
            return request.platform.reader.read(domain, request.headers, body)
        except InvalidResponse as error:
            raise refused(400, f"The delivery cannot be read: {error.message}") from None

    async def _is_signed(self, request: _Request, domain: str, body: bytes) -> bool:
        reader, key = request.platform.reader, f"{request.platform_name}/{domain}"
        secrets = [*request.platform.app_secrets, *self._asked.kept(key)]
        if reader.shops_have_secrets:
            secrets += made_secrets(self._settings, key)
        if reader.is_signed(request.headers, body, secrets):
            return True
        if self._refusals.is_over(request.source, now=time.monotonic()):
            return False
        try:
            asked = await self._asked.ask(request.platform_name, domain)
        except ConnectorError as error:
            if reader.is_signed(request.headers, body, self._asked.outdated(key)):
                return True
            self._warn("the secret of %s cannot be asked for: %s", key, error.message)
            raise later("The signature cannot be verified now.") from None
        return reader.is_signed(request.headers, body, asked)

    async def _recorded(self, request: _Request, domain: str, delivery: Delivery) -> Answer:
        key = f"{request.platform_name}/{domain}"
        received = ReceivedDelivery(
            request.platform_name,
            domain,
            delivery,
            among_many=self._rates.is_over(key, now=time.monotonic()),
        )
        try:
            ours = await self._recorder.record(received)
        except NotRecorded:
            raise later("The delivery cannot be recorded now.") from None
        except Unstorable as error:
            raise refused(400, f"The delivery cannot be recorded: {error.message}") from None
        if not ours:
            raise refused(404, "The shop is not registered here.")
        if delivery.unread is not None:
            self._warn("%s: %s leads to nothing: %s.", key, delivery.topic, delivery.unread)
        if delivery.erases or delivery.acknowledges:
            _log.info("%s/%s: %s was taken.", request.platform_name, domain, delivery.topic)
        return TAKEN

    def _of_refusal(self, refusal: Refused, source: str, path: str) -> Answer:
        answer, now = refusal.answer, time.monotonic()
        with_care = self._refusals.count(source, now=now) if refusal.counts else True
        if with_care and self._refusals.may_log(now=now):
            _log.warning(
                "refused with %d: %s (path %s, from %s)",
                answer.status,
                answer.reason,
                clipped(path, most_bytes=200),
                clipped(source, most_bytes=60),
            )
        else:
            self._count_unlogged(now)
        if with_care:
            return answer
        return Answer(
            429,
            "Too many refused requests from this address.",
            answer.closes,
            {"retry-after": "60"},
        )

    def _warn(self, words: str, *values: str) -> None:
        if self._refusals.may_log(now=time.monotonic()):
            _log.warning(words, *values)

    def _count_unlogged(self, now: float) -> None:
        self._unlogged += 1
        if now - self._summed_at > _SUMMED_EVERY_SECONDS:
            _log.warning("refused %d more, without a line for each.", self._unlogged)
            self._unlogged, self._summed_at = 0, now


def _unsigned() -> Refused:
    return refused(401, "The signature is not of a secret that is known here.")


def _domain(request: _Request) -> str:
    """The domain of the shop that the delivery is of. Raises Refused."""
    claimed = request.platform.reader.claimed_domain(request.headers)
    domain = request.named or claimed
    if domain is None:
        raise refused(400, "Neither the path nor a header names the shop.")
    try:
        domain = valid_host_name(request.platform.adapter.valid_domain(domain))
    except InvalidShop:
        raise refused(404, "No shop of the platform has such a domain.") from None
    # Where one secret signs for all shops, it proves none of them.
    if claimed not in (None, domain) and not request.platform.reader.shops_have_secrets:
        raise refused(400, "The path and the header name different shops.")
    return domain


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers by their names in lower case. One that comes twice is a list with a comma.

    No signature, domain or topic has a comma, so such a one is refused wherever it is needed.
    """
    headers: dict[str, str] = {}
    for name, value in pairs:
        known, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        headers[known] = f"{headers[known]}, {text}" if known in headers else text
    return headers
