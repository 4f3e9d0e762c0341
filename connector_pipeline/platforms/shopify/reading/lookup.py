"""Ask a shop by id for the variants that its lists lacked."""

from collections.abc import AsyncGenerator, Iterable
from itertools import islice
from typing import Any, Final, Protocol, cast

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.contract import LOOKUP, Lookup, RawPage
from connector_pipeline.platforms.shopify.client import TooExpensiveError, Variables
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.queries import NODES

IDS_AT_ONCE: Final = 100
_PREFIX: Final = "gid://shopify/ProductVariant/"


class Client(Protocol):
    """Who asks the shop."""

    async def ask(self, document: str, variables: Variables) -> Answer:
        """The answer with data. Raises TooExpensiveError if fewer must be asked for."""
        ...


async def look_up(
    client: Client, *, absent: Iterable[str], witness_id: str
) -> AsyncGenerator[Lookup]:
    """Ask for the absent variants, and in each question for the variant `witness_id`.

    Shopify answers null for what is gone. Raises InvalidResponse for an answer that cannot be one
    to the question, and what the client raises.
    """
    remaining = iter(absent)
    while asked := list(islice(remaining, IDS_AT_ONCE - 1)):
        ids = [*asked, witness_id]
        try:
            answer = await client.ask(NODES, {"ids": [_PREFIX + number for number in ids]})
        except TooExpensiveError as error:
            raise InvalidResponse(
                f"Shopify finds a question for {len(ids)} ids too expensive."
            ) from error
        *found, witness = _nodes(answer, ids)
        if not witness:
            raise InvalidResponse(
                f"Shopify was asked for variant {witness_id}, which it had listed, and knows it "
                "no more."
            )
        gone = tuple(number for number, there in zip(asked, found, strict=True) if not there)
        yield Lookup(RawPage(LOOKUP, answer.body, {"asked": [*ids]}), gone)


def _nodes(answer: Answer, ids: list[str]) -> list[bool]:
    """Whether each id is there. Raises InvalidResponse unless all are answered, in order."""
    body: Any = answer.json
    nodes: Any = body["data"].get("nodes")
    if not isinstance(nodes, list) or len(cast("list[Any]", nodes)) != len(ids):
        raise InvalidResponse(f"Shopify was asked for {len(ids)} ids and did not answer for each.")
    there: list[bool] = []
    for number, node in zip(ids, cast("list[Any]", nodes), strict=True):
        if node is not None:
            gid: Any = cast("dict[str, Any]", node).get("id") if isinstance(node, dict) else None
            if numeric_id(gid, "ProductVariant") != number:
                raise InvalidResponse(f"Shopify answered for variant {number} with another one.")
        there.append(node is not None)
    return there
