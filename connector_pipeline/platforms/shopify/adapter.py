"""The Shopify adapter as a Dagster resource."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from itertools import groupby

import dagster as dg

from connector_pipeline.model.catalog_item import CatalogItem, CatalogRow, RejectedVariant
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import PlatformName, Shop, valid_domain
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import (
    CredentialSource,
    FetchReport,
    Lookup,
    RawPage,
    rows_of,
)
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify import versions
from connector_pipeline.platforms.shopify.bulk.download import PAGE_BYTES
from connector_pipeline.platforms.shopify.bulk.export import BULK_THRESHOLD, BulkExport
from connector_pipeline.platforms.shopify.bulk.operation import BulkPatience
from connector_pipeline.platforms.shopify.client import ShopifyClient
from connector_pipeline.platforms.shopify.mapping import normalize
from connector_pipeline.platforms.shopify.mapping.plain_pages import plain_rows
from connector_pipeline.platforms.shopify.reading import lookup
from connector_pipeline.platforms.shopify.reading.paging import CatalogWalk
from connector_pipeline.platforms.shopify.versions import ApiVersions


class ShopifyAdapter(dg.ConfigurableResource):  # pyright: ignore[reportMissingTypeArgument]
    """Shopify's Admin GraphQL API. Holds no secret: a token is asked for when one is needed.

    `batch_size` is products a page, `retry_delay` seconds before the first retry, doubled with
    each. `base_url` is a template of `{domain}`; another than Shopify's own and
    `allow_private_hosts` are for sandboxes. A full sync of more than `bulk_threshold` products goes
    by a bulk operation, whose result is downloaded from one of `bulk_hosts` (separated by commas);
    the other `bulk_` fields are seconds of `BulkPatience`, and the size of a page.
    """

    api_version: str = "2026-07"
    batch_size: int = 250
    max_retries: int = 3
    retry_delay: float = 1.0
    base_url: str = "https://{domain}"
    allow_private_hosts: bool = False
    bulk_threshold: int = BULK_THRESHOLD
    bulk_hosts: str = "storage.googleapis.com"
    bulk_poll_interval: float = 1.0
    bulk_stalled_after: float = 900.0
    bulk_place_awaited: float = 120.0
    bulk_page_bytes: int = PAGE_BYTES

    @property
    def platform_name(self) -> PlatformName:
        """The platform this adapter speaks to."""
        return PlatformName.SHOPIFY

    @property
    def lists_may_skip(self) -> bool:
        """No: cursors go by id, so edits behind the reader shift no page."""
        return False

    @property
    def whole_products(self) -> bool:
        """True: a product's variants are read to the end of their pages, or the fetch fails."""
        return True

    async def fetch(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        since: datetime | None,
        report: FetchReport,
        archived: Iterable[RawPage] = (),
    ) -> AsyncGenerator[RawPage, None]:
        """Yield the shop's catalog, or what changed of it, page by page at the pace of its points.

        Raises InvalidShop for a domain no token may be sent to, ShopDisconnected, RateLimited,
        PlatformUnavailable, InvalidResponse and TokenServiceUnavailable.
        """
        report.details["api_version"] = self.api_version
        async with self._client(shop, credential_source, report) as client:
            recovered = ArchivedPages(archived)
            walk = CatalogWalk(
                client,
                batch_size=self.batch_size,
                report=report,
                since=since,
                archived=recovered,
            )
            bulk = self._bulk_export(client, shop, report) if since is None else None
            async with aclosing(walk.pages()) as pages:
                async for page in pages:
                    yield page
                    if bulk is None or page.kind != "shop" or not bulk.wins(page):
                        continue
                    async with aclosing(bulk.pages(page, recovered)) as bulk_pages:
                        async for bulk_page in bulk_pages:
                            yield bulk_page
                    if bulk.finished:
                        return
                    bulk = None

    async def look_up(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        absent: Mapping[str, str],
        witness: CatalogItem,
        report: FetchReport,
    ) -> AsyncGenerator[Lookup, None]:
        """Ask for the absent variants by id; see `Adapter.look_up`. Raises what `fetch` raises."""
        async with self._client(shop, credential_source, report) as client:
            lookups = lookup.look_up(client, absent=absent, witness_id=witness.variant_id)
            async with aclosing(lookups) as answers:
                async for answer in answers:
                    yield answer

    async def api_versions(self, shop: Shop, credential_source: CredentialSource) -> ApiVersions:
        """The API version the shop serves, and those supported. Raises what `fetch` raises."""
        async with self._client(shop, credential_source, FetchReport()) as client:
            return await versions.api_versions(client, self.api_version)

    def _policy(self) -> HttpPolicy:
        return HttpPolicy(
            max_retries=self.max_retries,
            retry_delay=self.retry_delay,
            allow_private_hosts=self.allow_private_hosts,
        )

    def _bulk_export(self, client: ShopifyClient, shop: Shop, report: FetchReport) -> BulkExport:
        return BulkExport(
            client,
            shop.partition_key,
            threshold=self.bulk_threshold,
            hosts=tuple(self.bulk_hosts.split(",")),
            policy=self._policy(),
            patience=BulkPatience(
                poll_interval=self.bulk_poll_interval,
                stalled_after=self.bulk_stalled_after,
                place_awaited=self.bulk_place_awaited,
            ),
            report=report,
            page_bytes=self.bulk_page_bytes,
        )

    @asynccontextmanager
    async def _client(
        self, shop: Shop, credential_source: CredentialSource, report: FetchReport
    ) -> AsyncGenerator[ShopifyClient]:
        """A client for the shop; errors inside learn which shop it is."""
        domain = valid_domain(PlatformName.SHOPIFY, shop.domain)
        policy = self._policy()
        try:
            async with OriginHttp(
                self.base_url.replace("{domain}", domain), policy=policy, report=report
            ) as http:
                yield ShopifyClient(
                    http,
                    shop,
                    credential_source,
                    api_version=self.api_version,
                    policy=policy,
                    report=report,
                )
        except ConnectorError as error:
            error.of(shop.partition_key)
            raise

    def normalize(
        self, shop: Shop, currency: str, pages: Iterable[RawPage]
    ) -> Iterator[CatalogItem | RejectedVariant]:
        """Map raw pages to catalog items; see `normalize.normalize`."""
        return normalize.normalize(shop, currency, pages)

    def rows(
        self, shop: Shop, currency: str, pages: Iterable[RawPage]
    ) -> Iterator[CatalogRow | RejectedVariant]:
        """The same as bare rows: a page without oddities at once, any other through `normalize`."""
        read = ((page, plain_rows(shop, currency, page)) for page in pages)
        for odd, group in groupby(read, key=lambda each: each[1] is None):
            if odd:
                yield from rows_of(self.normalize(shop, currency, (page for page, _ in group)))
            else:
                for _, rows in group:
                    yield from rows or ()
