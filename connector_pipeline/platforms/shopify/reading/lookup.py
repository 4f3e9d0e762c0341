"""Asks a Shopify shop by id for absent variants."""

from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit import lookup
from connector_pipeline.platforms.kit.contract import LOOKUP, Lookup, RawPage
from connector_pipeline.platforms.kit.json_values import list_at, value_at
from connector_pipeline.platforms.kit.lookup import AnswerForIds
from connector_pipeline.platforms.shopify.asking import Asks, TooExpensiveError
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.queries import NODES

IDS_AT_ONCE: Final = 100
_PREFIX: Final = "gid://shopify/ProductVariant/"


def look_up(client: Asks, *, absent: Iterable[str], witness_id: str) -> AsyncGenerator[Lookup]:
    """Ask for the absent variants, and in each question for the variant `witness_id` too.

    Shopify answers null for a variant that is gone. Raises InvalidResponse for an answer that does
    not fit the question, and what the client raises.
    """

    async def ask(ids: list[str]) -> AnswerForIds[Any]:
        try:
            answer = await client.ask(NODES, {"ids": [_PREFIX + number for number in ids]})
        except TooExpensiveError as error:
            raise InvalidResponse(
                f"Shopify finds a question for {len(ids)} ids too expensive."
            ) from error
        page = RawPage(LOOKUP, answer.body, {"asked": [*ids]})
        return AnswerForIds(page, _found(answer.json, ids))

    return lookup.look_up(
        ask,
        absent={number: [number] for number in absent},
        witness=witness_id,
        at_once=IDS_AT_ONCE,
        asked_of="Shopify",
    )


def _found(body: object, ids: list[str]) -> dict[str, Any]:
    """The nodes that are there, by id. Raises InvalidResponse unless every id is answered."""
    nodes = list_at(body, "data", "nodes", of="Shopify's answer")
    if len(nodes) != len(ids):
        raise InvalidResponse(f"Shopify was asked for {len(ids)} ids and did not answer for each.")
    found = {number: node for number, node in zip(ids, nodes, strict=True) if node is not None}
    for number, node in found.items():
        if numeric_id(value_at(node, "id"), "ProductVariant") != number:
            raise InvalidResponse(f"Shopify answered for variant {number} with another one.")
    return found
