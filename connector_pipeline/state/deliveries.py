"""What a receiver of webhooks records of deliveries, many of them in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from connector_pipeline.model.hint import HintSource
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.kit.webhooks import Delivery
from connector_pipeline.state import disconnected, erase_demands, hints
from connector_pipeline.state.hints import ReceivedHint

# An erasure, which alone deletes a shop's row, waits for this lock, and so deletes the hints too.
# Nobody else waits for it. In the order in which everybody locks shops.
_STATES: Final = """
    SELECT shop.platform_name, shop.domain, shop.state
    FROM connector.shops AS shop
    JOIN unnest(%s::text[], %s::text[]) AS of (platform_name, domain)
        USING (platform_name, domain)
    ORDER BY platform_name, domain FOR KEY SHARE OF shop
"""


@dataclass(frozen=True, slots=True)
class ReceivedDelivery:
    """A verified delivery of a shop, which need not be registered.

    `among_many`: the shop delivers so much that its hints are not recorded one by one.
    """

    platform_name: str
    domain: str
    delivery: Delivery
    among_many: bool = False


def record(connection: psycopg.Connection, received: Sequence[ReceivedDelivery]) -> list[bool]:
    """Record what the deliveries ask for. Returns for each whether it is one of ours.

    It is not if the shop is not registered; but a demand to erase is recorded all the same, as rows
    of the shop may be left. The hints of an active shop wait for the queue. A paused shop's are
    dropped: its next sync reads what changed. A disconnected shop that sends webhooks works, so it
    is asked soon whether it lets us in again. Part of the caller's transaction, which keeps the
    shops in the registry until it ends, and waits for an erasure of one of them to end.
    """
    states = _states(connection, received)
    put: list[ReceivedHint] = []
    working: set[tuple[str, str]] = set()
    erased: set[str] = set()
    busy: set[tuple[str, str]] = set()
    for each in received:
        shop = (each.platform_name, each.domain)
        if each.delivery.erases:
            erased.add("/".join(shop))
        elif states.get(shop) is ShopState.ACTIVE and each.among_many and each.delivery.hints:
            busy.add(shop)
        elif states.get(shop) is ShopState.ACTIVE:
            put += _hints(each)
        elif states.get(shop) is ShopState.DISCONNECTED and each.delivery.hints:
            working.add(shop)
    hints.put(connection, put)
    hints.put_anything(connection, sorted(busy))
    erase_demands.put(connection, erased)
    disconnected.ask_soon(connection, sorted(working))
    return [
        each.delivery.erases
        or each.delivery.acknowledges
        or (each.platform_name, each.domain) in states
        for each in received
    ]


def registered_shop(connection: psycopg.Connection, platform_name: str, domain: str) -> Shop | None:
    """The shop, as the Token Service is asked for it; None if it is not registered."""
    row = connection.execute(
        "SELECT merchant_id, platform_shop_id FROM connector.shops"
        " WHERE platform_name = %s AND domain = %s",
        (platform_name, domain),
    ).fetchone()
    if row is None:
        return None
    return Shop(
        merchant_id=row[0], platform_shop_id=row[1], platform_name=platform_name, domain=domain
    )


def _states(
    connection: psycopg.Connection, received: Sequence[ReceivedDelivery]
) -> dict[tuple[str, str], ShopState]:
    shops = {(each.platform_name, each.domain) for each in received}
    rows = connection.execute(
        _STATES, ([platform for platform, _ in shops], [domain for _, domain in shops])
    ).fetchall()
    return {(platform, domain): ShopState(state) for platform, domain, state in rows}


def _hints(received: ReceivedDelivery) -> list[ReceivedHint]:
    delivery = received.delivery
    return [
        ReceivedHint(
            platform_name=received.platform_name,
            domain=received.domain,
            source=HintSource.WEBHOOK,
            hint=hint,
            delivery_id=delivery.delivery_id and f"{delivery.delivery_id}/{number}",
        )
        for number, hint in enumerate(delivery.hints)
    ]
