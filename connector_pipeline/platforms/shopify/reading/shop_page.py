"""What the answer to SHOP says: the shop's currency, and how many products it counts."""

import re
from dataclasses import dataclass
from typing import Final, Self

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.json_values import object_at, value_at

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class ShopPage:
    """The shop's currency and `productsCount`; null vouches for nothing, AT_LEAST is a bound."""

    currency: str
    products: object
    exact: bool

    @classmethod
    def of(cls, data: object) -> Self:
        """From the `data` of an answer. Raises InvalidResponse where it has no currency."""
        currency = object_at(data, "shop", of="Shopify's answer").get("currencyCode")
        if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
            raise InvalidResponse(
                f"Shopify's currencyCode is not an ISO 4217 code: {currency!r:.40}."
            )
        return cls(
            currency,
            value_at(data, "productsCount", "count"),
            value_at(data, "productsCount", "precision") == "EXACT",
        )

    @classmethod
    def in_page(cls, page: RawPage) -> Self:
        """From a `shop` page. Raises InvalidResponse."""
        try:
            body = parse_json(page.body)
        except ValueError as error:
            raise InvalidResponse("A shop page of Shopify's is not JSON.") from error
        return cls.of(value_at(body, "data"))

    def counts(self, products: int) -> bool:
        """Whether that many products read is what Shopify says there are."""
        if not isinstance(self.products, int):
            return self.products is None
        return products == self.products if self.exact else products >= self.products
