"""Remembers which credentials the Token Service gave, in case a shop refuses them."""

from dataclasses import dataclass

from pydantic import BaseModel

from connector_pipeline.model import tracing
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import CredentialSource, CredentialsT


@dataclass(frozen=True, slots=True)
class RememberingSource:
    """A credential source that puts each shop's last credentials into `given`, by partition key."""

    source: CredentialSource
    given: dict[str, BaseModel | None]

    async def credentials(self, shop: Shop, model: type[CredentialsT]) -> CredentialsT:
        """Ask the source; remember None if the Token Service has no credentials for the shop."""
        self.given[shop.partition_key] = None
        with tracing.span("credentials"):
            given = await self.source.credentials(shop, model)
        self.given[shop.partition_key] = given
        return given
