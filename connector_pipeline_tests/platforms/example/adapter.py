"""Acme: the whole adapter of an invented platform, to be read beside CONTRIBUTING, Add a platform.

Acme's REST API, as its documentation would say:

    GET /v1/shop                            {"currency": "SEK"}
    GET /v1/products?limit=50&cursor=abc    {"products": [...], "next": "abd", "total": 120}
        &modified_since=2026-01-01T00:00:00Z    those changed at that time or later
        &ids=12,34                              those of these ids that there are, at most 50

Products come in the order of their ids, each with all its variants. The header `X-Api-Key` has the
key; 401 refuses it. A key may send a few requests a second: 429 says with `X-Retry-In` how many
seconds to wait.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Self

from pydantic import ValidationError

from connector_pipeline.model.catalog_item import CatalogItem, ProductStatus, RejectedVariant
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import (
    LOOKUP,
    Adapter,
    Credentials,
    CredentialSource,
    FetchReport,
    Lookup,
    RawPage,
)
from connector_pipeline.platforms.kit.header_secret import HeaderSecret
from connector_pipeline.platforms.kit.json_values import currency_at, json_of, list_at, value_at
from connector_pipeline.platforms.kit.lookup import AnswerForIds, by_product, look_up
from connector_pipeline.platforms.kit.rejects import (
    FieldError,
    later,
    one_of,
    optional_text,
    price,
    rejected,
    text,
    time,
    whole_number,
)
from connector_pipeline.platforms.kit.rest.client import RestClient, rest_client
from connector_pipeline.platforms.kit.rest.lists import ListOf, ListReader
from connector_pipeline.platforms.kit.rest.paging import Cursors, in_body, total_in_body
from connector_pipeline.platforms.kit.rest.rate_headers import RateHeaders
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.kit.shop_columns import shop_columns
from connector_pipeline.settings import ANY_SHOP, Settings

SHOP: Final = "shop"
PRODUCTS: Final = "products"
LIST: Final = "/v1/products"
IDS_AT_ONCE: Final = 50

_STATUSES: Final = {"live": ProductStatus.ACTIVE, "hidden": ProductStatus.DRAFT}


class AcmeCredentials(Credentials):
    """An API key, as the Token Service gives it."""

    api_key: HeaderSecret


@dataclass(frozen=True)
class AcmeAdapter(Adapter):
    """Reads shops over Acme's REST API. `base_url` is a template of `{domain}`."""

    platform_name = "acme"
    credentials_model = AcmeCredentials
    example_domain = "mugs.acme.example"
    # Cursors are keysets on ids, so edits behind the reader shift no page.
    lists_may_skip = False
    whole_products = True

    policy: HttpPolicy
    base_url: str = ANY_SHOP
    page_size: int = 50

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The adapter by the settings for all platforms."""
        policy = HttpPolicy(
            max_retries=settings.connector_max_retries,
            retry_delay=settings.connector_retry_delay,
            allow_private_hosts=settings.allow_private_hosts,
        )
        return cls(policy=policy)

    async def fetch(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        since: datetime | None,
        report: FetchReport,
        archived: Iterable[RawPage] = (),
    ) -> AsyncGenerator[RawPage, None]:
        """Yield the page of the shop's settings, then pages of its products or their changes."""
        async with self._client(shop, credential_source, report) as client:
            reader = ListReader(client, ArchivedPages(archived), report)
            own = await reader.single(SHOP, "/v1/shop")
            yield own
            report.currency = currency_at(json_of(own, of="Acme's"), "currency", of="Acme's shop")
            report.complete = True
            changed = {} if since is None else {"modified_since": f"{since:%Y-%m-%dT%H:%M:%SZ}"}
            products = ListOf(
                kind=PRODUCTS,
                path=LIST,
                params=changed,
                paging=Cursors(self.page_size, in_body("next")),
                objects=("products",),
                total=total_in_body("total"),
            )
            async with aclosing(reader.pages(products)) as pages:
                async for page in pages:
                    yield page.raw

    async def look_up(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        absent: Mapping[str, str],
        witness: CatalogItem,
        report: FetchReport,
    ) -> AsyncGenerator[Lookup, None]:
        """Ask for the products of the absent variants.

        A product that is there lists its variants.
        """
        async with self._client(shop, credential_source, report) as client:
            answers = look_up(
                partial(_ask, client),
                absent=by_product(absent),
                witness=witness.product_id,
                at_once=IDS_AT_ONCE,
                asked_of="Acme",
                is_gone=lambda variant_id, there: variant_id not in (there or ()),
            )
            async with aclosing(answers):
                async for answer in answers:
                    yield answer

    def normalize(
        self, shop: Shop, currency: str, pages: Iterable[RawPage]
    ) -> Iterator[CatalogItem | RejectedVariant]:
        """Make a catalog item of each variant on the products' pages."""
        of_shop = shop_columns(shop, currency)
        for page in pages:
            if page.kind == PRODUCTS:
                for product in _products(json_of(page, of="Acme's")):
                    for variant in _variants(product):
                        yield _item(of_shop, product, variant)
            elif page.kind not in (SHOP, LOOKUP):
                raise InvalidResponse(f"{page.kind!r} is no kind of page of the Acme adapter's.")

    def _client(
        self, shop: Shop, credential_source: CredentialSource, report: FetchReport
    ) -> AbstractAsyncContextManager[RestClient[AcmeCredentials]]:
        return rest_client(
            self.base_url,
            shop,
            credential_source,
            AcmeCredentials,
            lambda credentials: {"X-Api-Key": credentials.api_key.get_secret_value()},
            policy=self.policy,
            report=report,
            stated_limit=RateHeaders(retry_after=("X-Retry-In",)),
        )


