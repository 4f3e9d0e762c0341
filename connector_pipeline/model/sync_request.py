"""A sync request: what somebody asks for, in `connector.sync_requests` or as a NATS message."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from connector_pipeline.model.errors import InvalidShop, InvalidSyncRequest
from connector_pipeline.model.shop import RegisteredShop, Shop, ShopState, Text
from connector_pipeline.model.sync import RequestedSyncType, SyncId

SUBJECT: Final = "evt.catalog.sync.requested"

_sync_id: Final = TypeAdapter[str](SyncId)
_text: Final = TypeAdapter[str](Text)


class MalformedRequest(ValueError):
    """A message nobody can be answered for: it names no sync, or no merchant, or is not JSON."""


class SyncRequest(BaseModel):
    """A request whose requester can be told how it ends; what it asks for may still be refused.

    The field names are those of the service before. `correlation_id` None: the sync_id serves.
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
        """The shop it names. Raises InvalidSyncRequest if there cannot be such a shop.

        `valid_domain` gives the domain back that a shop of a platform may have, and raises
        InvalidShop for any other platform or domain: `adapters.valid_domain`.
        """
        try:
            domain = valid_domain(self.platform_name, self.domain)
            return Shop(
                merchant_id=self.merchant_id,
                platform_name=self.platform_name,
                platform_shop_id=self.platform_shop_id,
                domain=domain,
            )
        except InvalidShop as error:
            raise InvalidSyncRequest(f"{error}.") from None
        except ValidationError:
            raise InvalidSyncRequest(
                "merchant_id or platform_shop_id is empty, longer than 255, or has spaces at its "
                "ends or control characters."
            ) from None

    def requested_type(self) -> RequestedSyncType:
        """The sync type it asks for. Raises InvalidSyncRequest."""
        try:
            return RequestedSyncType(self.sync_type)
        except ValueError:
            known = ", ".join(requested.value for requested in RequestedSyncType)
            raise InvalidSyncRequest(
                f"sync_type {self.sync_type!r} is not one of {known}."
            ) from None

    @property
    def usable_correlation_id(self) -> str:
        """The correlation id to go by: the request's, if it can travel in an HTTP header."""
        given = self.correlation_id or ""
        fits = 0 < len(given) <= 200 and given.isascii() and given.isprintable()
        return given.strip() if fits and given.strip() else self.sync_id


def parse_sync_request(body: bytes) -> SyncRequest:
    """The request of a message: an object of its fields, bare or as `data` of an envelope.

    What is missing or of another type than text becomes an empty text, to be refused with an
    answer; a number is taken as its digits. Raises MalformedRequest where none could be answered.
    """
    try:
        message: object = json.loads(body)
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
        platform_shop_id=_as_text(fields.get("platform_shop_id")),
        domain=_as_text(fields.get("domain")),
        sync_id=_as_text(fields["sync_id"]),
        sync_type=_as_text(fields.get("sync_type", "full")),
        correlation_id=_as_text(fields.get("correlation_id") or envelope.get("correlation_id"))
        or None,
    )


def _as_text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        # A shop's id is a number to whoever wrote it down without quotes.
        return str(value) if abs(value) < 10**30 else ""
    if not isinstance(value, str):
        return ""
    # Postgres holds neither NUL nor half a surrogate pair, both of which JSON can send.
    return value.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")[:2_000]


def registration(shop: Shop, registered: RegisteredShop | None) -> RegisteredShop:
    """What the registry is to hold of a requested shop, so that it can be synced.

    An unknown one is registered; one that is disconnected is taken up again, because who asks for
    it expects it to be connected, and the sync finds out. Raises InvalidSyncRequest for a shop of
    another merchant and for one an operator has paused.
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
        raise InvalidSyncRequest(
            "an operator has paused the shop.",
            partition_key=shop.partition_key,
            remedy="`connector-pipeline shops resume SHOP`, then ask again under another sync_id.",
        )
    return registered.model_copy(
        update={"platform_shop_id": shop.platform_shop_id, "state": ShopState.ACTIVE}
    )
