"""`connector.hints`: what platforms say has changed, until it is gathered into the queue.

Each function is part of the caller's transaction. None of them locks a row of another table, so a
delivery never waits for a sync. The caller makes sure that the shop stays registered meanwhile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import psycopg

from connector_pipeline.model.hint import Hint, HintSource

KEPT: Final = timedelta(days=1)
"""A gathered hint is kept for so long after it arrived, so that a repeat of its delivery is known.
Platforms repeat one for some hours (docs/facts/shopify.md, Webhooks)."""

_PUT: Final = """
    INSERT INTO connector.hints
        (platform_name, domain, source, delivery_id, topic, token, changed_at)
    SELECT * FROM unnest(
        %(platform_name)s::text[], %(domain)s::text[], %(source)s::text[],
        %(delivery_id)s::text[], %(topic)s::text[], %(token)s::text[],
        %(changed_at)s::timestamptz[]
    )
    ON CONFLICT DO NOTHING
"""

# A hint that is gathered just now leads to a sync that begins later: it does for this one, too.
_PUT_ANYTHING: Final = """
    INSERT INTO connector.hints (platform_name, domain, source, topic)
    SELECT platform_name, domain, %(source)s, %(topic)s
    FROM unnest(%(platform_names)s::text[], %(domains)s::text[]) AS shop (platform_name, domain)
    WHERE NOT EXISTS (
        SELECT FROM connector.hints AS hint
        WHERE hint.platform_name = shop.platform_name AND hint.domain = shop.domain
            AND hint.token IS NULL AND hint.gathered_at IS NULL AND hint.not_before IS NULL
    )
"""

_MANY: Final = "many deliveries"
"""The topic of a hint that stands for many deliveries."""

_ARRIVED: Final = """
    SELECT FROM connector.hints
    WHERE platform_name = %s AND domain = %s AND token = %s AND received_at >= %s
    LIMIT 1
"""

_PRUNE: Final = """
    DELETE FROM connector.hints WHERE received_at < now() - %s AND gathered_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class ReceivedHint:
    """A hint about a shop, and where it comes from.

    Two hints of a shop with the same `delivery_id` are the same one, delivered twice.
    """

    platform_name: str
    domain: str
    source: HintSource
    hint: Hint
    delivery_id: str | None = None


def put(connection: psycopg.Connection, hints: Iterable[ReceivedHint]) -> int:
    """Put hints into the table. Returns how many are new: a repeat of a delivery is not put again.

    Topics, tokens and ids are texts that Postgres can store and index.
    """
    # Sorted, because two transactions that put the same deliveries wait for each other's rows. The
    # order of arrival stays where there is nothing to wait for.
    sorted_hints = sorted(
        hints, key=lambda each: (each.platform_name, each.domain, each.delivery_id or "")
    )
    if not sorted_hints:
        return 0
    return connection.execute(
        _PUT,
        {
            "platform_name": [each.platform_name for each in sorted_hints],
            "domain": [each.domain for each in sorted_hints],
            "source": [each.source.value for each in sorted_hints],
            "delivery_id": [each.delivery_id for each in sorted_hints],
            "topic": [each.hint.topic for each in sorted_hints],
            "token": [each.hint.token for each in sorted_hints],
            "changed_at": [each.hint.changed_at for each in sorted_hints],
        },
    ).rowcount


def put_anything(connection: psycopg.Connection, shops: Sequence[tuple[str, str]]) -> None:
    """Put a hint without token for each shop, by platform and domain, unless one waits already."""
    if shops:
        connection.execute(
            _PUT_ANYTHING,
            {
                "source": HintSource.WEBHOOK,
                "topic": _MANY,
                "platform_names": [platform_name for platform_name, _ in shops],
                "domains": [domain for _, domain in shops],
            },
        )


def arrived(
    connection: psycopg.Connection,
    platform_name: str,
    domain: str,
    token: str,
    *,
    since: datetime,
) -> bool:
    """Whether a hint about the shop with this token has arrived since a time, gathered or not."""
    return (
        connection.execute(_ARRIVED, (platform_name, domain, token, since)).fetchone() is not None
    )


def prune(connection: psycopg.Connection) -> int:
    """Delete hints that were gathered and are older than KEPT. Returns how many."""
    return connection.execute(_PRUNE, (KEPT,)).rowcount
