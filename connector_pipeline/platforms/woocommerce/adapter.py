"""The WooCommerce adapter: the WooCommerce REST API, version 3."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from connector_pipeline.model.catalog_item import CatalogItem, CatalogRow, RejectedVariant
from connector_pipeline.model.shop import Shop, valid_path
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import (
    Adapter,
    CredentialSource,
    FetchReport,
    Lookup,
    RawPage,
)
from connector_pipeline.platforms.kit.remarks import Remarks
from connector_pipeline.platforms.kit.rest.pace import AdaptiveLimit, Limit, Pace
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.kit.webhooks import Changes, SubscriptionState
from connector_pipeline.platforms.woocommerce import subscriptions
from connector_pipeline.platforms.woocommerce.mapping.items import items_of, rows_of_pages
from connector_pipeline.platforms.woocommerce.mapping.normalize import PRODUCTS
from connector_pipeline.platforms.woocommerce.reading import change_feed, lookup
from connector_pipeline.platforms.woocommerce.reading.changes import archived_early
from connector_pipeline.platforms.woocommerce.reading.endpoints import IDS_AT_ONCE
from connector_pipeline.platforms.woocommerce.reading.page_sizes import PageSizes
from connector_pipeline.platforms.woocommerce.reading.shop_reading import ShopReading, shop_reading
from connector_pipeline.platforms.woocommerce.source import SOURCE
from connector_pipeline.platforms.woocommerce.talking.asking import Question
from connector_pipeline.platforms.woocommerce.talking.authentication import WooCommerceCredentials
from connector_pipeline.platforms.woocommerce.talking.connections import Connections
from connector_pipeline.platforms.woocommerce.talking.session import Access, WooCommerceSession
from connector_pipeline.platforms.woocommerce.talking.trouble_pages import TROUBLE_PAGES
from connector_pipeline.platforms.woocommerce.webhooks import WooCommerceWebhooks
from connector_pipeline.settings import ANY_SHOP, Settings


@dataclass(frozen=True)
class WooCommerceAdapter(Adapter):
    """Reads shops over the WooCommerce REST API, version 3. It holds no secret.

    `base_url` is a template of `{domain}`; a value other than the shops' own, and
    `allow_private_hosts`, are for sandboxes. `batch_size` is the number of objects a page.
    `statuses` are the statuses of the products to read, separated by commas. `max_concurrency` is
    the most requests to one shop at once. `retry_delay` is the seconds before the first retry. An
    answer may pause for `read_timeout` seconds; a page that pauses longer is read in smaller ones.
    `allow_http` reads shops without HTTPS by signed requests; their answers can be altered on the
    way.
    """

    platform_name = "woocommerce"
    credentials_model = WooCommerceCredentials
    example_domain = "shop.example.com"
    source = SOURCE
    trouble_pages = TROUBLE_PAGES
    has_paths = True
    # Pages go by offset. When a product on a page already read is deleted, a live one moves to that
    # page and is skipped. If another product is added meanwhile, totals and ids still agree.
    lists_may_skip = True
    # Variations come from lists of their own.
    whole_products = False

    base_url: str = ANY_SHOP
    batch_size: int = 100
    statuses: str = "publish"
    max_concurrency: int = 4
    max_retries: int = 3
    retry_delay: float = 1.0
    # PHP hosts give up on a page after thirty seconds or sixty.
    read_timeout: float = 30.0
    allow_private_hosts: bool = False
    allow_http: bool = False
    # By partition key, kept for one run: a second reading and the lookups need no new search.
    _access: dict[str, Access] = field(
        default_factory=dict[str, Access], init=False, repr=False, compare=False
    )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The adapter by the settings WOOCOMMERCE_… and those that are for all platforms."""
        return cls(
            base_url=settings.woocommerce_base_url,
            batch_size=settings.woocommerce_batch_size,
            statuses=settings.woocommerce_statuses,
            max_concurrency=settings.woocommerce_max_concurrency,
            max_retries=settings.connector_max_retries,
            retry_delay=settings.connector_retry_delay,
            allow_private_hosts=settings.allow_private_hosts,
            allow_http=settings.woocommerce_allow_http,
        )

    def for_one_run(self) -> Self:
        """An adapter of the same settings that knows no shop yet: a merchant may have moved one."""
        return replace(self)

    @property
    def asked_elsewhere(self) -> str | None:
        """`base_url`, if it is not the shops' own."""
        return None if self.base_url == ANY_SHOP else self.base_url

    def admin_url(self, shop: Shop) -> str | None:
        """The administration of the WordPress that the shop is in."""
        path = valid_path(shop.path or "")
        return None if self.asked_elsewhere else f"https://{shop.domain}{path}/wp-admin/"

    @property
    def webhooks(self) -> WooCommerceWebhooks:
        """The reader of the platform's webhooks."""
        return WooCommerceWebhooks()

    async def fetch(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        since: datetime | None,
        report: FetchReport,
        archived: Iterable[RawPage] = (),
    ) -> AsyncGenerator[RawPage, None]:
        """Yield the shop's pages, products before variations, as they arrive.

        In an incremental sync these are the changes, or everything where the shop cannot list its
        changes. Raises ShopDisconnected, PlatformUnavailable, RateLimited, InvalidResponse,
        CurrencyUnknown, and what `credential_source` raises. Each error names the shop.
        """
        recovered = ArchivedPages(archived, archived_early=archived_early)
        async with (
            self._reading(shop, credential_source, report, recovered) as reading,
            aclosing(reading.pages(since)) as pages,
        ):
            async for page in pages:
                yield page

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

        A product whose status is not one of `statuses` counts as absent, as it is in the lists.
        Raises what `fetch` raises.
        """
        recovered = ArchivedPages(archived)
        async with (
            self._reading(shop, credential_source, report, recovered) as reading,
            aclosing(reading.hinted(tokens)) as pages,
        ):
            async for page in pages:
                yield page

    @asynccontextmanager
    async def _reading(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        report: FetchReport,
        archived: ArchivedPages,
    ) -> AsyncGenerator[ShopReading]:
        pace = Pace(self.limit(), report)
        async with (
            self._session(shop, credential_source, report, pace) as session,
            shop_reading(
                shop,
                session,
                statuses=self.statuses.split(","),
                batch_size=self.batch_size,
                at_once=self.max_concurrency,
                pace=pace,
                report=report,
                archived=archived,
            ) as reading,
        ):
            yield reading

    def limit(self) -> Limit:
        """The limit of the pace for one shop: how many requests may be under way at once."""
        return AdaptiveLimit(self.max_concurrency)

    async def answers(self, shop: Shop, credential_source: CredentialSource) -> None:
        """Ask the shop for one of its products."""
        async with self._aside(shop, credential_source) as session:
            await session.ask(Question("/wc/v3/products", {"per_page": 1}))

    async def changes(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        since: datetime,
        cursor: str | None,
    ) -> Changes | None:
        """Ask for the newest changes of products and variations: a small request each, as a rule.

        One request more, without a key, finds out where the shop answers. None: the shop cannot
        sort its lists by their changes.
        """
        # A look comes again soon, and must not press a shop that is in trouble.
        hasty = replace(self, max_retries=0)
        report = FetchReport()
        pace = Pace(self.limit(), report)
        async with hasty._session(shop, credential_source, report, pace) as session:
            return await change_feed.look(
                session, statuses=self.statuses.split(","), since=since, cursor=cursor
            )

    async def subscriptions(
        self, shop: Shop, credential_source: CredentialSource, *, url: str
    ) -> SubscriptionState:
        """The shop's webhooks that deliver to this URL; see `subscriptions`."""
        async with self._aside(shop, credential_source) as session:
            return await subscriptions.subscriptions(session, url)

    async def subscribe(
        self, shop: Shop, credential_source: CredentialSource, *, url: str, secret: str
    ) -> SubscriptionState:
        """Make the missing webhooks and restore the others, signed with the secret."""
        async with self._aside(shop, credential_source) as session:
            return await subscriptions.subscribe(session, url, secret)

    async def unsubscribe(
        self, shop: Shop, credential_source: CredentialSource, *, url: str
    ) -> SubscriptionState:
        """Delete the webhooks that deliver to this URL."""
        async with self._aside(shop, credential_source) as session:
            return await subscriptions.unsubscribe(session, url)

    async def look_up(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        absent: Mapping[str, str],
        witness: CatalogItem,
        report: FetchReport,
    ) -> AsyncGenerator[Lookup, None]:
        """Ask for the absent variants' products by id; see `Adapter.look_up`.

        A product whose status is not one of `statuses` counts as gone. Raises what `fetch` raises.
        """
        pace = Pace(self.limit(), report)
        async with self._session(shop, credential_source, report, pace) as session:
            lookups = lookup.look_up(
                session,
                absent=absent,
                witness_id=witness.product_id,
                statuses=self.statuses.split(","),
                at_once=PageSizes(report.page_sizes, IDS_AT_ONCE).size(PRODUCTS),
            )
            async with aclosing(lookups) as answers:
                async for answer in answers:
                    yield answer

    @asynccontextmanager
    async def _aside(
        self, shop: Shop, credential_source: CredentialSource
    ) -> AsyncGenerator[WooCommerceSession]:
        """A session for a few questions outside a sync."""
        report = FetchReport()
        pace = Pace(self.limit(), report)
        async with self._session(shop, credential_source, report, pace) as session:
            yield session

    def _session(
        self, shop: Shop, credential_source: CredentialSource, report: FetchReport, pace: Pace
    ) -> AbstractAsyncContextManager[WooCommerceSession]:
        policy = HttpPolicy(
            max_retries=self.max_retries,
            retry_delay=self.retry_delay,
            read_timeout=self.read_timeout,
            allow_private_hosts=self.allow_private_hosts,
            plain_http=self.allow_http,
        )
        return Connections(self.base_url, policy, self._access).session(
            shop, credential_source, report, pace
        )

    def normalize(
        self, shop: Shop, currency: str, pages: Iterable[RawPage]
    ) -> Iterator[CatalogItem | RejectedVariant]:
        """Make catalog items of raw pages, and log how many variations are left out by rule."""
        return items_of(shop, currency, pages)

    def rows(
        self,
        shop: Shop,
        currency: str,
        pages: Iterable[RawPage],
        remarks: Remarks | None = None,
    ) -> Iterator[CatalogRow | RejectedVariant]:
        """The same as bare rows. A page without odd values is decoded faster."""
        return rows_of_pages(shop, currency, pages, remarks)
