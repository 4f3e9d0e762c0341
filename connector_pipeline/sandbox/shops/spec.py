"""The specification that a sandbox shop is made from, small enough to send over HTTP."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

Platform = Literal["shopify", "woocommerce"]

EPOCH: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
"""All generated times count from this fixed one, so that the catalog is the same every day."""

LARGEST_PRODUCT: Final = 2048
"""A Shopify product has at most so many variants (docs/facts/shopify.md, Products and variants)."""

_DECIMALS: Final = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "VND": 0, "KWD": 3, "BHD": 3, "TND": 3}


class InvalidSpec(ValueError):
    """A specification that no shop can be made from, with the reason."""


@dataclass(frozen=True, slots=True)
class ShopSpec:
    """One shop. The same spec gives the same catalog in every process and Python.

    `variants` is the smallest and the largest number of a product; a WooCommerce product that draws
    0 or 1 is simple, grouped or external. `big_products` are the variant counts of the first
    products after the awkward ones.

    The other fields apply to WooCommerce only; the names in parentheses are sections of
    docs/facts/woocommerce.md.

    - `utc_offset_minutes`: the zone of the shop's local times (Times)
    - `root_variations`, `analytics_variations`, `parent_variations`: the variation endpoints it has
    - `orphan_variations`: how many are counted in totals and never returned; `former_variables`:
      how many products became simple, so that their variations are still listed (Variations:
      orphans and former variables)
    - `orphans_break_analytics`: the shop answers 500 for every page of wc-analytics/variations with
      an orphan, as a WooCommerce below 10.3 does for some (the same section)
    - `variation_names` is false for shops before 8.3
    - `modified_after` is false for shops before 5.8, which ignore the parameter
    - `settings_readable` is false for a key of too low a role
    - `plain_permalinks`: the shop has no /wp-json (Plain permalinks)
    - `strips_authorization`: the host removes the header (Stripped headers)
    - `signed_over_http`: over http the shop accepts an OAuth 1.0a signature only, as real ones do
      (Authentication)
    - `home_host`: the host name that requests under another name are redirected to (Redirects)
    """

    platform: Platform
    domain: str
    merchant_id: str
    platform_shop_id: str
    currency: str = "EUR"
    products: int = 100
    variants: tuple[int, int] = (1, 4)
    seed: int = 1
    big_products: tuple[int, ...] = ()
    awkward: bool = True
    utc_offset_minutes: int = 60
    root_variations: bool = True
    analytics_variations: bool = True
    parent_variations: bool = True
    orphan_variations: int = 0
    former_variables: int = 0
    orphans_break_analytics: bool = False
    variation_names: bool = True
    modified_after: bool = True
    settings_readable: bool = True
    plain_permalinks: bool = False
    strips_authorization: bool = False
    signed_over_http: bool = False
    home_host: str = ""

    def __post_init__(self) -> None:
        least, most = self.variants
        lowest = 1 if self.platform == "shopify" else 0
        if self.platform not in ("shopify", "woocommerce"):
            raise InvalidSpec(f"platform {self.platform!r}: expected shopify or woocommerce")
        if not self.domain or "/" in self.domain:
            raise InvalidSpec(f"domain {self.domain!r}: expected a host name")
        if not lowest <= least <= most <= LARGEST_PRODUCT:
            raise InvalidSpec(
                f"variants {self.variants}: expected {lowest} <= least <= most <= {LARGEST_PRODUCT}"
            )
        if any(not 1 <= count <= LARGEST_PRODUCT for count in self.big_products):
            raise InvalidSpec(f"big_products: expected counts from 1 to {LARGEST_PRODUCT}")
        if min(self.products, self.orphan_variations, self.former_variables) < 0:
            raise InvalidSpec("products, orphan_variations and former_variables are not negative")

    @property
    def decimals(self) -> int:
        """Minor digits of the currency (ISO 4217)."""
        return _DECIMALS.get(self.currency, 2)

    def as_json(self) -> dict[str, Any]:
        """The spec in the form that `PUT /sandbox/shops/{platform}/{domain}` reads."""
        return asdict(self)


def spec_from_json(platform: str, domain: str, body: object) -> ShopSpec:
    """Read a spec sent over HTTP. Raises InvalidSpec."""
    if not isinstance(body, Mapping):
        raise InvalidSpec("expected a JSON object")
    given = dict(cast("Mapping[str, Any]", body))
    unknown = sorted(given.keys() - {field.name for field in fields(ShopSpec)})
    if unknown:
        raise InvalidSpec(f"unknown: {', '.join(unknown)}")
    variants = given.get("variants", (1, 4))
    given["variants"] = (variants, variants) if isinstance(variants, int) else tuple(variants)
    given["big_products"] = tuple(given.get("big_products", ()))
    given.update(platform=platform, domain=domain)
    given.setdefault("merchant_id", "merchant-sandbox")
    given.setdefault("platform_shop_id", domain)
    try:
        return ShopSpec(**given)
    except (TypeError, ValueError) as error:
        raise InvalidSpec(str(error)) from None
