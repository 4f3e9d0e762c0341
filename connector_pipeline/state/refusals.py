"""How long a refusal of a shop is doubted, and when it is believed.

One refusal proves little: a platform's bad minute, a firewall, or our own address may be behind it.
So a refused shop stays active, and the registry remembers when the platform began to refuse it. A
sync that is refused CONFIRMED_AFTER later marks the shop disconnected. Many refusals at once
confirm nothing. Each function is part of the caller's transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, LiteralString

import psycopg

from connector_pipeline.model.errors import AccessRefused, ShopDisconnected
from connector_pipeline.model.shop_state import ShopState

CONFIRMED_AFTER: Final = timedelta(seconds=90)
"""A refusal that a later sync meets again after so long is no trouble of a minute.

Of sweeps a minute apart, the second one after the first refusal confirms it.
"""

FEWEST_AT_ONCE: Final = 5
"""Fewer shops than these may all be refused at once, each for a reason of its own."""

ASKED_FIRST_AFTER: Final = timedelta(minutes=10)
"""A disconnected shop is asked again after this long, and after twice as long each time."""
ASKED_LAST_AFTER: Final = timedelta(hours=24)

NOT_REFUSED: Final = (
    "refused_at = NULL, refused_about = NULL, refused_credential = NULL, asked_again = 0, "
    "ask_again_at = NULL"
)
"""The columns of a shop that the platform does not refuse, for a statement's SET."""

NEXT_DISTANCE: Final = "least(%(first)s * power(2, least(asked_again, 20)), %(last)s::interval)"
"""The distance to the next question of a disconnected shop, in SQL. Takes DISTANCES."""
DISTANCES: Final = {"first": ASKED_FIRST_AFTER, "last": ASKED_LAST_AFTER}


class RefusedAbout(StrEnum):
    """What the platform refuses, as in the column `connector.shops.refused_about`.

    Other credentials may help against a refusal of CREDENTIALS, and not against one of the SHOP.
    """

    CREDENTIALS = "credentials"
    SHOP = "shop"

    @classmethod
    def of(cls, error: ShopDisconnected) -> "RefusedAbout":
        """What the platform refuses by this error."""
        return cls.CREDENTIALS if error.about_credentials else cls.SHOP


@dataclass(frozen=True, slots=True)
class Share:
    """How many of these shops of one platform are refused."""

    refused: int
    of: int

    @property
    def most(self) -> bool:
        """Whether so many are refused that the trouble is looked for on our side first."""
        return self.refused >= FEWEST_AT_ONCE and 2 * self.refused > self.of


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a run knows of a refusal beside the error.

    `credential` is the digest of the refused credentials, None if there were none. `in_run` is the
    share of the platform's shops in the run that were refused; None if the run was cut off before
    it knew, and then the refusal confirms nothing.
    """

    credential: str | None
    in_run: Share | None


UNKNOWN: Final = Refusal(credential=None, in_run=None)


def judged(
    connection: psycopg.Connection,
    shop: tuple[str, str],
    error: ShopDisconnected,
    refusal: Refusal,
) -> ShopDisconnected | AccessRefused:
    """The error as it is to be recorded: believed, or an AccessRefused that says until when not.

    `shop` is the platform's name and the domain; its row is locked. The beginning of a series of
    refusals is recorded here. A believed refusal marks an active shop disconnected.
    """
    platform_name, domain = shop
    row = connection.execute(
        """
        SELECT state, coalesce(refused_at, now()), now() FROM connector.shops
        WHERE platform_name = %s AND domain = %s FOR NO KEY UPDATE
        """,
        shop,
    ).fetchone()
    if row is None:
        return error
    state, refused_at, now = row
    connection.execute(
        """
        UPDATE connector.shops
        SET refused_at = %s, refused_about = %s
        WHERE platform_name = %s AND domain = %s
        """,
        (refused_at, RefusedAbout.of(error), platform_name, domain),
    )
    if state != ShopState.DISCONNECTED:
        many = _many(connection, platform_name, refusal.in_run)
        if many is not None:
            return _of_many(error, many, platform_name)
        if refusal.in_run is None or now - refused_at < CONFIRMED_AFTER:
            return _unconfirmed(error, refused_at)
    _disconnect(connection, shop, refusal.credential)
    return error


def shop_answers(
    connection: psycopg.Connection, update_of_sync: LiteralString, values: Mapping[str, object]
) -> None:
    """Update a sync, and record that the platform does not refuse its shop any more: it was read.

    Both in one statement, because a run says so of every shop.
    """
    connection.execute(
        f"""
        WITH sync AS ({update_of_sync} RETURNING platform_name, domain)
        UPDATE connector.shops AS shop SET {NOT_REFUSED}
        FROM sync
        WHERE shop.platform_name = sync.platform_name AND shop.domain = sync.domain
            AND shop.refused_at IS NOT NULL AND shop.state = %(active)s
        """,  # noqa: S608  our own words
        {**values, "active": ShopState.ACTIVE},
    )


def share_of_active(connection: psycopg.Connection, platform_name: str) -> Share:
    """How many of the platform's active shops are refused just now."""
    [(refused, active)] = connection.execute(
        """
        SELECT count(*) FILTER (WHERE refused_at IS NOT NULL), count(*)
        FROM connector.shops WHERE platform_name = %s AND state = %s
        """,
        (platform_name, ShopState.ACTIVE),
    ).fetchall()
    return Share(refused, active)


