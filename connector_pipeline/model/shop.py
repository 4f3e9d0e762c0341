"""A shop: one merchant's store on one platform, and the partition key that names it."""

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from connector_pipeline.model.errors import InvalidShop


class ShopState(StrEnum):
    """Only active shops are partitions and are synced on schedule."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISCONNECTED = "disconnected"


# fullmatch, because `$` would accept a trailing newline, and URLs are built from both.
_PLATFORM_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# ASCII alone, so that the bound of 253 is one of bytes too. An IP address has no label of letters
# at its end. A label may end with a hyphen: there are such shops.
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9][a-z0-9-]{0,62}\.)+[a-z][a-z0-9-]{0,62}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SHOWN: Final = 80
"""Characters of a refused text that a message repeats: it may be of any length."""


def _has_text(value: str) -> str:
    if not value or value != value.strip() or any(ord(character) < 32 for character in value):
        raise ValueError("must not be empty, nor have spaces at its ends or control characters")
    return value


def valid_platform_name(name: str) -> str:
    """The name, if a platform may be called so: at most 32 of a-z, 0-9, _ and -, a letter first.

    Whether there is an adapter for it, `platforms/adapters.py` knows. Raises InvalidShop.
    """
    if not _PLATFORM_NAME.fullmatch(name):
        raise InvalidShop(
            f"{name[:_SHOWN]!r} is not the name of a platform: expected at most 32 lower-case "
            "letters, digits, hyphens and underscores, a letter first"
        )
    return name


def valid_host_name(domain: str) -> str:
    """The domain, if it is a plain host name of at most 253 bytes. Raises InvalidShop."""
    if not _HOST_NAME.fullmatch(domain):
        raise InvalidShop(
            f"{domain[:_SHOWN]!r} is not a host name: expected lower case, without scheme, port or "
            "path, e.g. shop.example.com (international names in their xn-- form)"
        )
    return domain


Text = Annotated[str, AfterValidator(_has_text), StringConstraints(max_length=255)]


class Shop(BaseModel):
    """One shop as the registry knows it. `currency` is an operator's override, usually absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    merchant_id: Text
    platform_name: Annotated[str, AfterValidator(valid_platform_name)]
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


def partition_key(platform_name: str, domain: str) -> str:
    """`{platform_name}/{domain}`: computable by anyone who knows the shop."""
    return f"{platform_name}/{domain}"


def parse_partition_key(key: str) -> tuple[str, str]:
    """The platform's name and the domain of a key that has the form of one. Raises InvalidShop.

    Whether the platform has an adapter, and its shops such domains, is not looked at: that is
    `adapters.parse_shop_key`.
    """
    platform_name, separator, domain = key.partition("/")
    if not separator:
        raise InvalidShop(
            f"{key[:_SHOWN]!r} is not a partition key: expected the platform's name, a slash and "
            "the shop's domain"
        )
    return valid_platform_name(platform_name), valid_host_name(domain)


def valid_currency(currency: str) -> str:
    """An ISO 4217 code in upper case. Raises InvalidShop."""
    if not _CURRENCY.fullmatch(currency):
        raise InvalidShop(f"{currency!r} is not a currency: expected three capitals, e.g. SEK")
    return currency


def columns_of(keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """Platform names and domains of partition keys, as the two columns of a table."""
    parts = [key.partition("/") for key in keys]
    return [platform for platform, _, _ in parts], [domain for _, _, domain in parts]
