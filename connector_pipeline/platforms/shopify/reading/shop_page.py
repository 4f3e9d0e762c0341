"""Reads the answer to SHOP: the shop's currency, and how many products Shopify counts."""

from dataclasses import dataclass
from typing import Self

from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.json_values import currency_at, json_of, value_at


@dataclass(frozen=True, slots=True)
class ShopPage:
    """The shop's currency and `productsCount`, which may be null, exact, or a lower bound."""

    currency: str
    products: object
    exact: bool

    @classmethod
    def of(cls, data: object) -> Self:
        """Read the `data` of an answer. Raises InvalidResponse where it has no currency."""
        return cls(
            currency_at(data, "shop", "currencyCode", of="Shopify's answer"),
            value_at(data, "productsCount", "count"),
            value_at(data, "productsCount", "precision") == "EXACT",
        )

    @classmethod
    def in_page(cls, page: RawPage) -> Self:
        """Read a `shop` page. Raises InvalidResponse."""
        return cls.of(value_at(json_of(page, of="Shopify's"), "data"))

    def disagreement(self, products: int) -> str | None:
        """Why Shopify's count does not agree with that many products; None when it does."""
        if self.counts(products):
            return None
        return f"Shopify counts {self.products} products, but {products} were read."

    def counts(self, products: int) -> bool:
        """Whether Shopify's count agrees with that many products. A count of null always does."""
        if not isinstance(self.products, int):
            return self.products is None
        return products == self.products if self.exact else products >= self.products
