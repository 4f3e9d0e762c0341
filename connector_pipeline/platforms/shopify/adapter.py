"""The Shopify adapter: Shopify's Admin GraphQL API."""

import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

from connector_pipeline.model.catalog_item import CatalogItem, CatalogRow, RejectedVariant, rows_of
from connector_pipeline.model.errors import ConnectorError, InvalidShop
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.bounds import LARGE_PAGE
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import (
    Adapter,
    CredentialSource,
    FetchReport,
    Lookup,
    RawPage,
)
from connector_pipeline.platforms.kit.remarks import Remarks
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.kit.webhooks import Changes, SubscriptionState
from connector_pipeline.platforms.shopify import subscriptions, versions
from connector_pipeline.platforms.shopify.bulk.download import BULK, PAGE_BYTES
from connector_pipeline.platforms.shopify.bulk.export import BULK_THRESHOLD, BulkExport
from connector_pipeline.platforms.shopify.bulk.operation import BulkPatience
from connector_pipeline.platforms.shopify.client import ShopifyClient
from connector_pipeline.platforms.shopify.credentials import ShopifyCredentials
from connector_pipeline.platforms.shopify.mapping import normalize
from connector_pipeline.platforms.shopify.mapping.plain_bulk import PlainBulk
from connector_pipeline.platforms.shopify.mapping.plain_pages import plain_rows
from connector_pipeline.platforms.shopify.queries import SHOP
from connector_pipeline.platforms.shopify.reading import change_feed, lookup
from connector_pipeline.platforms.shopify.reading.by_id import BY_ID, HintedWalk
from connector_pipeline.platforms.shopify.reading.counts import VariantsCount
from connector_pipeline.platforms.shopify.reading.paging import CatalogWalk
from connector_pipeline.platforms.shopify.reading.shop_identity import refuse_another_shop
from connector_pipeline.platforms.shopify.source import SOURCE
from connector_pipeline.platforms.shopify.versions import ApiVersions
from connector_pipeline.platforms.shopify.webhooks import ShopifyWebhooks
from connector_pipeline.settings import ANY_SHOP, Settings

# fullmatch, because `$` would accept a newline at the end (docs/facts/shopify.md, Shop domains).
_DOMAIN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.myshopify\.com")


