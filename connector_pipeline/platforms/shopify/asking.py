"""The protocol by which the modules of the adapter ask a shop: a document and its variables."""

from collections.abc import Mapping
from typing import Final, Protocol

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer

Variables = Mapping[str, str | int | list[str] | None]


LOOK_AT_ITS_STATUS: Final = (
    "It will be retried with the next sync; if it goes on, look at www.shopifystatus.com."
)
"""The remedy where Shopify itself fails: a shop has no host of its own to look at."""


class TooExpensiveError(Exception):
    """The query requests more points than Shopify allows: ask for a smaller page.

    `for_the_bucket`: the shop's bucket never holds so many, and the query was not sent.
    """

    def __init__(self, reason: str, *, for_the_bucket: bool = False):
        super().__init__(reason)
        self.for_the_bucket = for_the_bucket


class TooHeavyError(Exception):
    """Shopify failed at the page, took too long or sent too much: ask for a smaller page.

    `partial` is the answer in which only fields of single products failed, if there was one.
    `too_large` is the error to raise where no page is small enough, if the answer was too large.
    """

    def __init__(
        self,
        reason: str,
        partial: Answer | None = None,
        *,
        too_large: InvalidResponse | None = None,
    ):
        super().__init__(reason)
        self.partial = partial
        self.too_large = too_large


class Asks(Protocol):
    """Asks one shop's GraphQL endpoint."""

    async def ask(self, document: str, variables: Variables) -> Answer:
        """The answer with data. Raises TooExpensiveError, and the errors of model/errors.py."""
        ...

    async def ask_aside(self, document: str, variables: Variables) -> Answer:
        """The answer to a question that a sync can do without; given up sooner than others.

        Raises what `ask` raises.
        """
        ...
