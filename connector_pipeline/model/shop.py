"""A shop: one merchant's store on one platform, and the partition key that names it."""

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from connector_pipeline.model.errors import InvalidShop


class PlatformName(StrEnum):
    """The platforms there is an adapter for."""

    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"


class ShopState(StrEnum):
    """Only active shops are partitions and are synced on schedule."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISCONNECTED = "disconnected"


# fullmatch, because `$` would accept a trailing newline, and the URL is built from the domain.
_SHOPIFY_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*")
_CURRENCY = re.compile(r"[A-Z]{3}")


def _has_text(value: str) -> str:
    if not value or value != value.strip() or any(ord(character) < 32 for character in value):
        raise ValueError("must not be empty, nor have spaces at its ends or control characters")
    return value


Text = Annotated[str, AfterValidator(_has_text), StringConstraints(max_length=255)]


class Shop(BaseModel):
    """One shop as the registry knows it. `currency` is an operator's override, usually absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    merchant_id: Text
    platform_name: PlatformName
    platform_shop_id: Text
    domain: str
    currency: str | None = None

    @property
    def partition_key(self) -> str:
        return partition_key(self.platform_name, self.domain)


class RegisteredShop(Shop):
    """A shop with its state and history, as `connector.shops` holds it. Times are UTC."""

    state: ShopState = ShopState.ACTIVE
    consecutive_failures: int = 0
    last_full_sync_at: datetime | None = None
    last_successful_sync_at: datetime | None = None
    high_water_mark: datetime | None = None


def partition_key(platform_name: PlatformName, domain: str) -> str:
    """`{platform_name}/{domain}`: computable by anyone who knows the shop."""
    return f"{platform_name.value}/{domain}"


def parse_partition_key(key: str) -> tuple[PlatformName, str]:
    """Split a partition key. Raises InvalidShop with what is wrong and an example."""
    platform, separator, domain = key.partition("/")
    if not separator:
        raise InvalidShop(
            f"{key!r} is not a partition key: expected platform/domain, "
            "e.g. shopify/acme.myshopify.com"
        )
    try:
        platform_name = PlatformName(platform)
    except ValueError:
        known = ", ".join(name.value for name in PlatformName)
        raise InvalidShop(f"{platform!r} is not a platform we know: {known}") from None
    return platform_name, valid_domain(platform_name, domain)


def valid_domain(platform_name: PlatformName, domain: str) -> str:
    """The domain, if credentials may be sent to a URL built from it. Raises InvalidShop."""
    if platform_name is PlatformName.SHOPIFY:
        if not _SHOPIFY_DOMAIN.fullmatch(domain):
            raise InvalidShop(
                f"{domain!r} is not a Shopify shop's domain: expected lower case and "
                "name.myshopify.com, e.g. acme.myshopify.com"
            )
    elif not _HOST_NAME.fullmatch(domain):
        raise InvalidShop(
            f"{domain!r} is not a host name: expected lower case, without scheme, port or path, "
            "e.g. shop.example.com (international names in their xn-- form)"
        )
    return domain


def valid_currency(currency: str) -> str:
    """An ISO 4217 code in upper case. Raises InvalidShop."""
    if not _CURRENCY.fullmatch(currency):
        raise InvalidShop(f"{currency!r} is not a currency: expected three capitals, e.g. SEK")
    return currency


def columns_of(keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """Platform names and domains of partition keys, as the two columns of a table."""
    parts = [key.partition("/") for key in keys]
    return [platform for platform, _, _ in parts], [domain for _, _, domain in parts]
