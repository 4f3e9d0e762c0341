"""Tokens of hints that a sync asks for once more, because it got no answer, or too old a one.

A platform's index or replica may lag behind the change that it reported. Such a token goes back to
`connector.hints`, with its own distance and the count of the syncs that asked, so that it meets the
hints that come meanwhile as any other does. Each function is part of the caller's transaction.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

import psycopg

from connector_pipeline.model.hint import MOST_HINTED, HintedToken, HintSource

DISTANCES: Final = (
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=3),
    timedelta(minutes=8),
    timedelta(minutes=18),
)
"""A token is asked for again after each of these, and then no more: a sweep finds the change."""


def tokens_of(connection: psycopg.Connection, sync_id: str) -> dict[str, HintedToken]:
    """The tokens that a sync of the queue is for. Empty: it is for the whole shop."""
    row = connection.execute(
        "SELECT hints FROM connector.sync_queue WHERE sync_id = %s", (sync_id,)
    ).fetchone()
    return {} if row is None else read_tokens(row[0])


def read_tokens(stored: Mapping[str, Mapping[str, object]] | None) -> dict[str, HintedToken]:
    """The tokens of the column `connector.sync_queue.hints`."""
    return {
        token: HintedToken(
            changed_at=datetime.fromisoformat(str(of_token["changed_at"]))
            if of_token["changed_at"] is not None
            else None,
            asked=int(str(of_token["asked"])),
        )
        for token, of_token in (stored or {}).items()
    }


def stored_tokens(tokens: Mapping[str, HintedToken]) -> dict[str, dict[str, object]]:
    """The tokens as the column `connector.sync_queue.hints` has them."""
    return {
        token: {
            "changed_at": None if each.changed_at is None else each.changed_at.isoformat(),
            "asked": each.asked,
        }
        for token, each in tokens.items()
    }


def ask_again(
    connection: psycopg.Connection, shop: tuple[str, str], tokens: Mapping[str, HintedToken]
) -> list[str]:
    """Put tokens back that a sync asked for, of a shop by its platform's name and its domain.

    Returns those that are left to the next sweep: they were asked for too often, or are too many.
    """
    due = {token: each for token, each in tokens.items() if each.asked < len(DISTANCES)}
    put = dict(list(due.items())[:MOST_HINTED])
    connection.execute(
        """
        INSERT INTO connector.hints
            (platform_name, domain, source, topic, token, changed_at, asked, not_before)
        SELECT %s, %s, %s, 'again', token, changed_at, asked, clock_timestamp() + distance
        FROM unnest(%s::text[], %s::timestamptz[], %s::int[], %s::interval[])
            AS again (token, changed_at, asked, distance)
        """,
        (
            *shop,
            HintSource.AGAIN,
            list(put),
            [each.changed_at for each in put.values()],
            [each.asked + 1 for each in put.values()],
            [DISTANCES[each.asked] for each in put.values()],
        ),
    )
    return sorted(tokens.keys() - put.keys())


def ask_again_all(connection: psycopg.Connection, sync_id: str) -> None:
    """Put all tokens back that a failed sync of the queue was for."""
    row = connection.execute(
        "SELECT platform_name, domain, hints FROM connector.sync_queue"
        " WHERE sync_id = %s AND hints IS NOT NULL",
        (sync_id,),
    ).fetchone()
    if row is not None:
        platform_name, domain, hints = row
        ask_again(connection, (platform_name, domain), read_tokens(hints))


def ask_again_for(
    connection: psycopg.Connection,
    shop: tuple[str, str],
    sync_id: str,
    tokens: Collection[str],
    *,
    products: Mapping[str, datetime] | None = None,
) -> list[str]:
    """Put back what a published sync got no answer for, or an old one. Returns as `ask_again`.

    `tokens` are of the sync's own or ids of products. `products` are those, by id, of which the
    catalog has a newer state than the answer, with the time of that state.
    """
    if not tokens and not products:
        return []
    asked = tokens_of(connection, sync_id)
    again = {token: asked.get(token, HintedToken()) for token in tokens}
    for product_id, changed_at in (products or {}).items():
        known = asked.get(product_id, HintedToken())
        again[product_id] = known.and_of(HintedToken(changed_at, known.asked))
    return ask_again(connection, shop, again)
