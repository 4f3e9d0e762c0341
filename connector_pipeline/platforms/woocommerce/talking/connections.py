"""Opens sessions with shops: finds where a shop answers, and refuses to send a key in the clear."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from connector_pipeline.model.errors import ConnectorError, InvalidResponse, PlatformUnavailable
from connector_pipeline.model.shop import Shop, valid_host_name, valid_path
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import CredentialSource, FetchReport
from connector_pipeline.platforms.kit.credentials import ShopCredentials
from connector_pipeline.platforms.kit.rest.pace import Pace
from connector_pipeline.platforms.woocommerce.talking.authentication import (
    Authentication,
    WooCommerceCredentials,
    ways,
)
from connector_pipeline.platforms.woocommerce.talking.origin import final_base_url
from connector_pipeline.platforms.woocommerce.talking.session import Access, WooCommerceSession
from connector_pipeline.platforms.woocommerce.talking.trouble_pages import TROUBLE_PAGES


@dataclass(frozen=True, slots=True)
class Connections:
    """Sessions with the shops at `base_url`, a template of `{domain}`.

    `access` is what earlier sessions found, by partition key. A session adds to it.
    """

    base_url: str
    policy: HttpPolicy
    access: dict[str, Access] = field(repr=False)

    @asynccontextmanager
    async def session(
        self, shop: Shop, credential_source: CredentialSource, report: FetchReport, pace: Pace
    ) -> AsyncGenerator[WooCommerceSession]:
        """A session with the shop. An error in the block gets the shop's partition key."""
        # Both were valid when they were registered. They decide to whom the key goes.
        path = valid_path(shop.path or "")
        base_url = self.base_url.replace("{domain}", valid_host_name(shop.domain)) + path
        known = self.access.get(shop.partition_key)
        try:
            self._may_be_read(base_url)
            # The key comes before the first request, so a shop without a key is sent none.
            credentials = ShopCredentials(shop, credential_source, WooCommerceCredentials)
            await credentials.current()
            if known is None:
                final = await final_base_url(
                    base_url, policy=self.policy, report=report, may_be_asked=self._may_be_read
                )
            else:
                final = known.base_url
            async with OriginHttp(
                final,
                policy=self.policy,
                report=report,
                pacer=pace,
                trouble_pages=TROUBLE_PAGES,
            ) as http:
                session = WooCommerceSession(
                    http,
                    credentials,
                    base_url=final,
                    ways=ways(final, allow_private_hosts=self.policy.allow_private_hosts),
                    path=path,
                    known=known,
                )
                yield session
                if session.access is not None:
                    self.access[shop.partition_key] = session.access
                    report.details |= session.access.particulars(base_url)
        except ConnectorError as error:
            # After any error, the next session searches again for the way to ask the shop.
            self.access.pop(shop.partition_key, None)
            if error.remedy == PlatformUnavailable.default_remedy:
                error.remedy = (
                    "It will be retried with the next sync; if it goes on, the merchant's host can "
                    "say why the shop does not answer."
                )
            error.of(shop.partition_key)
            raise

    def _may_be_read(self, base_url: str) -> None:
        """Raise InvalidResponse where the only way to present a key is not allowed.

        This is checked before the first request, and for each URL to which a redirect leads.
        """
        allowed = ways(base_url, allow_private_hosts=self.policy.allow_private_hosts)
        if allowed == (Authentication.OAUTH,) and not self.policy.plain_http:
            raise InvalidResponse(
                f"{base_url} is plain http, and keys are sent over HTTPS only.",
                remedy="Only the next sync tries again. Ask the merchant to turn on HTTPS, or set "
                "an https:// WOOCOMMERCE_BASE_URL. WOOCOMMERCE_ALLOW_HTTP=true reads such shops "
                "with signed requests (OAuth 1.0a): the secret stays secret, but anybody on the "
                "way can read the catalog and alter it.",
            )