def _many(connection: psycopg.Connection, platform_name: str, in_run: Share | None) -> Share | None:
    """The share by which this refusal is one of many, None if it is not."""
    if in_run is not None and in_run.most:
        return in_run
    active = share_of_active(connection, platform_name)
    return active if active.most else None


def _disconnect(
    connection: psycopg.Connection, shop: tuple[str, str], credential: str | None
) -> None:
    platform_name, domain = shop
    connection.execute(
        f"""
        UPDATE connector.shops
        SET refused_credential = CASE WHEN state <> %(paused)s
                                 THEN %(credential)s ELSE refused_credential END,
            ask_again_at = CASE WHEN state = %(active)s
                           THEN now() + {NEXT_DISTANCE} ELSE ask_again_at END,
            updated_at = CASE WHEN state = %(active)s THEN now() ELSE updated_at END,
            state = CASE WHEN state = %(active)s THEN %(disconnected)s ELSE state END
        WHERE platform_name = %(platform_name)s AND domain = %(domain)s
        """,  # noqa: S608  our own words
        {
            **DISTANCES,
            "credential": credential,
            "paused": ShopState.PAUSED,
            "active": ShopState.ACTIVE,
            "disconnected": ShopState.DISCONNECTED,
            "platform_name": platform_name,
            "domain": domain,
        },
    )


def _unconfirmed(error: ShopDisconnected, refused_at: datetime) -> AccessRefused:
    # Rounded up to the minute that the message shows.
    believed_at = (refused_at + CONFIRMED_AFTER).astimezone(UTC) + timedelta(seconds=59)
    return AccessRefused(
        f"no access, which a later sync has to confirm: {error.message}",
        partition_key=error.partition_key,
        remedy=(
            f"{error.look_at} The next sync asks again. If it has no access either, at or after "
            f"{believed_at:%H:%M} UTC, the shop is marked disconnected."
        ),
    )


def _of_many(error: ShopDisconnected, many: Share, platform_name: str) -> AccessRefused:
    return AccessRefused(
        f"no access, as to {many.refused} of {many.of} {platform_name} shops at once: "
        f"{error.message}",
        partition_key=error.partition_key,
        remedy=(
            "So many refusals at once are looked for on our side first: the address that we ask "
            "from, the app, the Token Service. No shop is marked disconnected for them, and the "
            "next sync asks again."
        ),
    )
