"""Promises about when a shop's credentials are renewed while the shop is read."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from connector_pipeline.model.errors import TokenServiceUnavailable
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import Credentials
from connector_pipeline.platforms.kit.credentials import MARGIN, ShopCredentials, renewal_time

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SHOP = Shop(
    merchant_id="m-1", platform_name="stand_in", platform_shop_id="1", domain="shop.example.com"
)


class Numbered(Credentials):
    """Credentials with a number."""

    number: int


class Service:
    """A Token Service whose credentials are numbered and expire at the given times, in order."""

    def __init__(self, *ends: datetime | None):
        self.ends: Iterator[datetime | None] = iter(ends)
        self.asked = 0

    async def credentials(self, shop: Shop, model: type[Any]) -> Any:
        """The next credentials, after the event loop ran other tasks."""
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0)
        try:
            end = next(self.ends)
        except StopIteration:
            raise TokenServiceUnavailable("has none left.") from None
        found: BaseModel = model(number=number, expires_at=end)
        return found


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def held(service: Service, clock: Clock) -> ShopCredentials[Numbered]:
    return ShopCredentials(SHOP, service, Numbered, clock=clock)


async def test_they_are_asked_for_when_needed_and_then_kept() -> None:
    """Not every request asks the Token Service."""
    service = Service(None)
    credentials = held(service, Clock())
    assert service.asked == 0
    assert [(await credentials.current()).number for _ in range(3)] == [1, 1, 1]


async def test_they_are_renewed_before_they_end() -> None:
    """Credentials that expire during a request would cost that request and a refusal."""
    clock = Clock()
    service = Service(NOW + timedelta(hours=1), None)
    credentials = held(service, clock)
    await credentials.current()
    clock.now = NOW + timedelta(hours=1) - MARGIN - timedelta(microseconds=1)
    assert (await credentials.current()).number == 1
    clock.now = NOW + timedelta(hours=1) - MARGIN
    assert (await credentials.current()).number == 2


async def test_ones_that_had_ended_when_given_are_used_until_refused() -> None:
    """Otherwise a Token Service with a wrong clock would be asked at every request."""
    service = Service(NOW - timedelta(days=1), NOW - timedelta(days=1))
    credentials = held(service, Clock())
    first = await credentials.current()
    assert (await credentials.current()) is first
    credentials.refused(first)
    assert (await credentials.current()).number == 2


async def test_requests_under_way_together_share_what_replaces_refused_ones() -> None:
    """Ten refusals of the same credentials cost one question to the Token Service."""
    service = Service(None, None)
    credentials = held(service, Clock())
    old = await asyncio.gather(*(credentials.current() for _ in range(10)))
    assert {each.number for each in old} == {1}

    async def refused(each: Numbered) -> Numbered:
        credentials.refused(each)
        return await credentials.current()

    fresh = await asyncio.gather(*(refused(each) for each in old))
    assert {each.number for each in fresh} == {2}
    # A late refusal of the replaced credentials does not drop the fresh ones.
    credentials.refused(old[0])
    assert (await credentials.current()).number == 2
    assert service.asked == 2


async def test_a_token_service_in_trouble_is_asked_again_by_the_next_request() -> None:
    """Its error is raised and not kept."""
    service = Service()
    credentials = held(service, Clock())
    for _ in range(2):
        with pytest.raises(TokenServiceUnavailable):
            await credentials.current()
    assert service.asked == 2


@pytest.mark.parametrize(
    ("expires_at", "renewed_at"),
    [
        (None, None),
        ("2026-11-23T13:00:00Z", NOW + timedelta(hours=1) - MARGIN),
        ("2026-11-23T13:00:00", NOW + timedelta(hours=1) - MARGIN),
        ("2026-11-23T14:00:00+01:00", NOW + timedelta(hours=1) - MARGIN),
        ("2026-11-23T12:00:10Z", NOW + timedelta(seconds=10) - MARGIN),
        ("2026-11-23T12:00:00Z", None),
        ("2026-11-23T12:30:00+01:00", None),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59.999999", datetime.max.replace(tzinfo=UTC) - MARGIN),
    ],
)
def test_their_end_is_judged_in_utc(expires_at: str | None, renewed_at: datetime | None) -> None:
    """A time without a zone is UTC."""
    credentials = Numbered.model_validate({"number": 1, "expires_at": expires_at})
    assert renewal_time(credentials, NOW) == renewed_at


@given(
    st.datetimes(
        timezones=st.none()
        | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    )
)
def test_no_end_breaks_the_reading_of_a_shop(end: datetime) -> None:
    """The years 1 and 9999 in any zone are among the times tried."""
    renewal = renewal_time(Numbered(number=1, expires_at=end), NOW)
    in_utc = end if end.tzinfo is not None else end.replace(tzinfo=UTC)
    assert (renewal is None) == (in_utc <= NOW)


def test_they_do_not_show_themselves_in_what_validation_says() -> None:
    """An error about the Token Service's rubbish must not log it."""
    with pytest.raises(ValueError, match="number") as caught:
        Numbered.model_validate({"number": "secret"})
    assert "secret" not in str(caught.value)
