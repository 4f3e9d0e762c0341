"""A shop: one merchant's store on one platform, and the partition key that names it."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Self
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)

from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.storable import shows

# Used with fullmatch: `$` would accept a trailing newline, and we build URLs from both.
_PLATFORM_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
# ASCII alone, so that 253 characters are 253 bytes. The last label begins with a letter, as no IP
# address does. A label may end with a hyphen: there are such shops.
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9][a-z0-9-]{0,62}\.)+[a-z][a-z0-9-]{0,62}")
_PATH: Final = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SHOWN: Final = 80
"""A message repeats so many characters of a refused text, which may be of any length."""


LONGEST_TEXT: Final = 255
"""Bytes. Indexes hold these texts, and Postgres refuses an index row of more than 2,704 bytes."""


def _has_text(value: str) -> str:
    # Nothing that does not show: such a text could not be told from another one, or would move a
    # terminal's cursor. No half of a surrogate pair shows.
    if not shows(value) or value != value.strip() or not 0 < len(value.encode()) <= LONGEST_TEXT:
        raise ValueError(
            f"must not be empty or longer than {LONGEST_TEXT} bytes, nor have spaces at its ends, "
            "control characters or others that do not show"
        )
    return value


def valid_platform_name(name: str) -> str:
    """The name, if a platform may have it: at most 32 of a-z, 0-9 and _, a letter first.

    `platforms/adapters.py` knows whether the platform has an adapter. Raises InvalidShop.
    """
    if not _PLATFORM_NAME.fullmatch(name):
        raise InvalidShop(
            f"{name[:_SHOWN]!r} is not the name of a platform: expected at most 32 lower-case "
            "letters, digits and underscores, a letter first"
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


def valid_path(path: str) -> str:
    """The path without a slash at its end, if a shop may lie below it; empty for `/`.

    At most LONGEST_TEXT bytes of ASCII, other letters percent-encoded. Raises InvalidShop.
    """
    written = path.rstrip("/")
    segments = [unquote(segment) for segment in written.split("/")[1:]]
    if (
        len(path) > LONGEST_TEXT
        or not _PATH.fullmatch(written)
        # Also where they are percent-encoded: they would lead out of the shop.
        or any(segment in (".", "..") or set(segment) & set("/\\") for segment in segments)
    ):
        raise InvalidShop(
            f"{path[:_SHOWN]!r} is not the path of a shop: expected a slash and the folder, e.g. "
            f"/shop, at most {LONGEST_TEXT} characters of ASCII (others percent-encoded), without "
            "a query, a fragment or dots alone"
        )
    return written


Text = Annotated[str, AfterValidator(_has_text), StringConstraints(max_length=LONGEST_TEXT)]


class Shop(BaseModel):
    """A shop. `currency` is an operator's override of the platform's answer, usually None.

    `path` is the folder of the domain in which the shop lies, e.g. "/shop", and usually empty. It
    is None where it is not stated, and then the registry keeps what it has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    merchant_id: Text
    platform_name: Annotated[str, AfterValidator(valid_platform_name)]
    platform_shop_id: Text
    domain: str
    currency: str | None = None
    path: Annotated[str, AfterValidator(valid_path)] | None = None

    @classmethod
    def of(
        cls,
        *,
        merchant_id: str,
        platform_name: str,
        platform_shop_id: str,
        domain: str,
        currency: str | None = None,
        path: str | None = None,
    ) -> Self:
        """The shop of these texts. Raises InvalidShop, which names each field that is wrong."""
        try:
            return cls(
                merchant_id=merchant_id,
                platform_name=platform_name,
                platform_shop_id=platform_shop_id,
                domain=domain,
                currency=currency,
                path=path,
            )
        except ValidationError as error:
            problems = [
                f"{problem['loc'][0]} {problem['msg'].removeprefix('Value error, ')}"
                for problem in error.errors(include_input=False, include_url=False)
            ]
            raise InvalidShop("; ".join(problems)) from None

    @property
    def partition_key(self) -> str:
        return partition_key(self.platform_name, self.domain)


def _no_path(path: object) -> object:
    return "" if path is None else path


class RegisteredShop(Shop):
    """A shop with its state and history, as `connector.shops` holds it. Times are UTC."""

    # Judged when the shop was registered. A row from before a rule must not hide all the others.
    merchant_id: str
    platform_shop_id: str
    path: Annotated[str | None, BeforeValidator(_no_path)] = ""
    state: ShopState = ShopState.ACTIVE
    consecutive_failures: int = 0
    last_error_code: str | None = None
    last_error_message: str | None = None
    last_full_sync_at: datetime | None = None
    last_successful_sync_at: datetime | None = None
    last_hinted_sync_at: datetime | None = Field(default=None, exclude=True)
    high_water_mark: datetime | None = None
    published_currency: str | None = Field(default=None, exclude=True)
    page_sizes: dict[str, int] = Field(default_factory=dict[str, int], exclude=True)
    learned: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue], exclude=True)
    refused_at: datetime | None = None
    full_sync_failing_since: datetime | None = None
    full_sync_failed_at: datetime | None = Field(default=None, exclude=True)
    full_sync_failures: int = Field(default=0, exclude=True)
    full_sync_error_code: str | None = None
    full_sync_error_message: str | None = None
    last_hint_at: datetime | None = None
    subscribed: bool | None = None
    subscriptions_checked_at: datetime | None = None
    subscriptions_trouble: str | None = None


def partition_key(platform_name: str, domain: str) -> str:
    """`{platform_name}/{domain}`: anybody who knows the shop can compute it."""
    return f"{platform_name}/{domain}"


def parse_partition_key(key: str) -> tuple[str, str]:
    """The platform's name and the domain in a partition key. Raises InvalidShop for another text.

    `adapters.parse_shop_key` checks besides that the platform has an adapter, and that a shop of
    the platform may have the domain.
    """
    platform_name, separator, domain = key.partition("/")
    if not separator:
        raise InvalidShop(
            f"{key[:_SHOWN]!r} is not a partition key: expected the platform's name, a slash and "
            "the shop's domain"
        )
    return valid_platform_name(platform_name), valid_host_name(domain)


def valid_currency(currency: str) -> str:
    """The currency, if it has the form of an ISO 4217 code. Raises InvalidShop."""
    if not _CURRENCY.fullmatch(currency):
        raise InvalidShop(
            f"{currency[:_SHOWN]!r} is not a currency: expected three capitals, e.g. SEK"
        )
    return currency


def columns_of(keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """The platform names and the domains of partition keys, as two columns."""
    parts = [key.partition("/") for key in keys]
    return [platform for platform, _, _ in parts], [domain for _, _, domain in parts]