@dataclass(frozen=True)
class ShopifyAdapter(Adapter):
    """Reads shops over Shopify's Admin GraphQL API. It holds no secret.

    `batch_size` is the number of products a page. `retry_delay` is the seconds before the first
    retry, doubled with each. An answer may pause for `read_timeout` seconds; a page that pauses
    longer is asked for in smaller pieces. `base_url` is a template of `{domain}`; a value other
    than Shopify's own, and `allow_private_hosts`, are for sandboxes. A full sync of more than
    `bulk_threshold` products is read by a bulk operation, whose result is downloaded from one of
    `bulk_hosts` (separated by commas). The other `bulk_` fields are the seconds of `BulkPatience`
    and the size of a page.
    """

    platform_name = "shopify"
    credentials_model = ShopifyCredentials
    example_domain = "acme.myshopify.com"
    source = SOURCE
    # Cursors are keysets on ids, so edits behind the reader shift no page.
    lists_may_skip = False
    # A product's variants are read to the end of their pages, or the fetch fails.
    whole_products = True
    # Shopify's search was seen to lag by 30 minutes (docs/facts/shopify.md, Increments).
    overlap = timedelta(hours=2)
    # A full bucket of the Standard plan pays for these without a wait. An increment takes fewer
    # points from 6 products on, but its search lags, and it reads the overlap again
    # (docs/facts/shopify.md, Products by id or by time).
    most_hinted = 100

    api_version: str = "2026-07"
    batch_size: int = 250
    max_retries: int = 3
    retry_delay: float = 1.0
    read_timeout: float = 60.0
    base_url: str = ANY_SHOP
    allow_private_hosts: bool = False
    bulk_threshold: int = BULK_THRESHOLD
    bulk_hosts: str = "storage.googleapis.com"
    bulk_poll_interval: float = 1.0
    bulk_stalled_after: float = 900.0
    bulk_end_awaited: float = 120.0
    bulk_page_bytes: int = PAGE_BYTES

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The adapter by the settings SHOPIFY_… and those that are for all platforms."""
        return cls(
            api_version=settings.shopify_api_version,
            batch_size=settings.shopify_batch_size,
            max_retries=settings.connector_max_retries,
            retry_delay=settings.connector_retry_delay,
            base_url=settings.shopify_base_url,
            allow_private_hosts=settings.allow_private_hosts,
            bulk_threshold=settings.shopify_bulk_threshold,
            bulk_hosts=settings.shopify_bulk_hosts,
        )

    @staticmethod
    def valid_domain(domain: str) -> str:
        """The domain, if it has the form that Shopify gives to shops. Raises InvalidShop."""
        if not _DOMAIN.fullmatch(domain):
            raise InvalidShop(
                f"{domain[:80]!r} is not a Shopify shop's domain: expected lower case and "
                "name.myshopify.com, e.g. acme.myshopify.com"
            )
        return domain

    @property
    def asked_elsewhere(self) -> str | None:
        """`base_url`, if it is not the shops' own."""
        return None if self.base_url == ANY_SHOP else self.base_url

    def admin_url(self, shop: Shop) -> str | None:
        """The shop's administration, to which its domain leads."""
        return None if self.asked_elsewhere else f"https://{shop.domain}/admin"

    @property
    def webhooks(self) -> ShopifyWebhooks:
        """The reader of the platform's webhooks."""
        return ShopifyWebhooks()

    async def fetch(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        since: datetime | None,
        report: FetchReport,
        archived: Iterable[RawPage] = (),
    ) -> AsyncGenerator[RawPage, None]:
        """Yield the catalog or its changes, page by page, as fast as the points allow.

        Raises InvalidShop for a domain to which no token may be sent, ShopDisconnected,
        RateLimited, PlatformUnavailable, InvalidResponse and TokenServiceUnavailable.
        """
        report.details["api_version"] = self.api_version
        async with (
            self._client(shop, credential_source, report) as client,
            VariantsCount(client) as variants_count,
        ):
            recovered = ArchivedPages(archived)
            walk = CatalogWalk(
                client,
                batch_size=self.batch_size,
                report=report,
                variants_count=variants_count,
                since=since,
                archived=recovered,
            )
            # What a bulk operation left out is read by pages: in doubt, another way is asked.
            by_bulk = since is None and report.reading == 1
            bulk = self._bulk_export(client, shop, report, variants_count) if by_bulk else None
            async with aclosing(walk.pages()) as pages:
                async for page in pages:
                    yield page
                    if page.kind == "shop":
                        refuse_another_shop(page, shop, report)
                    if bulk is None or page.kind != "shop" or not bulk.wins(page):
                        continue
                    async with aclosing(bulk.pages(page, recovered)) as bulk_pages:
                        async for bulk_page in bulk_pages:
                            yield bulk_page
                    if bulk.finished:
                        return
                    bulk = None

    async def fetch_hinted(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        tokens: Mapping[str, datetime | None],
        report: FetchReport,
        archived: Iterable[RawPage] = (),
    ) -> AsyncGenerator[RawPage, None]:
        """Yield the products that the tokens name; see `Adapter.fetch_hinted`.

        Products of every status are read, as `fetch` reads them. Raises what `fetch` raises.
        """
        report.details["api_version"] = self.api_version
        async with self._client(shop, credential_source, report) as client:
            walk = HintedWalk(client, tokens, report=report, archived=ArchivedPages(archived))
            async with aclosing(walk.pages()) as pages:
                async for page in pages:
                    yield page
                    if page.kind in ("shop", BY_ID):
                        refuse_another_shop(page, shop, report)

    async def answers(self, shop: Shop, credential_source: CredentialSource) -> None:
        """Ask the shop to count its products, which takes the scope that a fetch needs."""
        async with self._client(shop, credential_source, FetchReport()) as client:
            await client.ask(SHOP, {})

    async def changes(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        since: datetime,
        cursor: str | None,
    ) -> Changes:
        """Ask for changed and deleted products, in one request of 26 points at most."""
        # A look comes again soon, and must not press a shop that is throttled or in trouble.
        hasty = replace(self, max_retries=0)
        async with hasty._client(shop, credential_source, FetchReport()) as client:
            return await change_feed.look(client, since=since, cursor=cursor)

    async def subscriptions(
        self, shop: Shop, credential_source: CredentialSource, *, url: str
    ) -> SubscriptionState:
        """The shop's webhooks that deliver to this URL; see `subscriptions`."""
        async with self._client(shop, credential_source, FetchReport()) as client:
            return await subscriptions.subscriptions(client, url)

    async def subscribe(
        self, shop: Shop, credential_source: CredentialSource, *, url: str, secret: str
    ) -> SubscriptionState:
        """Make the webhooks that are missing. Shopify signs with the app's secret."""
        async with self._client(shop, credential_source, FetchReport()) as client:
            return await subscriptions.subscribe(client, url)

    async def unsubscribe(
        self, shop: Shop, credential_source: CredentialSource, *, url: str
    ) -> SubscriptionState:
        """Delete the webhooks that deliver to this URL."""
        async with self._client(shop, credential_source, FetchReport()) as client:
            return await subscriptions.unsubscribe(client, url)

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

    async def findings(
        self, shops: Sequence[Shop], credential_source: CredentialSource
    ) -> Sequence[Finding]:
        """One finding: whether the first of the shops serves the API version that is asked for."""
        if not shops:
            why = "no active Shopify shop is registered to ask"
            return [versions.not_compared(self.api_version, why)]
        shop = shops[0]
        try:
            found = await replace(self, max_retries=0)._api_versions(shop, credential_source)
        except ConnectorError as error:
            # The shop's own trouble is reported with its partition and fails no check here.
            why = f"{shop.partition_key}: {error.code}: {error.message}"
            return [versions.not_compared(self.api_version, why)]
        return [versions.compared(shop, found)]

    async def _api_versions(self, shop: Shop, credential_source: CredentialSource) -> ApiVersions:
        async with self._client(shop, credential_source, FetchReport()) as client:
            return await versions.api_versions(client, self.api_version)

    def _policy(self) -> HttpPolicy:
        return HttpPolicy(
            max_retries=self.max_retries,
            retry_delay=self.retry_delay,
            read_timeout=self.read_timeout,
            bound=LARGE_PAGE,
            allow_private_hosts=self.allow_private_hosts,
        )

    def _bulk_export(
        self,
        client: ShopifyClient,
        shop: Shop,
        report: FetchReport,
        variants_count: VariantsCount,
    ) -> BulkExport:
        return BulkExport(
            client,
            shop.partition_key,
            variants_count=variants_count,
            threshold=self.bulk_threshold,
            hosts=tuple(self.bulk_hosts.split(",")),
            policy=self._policy(),
            patience=BulkPatience(
                poll_interval=self.bulk_poll_interval,
                stalled_after=self.bulk_stalled_after,
                end_awaited=self.bulk_end_awaited,
            ),
            report=report,
            page_bytes=self.bulk_page_bytes,
        )

    @asynccontextmanager
    async def _client(
        self, shop: Shop, credential_source: CredentialSource, report: FetchReport
    ) -> AsyncGenerator[ShopifyClient]:
        """A client of the shop. An error in the block gets the shop's partition key."""
        domain = self.valid_domain(shop.domain)
        policy = self._policy()
        try:
            async with OriginHttp(
                self.base_url.replace("{domain}", domain),
                policy=policy,
                report=report,
                trouble_pages=self.trouble_pages,
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
        """Make catalog items of raw pages; see `normalize.normalize`."""
        return normalize.normalize(shop, currency, pages)

    def rows(
        self,
        shop: Shop,
        currency: str,
        pages: Iterable[RawPage],
        remarks: Remarks | None = None,
    ) -> Iterator[CatalogRow | RejectedVariant]:
        """The same as bare rows. A page without odd values is decoded faster.

        See `plain_pages` and `plain_bulk`.
        """
        with closing(normalize.Normalizer(shop, currency)) as normalizer:
            bulk = PlainBulk(shop, currency, normalizer.join)
            for page in pages:
                plain = bulk.rows(page) if page.kind == BULK else plain_rows(shop, currency, page)
                yield from rows_of(normalizer.items(page)) if plain is None else plain
            yield from rows_of(normalizer.orphans())
