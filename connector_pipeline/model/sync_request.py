"""A sync request: a row of `connector.sync_requests`, or a NATS message."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from connector_pipeline.model.errors import InvalidShop, InvalidSyncRequest
from connector_pipeline.model.shop import RegisteredShop, Shop, Text
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.storable import clipped, escaped
from connector_pipeline.model.sync import SyncId
from connector_pipeline.model.sync_type import RequestedSyncType

SUBJECT: Final = "evt.catalog.sync.requested"

LONGEST_FIELD: Final = 2_000
"""Characters of a field that are read. More than any field may have, so that a longer one is
refused for its length."""
_LONGEST_REASON: Final = 1_000
_SHOWN: Final = 80

_sync_id: Final = TypeAdapter[str](SyncId)
_text: Final = TypeAdapter[str](Text)


class MalformedRequest(ValueError):
    """A message that nobody can be answered for: it is not JSON, or names no sync or merchant."""


class SyncRequest(BaseModel):
    """A request that names its sync and its merchant, so that its requester can be answered.

    The connector may still refuse it. The field names are the predecessor's. Where `correlation_id`
    is None, the sync_id takes its place.
    """

    model_config = ConfigDict(frozen=True)

    merchant_id: Text
    platform_name: Annotated[str, Field(description="a platform that has an adapter")]
    platform_shop_id: str
    domain: str
    sync_id: SyncId
    sync_type: Annotated[str, Field(description="full, incremental or auto")] = "full"
    correlation_id: str | None = None

    def shop(self, valid_domain: Callable[[str, str], str]) -> Shop:
        """The shop that the request names. Raises InvalidSyncRequest if no such shop is possible.

        `valid_domain` is `adapters.valid_domain`: of a platform's name and a domain it returns the
        domain, or raises InvalidShop where no shop of that platform can have it.
        """
        try:
            return Shop.of(
                merchant_id=self.merchant_id,
                platform_name=self.platform_name,
                platform_shop_id=self.platform_shop_id,
                domain=valid_domain(self.platform_name, self.domain),
            )
        except InvalidShop as error:
            reason = clipped(str(error), most_bytes=_LONGEST_REASON)
            raise InvalidSyncRequest(f"{reason}.") from None

    def requested_type(self) -> RequestedSyncType:
        """The sync type that the request asks for. Raises InvalidSyncRequest."""
        try:
            return RequestedSyncType(self.sync_type)
        except ValueError:
            known = ", ".join(requested.value for requested in RequestedSyncType)
            raise InvalidSyncRequest(
                f"sync_type {self.sync_type[:_SHOWN]!r} is not one of {known}."
            ) from None

    @property
    def usable_correlation_id(self) -> str:
        """The request's correlation id if an HTTP header can hold it, else its sync_id."""
        given = self.correlation_id or ""
        fits = 0 < len(given) <= 200 and given.isascii() and given.isprintable()
        return given.strip() if fits and given.strip() else self.sync_id


def parse_sync_request(body: bytes) -> SyncRequest:
    """The request in a message: a JSON object of its fields, bare or as `data` of an envelope.

    A number becomes its digits. A field that is missing, or of another type, becomes an empty text,
    for which the request is refused later, with an answer. Raises MalformedRequest where nobody
    could be answered.
    """
    try:
        message: object = json.loads(body, parse_int=_bounded_int)
    except (ValueError, RecursionError):
        raise MalformedRequest("is not JSON in UTF-8") from None
    if not isinstance(message, dict):
        raise MalformedRequest("is not a JSON object")
    envelope = cast("dict[str, Any]", message)
    inner = envelope.get("data")
    fields = cast("dict[str, Any]", inner) if isinstance(inner, dict) else envelope
    for name, valid in (("sync_id", _sync_id), ("merchant_id", _text)):
        given = fields.get(name)
        try:
            written = valid.validate_python(_as_text(given))
        except ValidationError:
            written = None
        if written != (given if isinstance(given, str) else _as_text(given)):
            raise MalformedRequest(f"has no valid {name}")
    return SyncRequest(
        merchant_id=_as_text(fields["merchant_id"]),
        platform_name=_as_text(fields.get("platform_name")),
        platform_shop_id=_unescaped(fields.get("platform_shop_id")),
        domain=_as_text(fields.get("domain")),
        sync_id=_as_text(fields["sync_id"]),
        sync_type=_as_text(fields.get("sync_type", "full")),
        correlation_id=_as_text(fields.get("correlation_id") or envelope.get("correlation_id"))
        or None,
    )


_MOST_DIGITS: Final = 30
"""More digits than the id of any shop has."""


def _bounded_int(written: str) -> int:
    # Python refuses to read thousands of digits, and the rest of the message can be answered.
    return int(written[: _MOST_DIGITS + 2])


def _as_text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        # Some requesters write a shop's id without quotes.
        return str(value) if abs(value) < 10**_MOST_DIGITS else ""
    if not isinstance(value, str):
        return ""
    return escaped(value[:LONGEST_FIELD])


def _unescaped(value: object) -> str:
    """As `_as_text`, but empty where escapes would make another id of it."""
    text = _as_text(value)
    return text if not isinstance(value, str) or value.startswith(text) else ""


def registration(shop: Shop, registered: RegisteredShop | None) -> RegisteredShop:
    """The requested shop as the registry must hold it before its sync.

    An unknown shop is registered. A disconnected shop becomes active again: its requester expects
    it to be connected, and the sync finds out. Raises InvalidSyncRequest for a shop of another
    merchant and for a shop that an operator has paused.
    """
    if registered is None:
        return RegisteredShop(**shop.model_dump())
    if registered.merchant_id != shop.merchant_id:
        raise InvalidSyncRequest(
            "the shop is registered for another merchant.",
            partition_key=shop.partition_key,
            remedy="If it changed hands: `connector-pipeline shops add SHOP --merchant-id M`, then "
            "ask again under another sync_id.",
        )
    if registered.state is ShopState.PAUSED:
        raise paused_shop(shop.partition_key)
    return registered.model_copy(
        update={"platform_shop_id": shop.platform_shop_id, "state": ShopState.ACTIVE}
    )


def paused_shop(partition_key: str) -> InvalidSyncRequest:
    """The error of a request for a shop that an operator has paused."""
    return InvalidSyncRequest(
        "an operator has paused the shop.",
        partition_key=partition_key,
        remedy="`connector-pipeline shops resume SHOP`, then ask again under another sync_id.",
    )
