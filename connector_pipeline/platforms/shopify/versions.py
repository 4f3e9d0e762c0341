"""Asks a shop which API version it serves, and which versions Shopify supports."""

from dataclasses import dataclass
from typing import Final

from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.json_values import list_at, objects_in
from connector_pipeline.platforms.shopify.asking import Asks
from connector_pipeline.platforms.shopify.queries import API_VERSIONS

_SUBJECT: Final = "shopify api"


@dataclass(frozen=True, slots=True)
class ApiVersions:
    """The version asked for, the one that answered (None if not stated), and all supported ones."""

    asked: str
    served: str | None
    supported: tuple[str, ...]

    @property
    def as_asked(self) -> bool:
        """Whether the shop serves the version asked for, or does not state a version.

        Shopify serves the oldest stable version instead of an expired one, without an error
        (docs/facts/shopify.md, API versions).
        """
        return self.served in (None, self.asked)


async def api_versions(client: Asks, asked: str) -> ApiVersions:
    """Ask a shop. Raises InvalidResponse for an answer without a list of versions."""
    answer = await client.ask(API_VERSIONS, {})
    listed = list_at(answer.json, "data", "publicApiVersions", of="Shopify's answer")
    supported = [
        str(each.get("handle")) for each in objects_in(listed) if each.get("supported") is True
    ]
    return ApiVersions(asked, answer.headers.get("X-Shopify-API-Version"), tuple(supported))


def compared(shop: Shop, found: ApiVersions) -> Finding:
    """The finding that a shop's answer makes: does it serve the version asked for?"""
    supported = f"supported are {', '.join(found.supported)}"
    if found.as_asked:
        return Finding(
            _SUBJECT,
            True,
            f"{shop.partition_key} answers with {found.asked} as asked; {supported}",
        )
    return Finding(
        _SUBJECT,
        False,
        f"asks for {found.asked}, but {shop.partition_key} answers with {found.served}; "
        f"{supported}.",
        remedy="Set SHOPIFY_API_VERSION to one of these.",
    )


def not_compared(asked: str, why: str) -> Finding:
    """The finding where no shop stated its version. It is no failure."""
    return Finding(_SUBJECT, True, f"asks for {asked}; not compared, {why}")
