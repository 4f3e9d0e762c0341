"""Which API version a shop serves, and which ones Shopify supports."""

from dataclasses import dataclass
from typing import Any, Protocol, cast

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.shopify.client import Variables
from connector_pipeline.platforms.shopify.queries import API_VERSIONS


class Client(Protocol):
    """Who asks the shop."""

    async def ask(self, document: str, variables: Variables) -> Answer:
        """The answer with data."""
        ...


@dataclass(frozen=True, slots=True)
class ApiVersions:
    """The version asked for, the one that answered (None if it does not say), and all supported."""

    asked: str
    served: str | None
    supported: tuple[str, ...]

    @property
    def as_asked(self) -> bool:
        """An expired version is served by the oldest stable one, without a word of it.

        docs/facts/shopify.md, API versions.
        """
        return self.served in (None, self.asked)


async def api_versions(client: Client, asked: str) -> ApiVersions:
    """Ask a shop. Raises InvalidResponse for an answer without a list of versions."""
    answer = await client.ask(API_VERSIONS, {})
    listed: Any = answer.json["data"].get("publicApiVersions")
    if not isinstance(listed, list):
        raise InvalidResponse("Shopify does not list its API versions.")
    known = [cast("dict[str, Any]", each) for each in cast("list[Any]", listed) if each]
    supported = [str(each.get("handle")) for each in known if each.get("supported") is True]
    return ApiVersions(asked, answer.headers.get("X-Shopify-API-Version"), tuple(supported))