async def _ask(client: RestClient[AcmeCredentials], ids: list[str]) -> AnswerForIds[set[str]]:
    """Ask for these products. Each product that is there lists the ids of its variants."""
    answer = await client.get(LIST, {"ids": ",".join(ids), "limit": IDS_AT_ONCE})
    found = {
        str(value_at(product, "id")): {str(value_at(each, "id")) for each in _variants(product)}
        for product in _products(answer.json)
    }
    return AnswerForIds(RawPage(LOOKUP, answer.body, {"asked": [*ids]}), found)


def _products(body: object) -> list[Any]:
    return list_at(body, "products", of="Acme's list of products")


def _variants(product: object) -> list[Any]:
    return list_at(product, "variants", of="A product of Acme's")


def _id(row: object) -> str | None:
    found = value_at(row, "id")
    return str(found) if type(found) is int else None


def _item(
    of_shop: dict[str, Any], product: dict[str, Any], variant: object
) -> CatalogItem | RejectedVariant:
    """The item of one variant, or the rejected variant."""
    of_variant = partial(value_at, variant)
    try:
        title = text("title", product.get("title"))
        return CatalogItem(
            **of_shop,
            product_id=text("product_id", _id(product)),
            variant_id=text("variant_id", _id(variant)),
            product_title=title,
            variant_title=optional_text("title", of_variant("title")) or title,
            sku=optional_text("sku", of_variant("sku")),
            price=price("price", of_variant("price")),
            inventory=whole_number("stock", of_variant("stock")),
            image_url=optional_text("image", of_variant("image") or product.get("image")),
            created_at=time("created", product.get("created")),
            updated_at=later(
                time("modified", product.get("modified")), time("modified", of_variant("modified"))
            ),
            product_status=one_of("status", product.get("status"), _STATUSES),
        )
    except (FieldError, ValidationError) as error:
        raw = {"variant": variant, "product": {**product, "variants": "left out"}}
        return rejected(error, product_id=_id(product), variant_id=_id(variant), raw=raw)
