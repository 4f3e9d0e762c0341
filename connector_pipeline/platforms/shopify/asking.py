"""The protocol by which the modules of the adapter ask a shop: a document and its variables."""

from collections.abc import Mapping
from typing import Protocol

from connector_pipeline.platforms.http.client import Answer

Variables = Mapping[str, str | int | list[str] | None]


class TooExpensiveError(Exception):
    """The query requests more points than Shopify allows: ask for a smaller page.

    `for_the_bucket`: the shop's bucket never holds so many, and the query was not sent.
    """

    def __init__(self, reason: str, *, for_the_bucket: bool = False):
        super().__init__(reason)
        self.for_the_bucket = for_the_bucket


class Asks(Protocol):
    """Asks one shop's GraphQL endpoint."""

    async def ask(self, document: str, variables: Variables) -> Answer:
        """The answer with data. Raises TooExpensiveError, and the errors of model/errors.py."""
        ...
