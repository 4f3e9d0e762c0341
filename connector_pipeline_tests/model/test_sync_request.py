"""How a sync request is read, and when its shop's registration lets it pass."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidShop, InvalidSyncRequest
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_request import (
    MalformedRequest,
    SyncRequest,
    parse_sync_request,
    registration,
)
from connector_pipeline.model.sync_type import RequestedSyncType

PAYLOAD = {
    "merchant_id": "m-1",
    "platform_name": "shopify",
    "platform_shop_id": "101",
    "domain": "acme.myshopify.com",
    "sync_id": "s-1",
    "sync_type": "full",
}


def valid_domain(platform_name: str, domain: str) -> str:
    """As `adapters.valid_domain`, of one platform with one shop."""
    if platform_name != "shopify":
        raise InvalidShop(f"{platform_name!r} is not a platform we know: shopify")
    if domain != "acme.myshopify.com":
        raise InvalidShop(f"{domain!r} is not a shop's domain")
    return domain


SHOP = SyncRequest.model_validate(PAYLOAD).shop(valid_domain)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def envelope(data: Any, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": "e-1",
        "event_type": "evt.catalog.sync.requested",
        "correlation_id": "c-1",
        "source_service": "catalog",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": data,
        **fields,
    }


def test_a_request_is_the_same_bare_and_in_an_envelope() -> None:
    """The correlation id may be beside the data or in it; the data's own comes first."""
    bare = parse_sync_request(encoded(PAYLOAD))
    assert bare == SyncRequest.model_validate(PAYLOAD)
    assert bare.usable_correlation_id == "s-1"
    wrapped = parse_sync_request(encoded(envelope(PAYLOAD)))
    assert wrapped == bare.model_copy(update={"correlation_id": "c-1"})
    inner = parse_sync_request(encoded(envelope(PAYLOAD | {"correlation_id": "c-2"})))
    assert inner.usable_correlation_id == "c-2"


def test_a_request_without_a_type_is_for_a_full_sync() -> None:
    """The predecessor did the same."""
    payload = {name: value for name, value in PAYLOAD.items() if name != "sync_type"}
    assert parse_sync_request(encoded(payload)).requested_type() is RequestedSyncType.full


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"sync please", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (encoded(PAYLOAD | {"sync_id": None}), "no valid sync_id"),
        (encoded(PAYLOAD | {"sync_id": "a b"}), "no valid sync_id"),
        (encoded(PAYLOAD | {"sync_id": "x" * 201}), "no valid sync_id"),
        (encoded(envelope({"merchant_id": "m-1"})), "no valid sync_id"),
        (encoded(PAYLOAD | {"merchant_id": ""}), "no valid merchant_id"),
        (encoded(PAYLOAD | {"merchant_id": "\ud800"}), "no valid merchant_id"),
    ],
)
def test_a_message_that_nobody_could_be_answered_for_is_no_request(
    body: bytes, reason: str
) -> None:
    """It names no sync or no merchant."""
    with pytest.raises(MalformedRequest, match=reason):
        parse_sync_request(body)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"platform_name": "etsy"}, "'etsy' is not a platform we know: shopify"),
        ({"platform_name": None}, "'' is not a platform we know"),
        ({"domain": "https://acme.myshopify.com"}, "is not a shop's domain"),
        ({"domain": {}}, "is not a shop's domain"),
        ({"platform_shop_id": " "}, "platform_shop_id must not be empty"),
        ({"platform_shop_id": "\x00"}, "platform_shop_id must not be empty"),
        ({"platform_shop_id": "1\u202e"}, "platform_shop_id must not be .* that do not show"),
        ({"platform_shop_id": "ß" * 128}, "platform_shop_id must not be .*longer than 255 bytes"),
        ({"sync_type": "partial"}, "sync_type 'partial'"),
        ({"sync_type": None}, "sync_type ''"),
        ({"sync_type": "x" * 1_000_000}, "sync_type 'x{80}' is not one of"),
    ],
)
def test_a_request_that_cannot_be_synced_is_refused_with_the_reason(
    change: dict[str, Any], reason: str
) -> None:
    """It is a request all the same: its sync fails, and its requester hears of it."""
    request = parse_sync_request(encoded(PAYLOAD | change))
    with pytest.raises(InvalidSyncRequest, match=reason):
        (request.shop(valid_domain), request.requested_type())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.binary()
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys([*PAYLOAD, "correlation_id", "data"], JSON_VALUES)
    ).map(encoded)
    | st.fixed_dictionaries({"sync_id": st.just("s-1"), "merchant_id": st.just("m-1")}).flatmap(
        lambda known: st.fixed_dictionaries(
            {}, optional=dict.fromkeys([*PAYLOAD, "correlation_id"], JSON_VALUES)
        ).map(lambda drawn: encoded(drawn | known))
    )
)
def test_any_bytes_are_a_request_or_are_refused_as_none(body: bytes) -> None:
    """Postgres can store any request, and an HTTP header can hold its correlation id."""
    try:
        request = parse_sync_request(body)
    except MalformedRequest:
        return
    for value in request.model_dump().values():
        if value is not None:
            assert b"\x00" not in value.encode()
    assert request.usable_correlation_id.isascii()
    assert request.usable_correlation_id.isprintable()
    assert request.usable_correlation_id.strip()


def registered(**changes: Any) -> RegisteredShop:
    return RegisteredShop(**SHOP.model_dump(), **changes)


def test_an_unknown_shop_is_registered_by_its_request() -> None:
    """And a known one stays as it is."""
    assert registration(SHOP, None) == registered()
    assert registration(SHOP, registered()) == registered()


def test_a_disconnected_shop_is_tried() -> None:
    """Its requester expects it to be connected again; the sync finds out."""
    wanted = registration(SHOP, registered(state=ShopState.DISCONNECTED))
    assert wanted.state is ShopState.ACTIVE


def test_a_paused_shop_and_another_merchants_are_refused() -> None:
    """An operator paused the one on purpose; a mistaken request must not give away the other."""
    with pytest.raises(InvalidSyncRequest, match="paused"):
        registration(SHOP, registered(state=ShopState.PAUSED))
    with pytest.raises(InvalidSyncRequest, match="another merchant"):
        registration(SHOP.model_copy(update={"merchant_id": "m-2"}), registered())


def test_the_platforms_id_of_a_shop_follows_the_request() -> None:
    """An operator may have registered the shop without knowing its id."""
    renamed = SHOP.model_copy(update={"platform_shop_id": "202"})
    assert registration(renamed, registered()).platform_shop_id == "202"
    assert renamed.platform_name == "shopify"
