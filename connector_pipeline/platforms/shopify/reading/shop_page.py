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

    def disagreement(self, products: int, deleted: int = 0, created: int = 0) -> str | None:
        """Why Shopify's count does not agree with that many products; None when it does.

        `deleted` of the products were deleted after they were read, and `created` more were created
        meanwhile and not read.
        """
        missing = self.missing(products + created - deleted)
        if self.counts(products) and not missing:
            return None
        said = f"Shopify counts {self.products} products, but {products} were read"
        if deleted:
            said += f" ({deleted} of them deleted since)"
        if created:
            said += f" ({created} more were created since)"
        if missing:
            return f"{said}: {missing} are missing."
        return f"{said}: the shop was edited while it was read."

    def counts(self, products: int) -> bool:
        """Whether Shopify's count agrees with that many products. A count of null always does."""
        if not isinstance(self.products, int):
            return self.products is None
        return products == self.products if self.exact else products >= self.products

    def missing(self, products: int) -> int:
        """How many more products than these Shopify counts; an unreadable count lacks one."""
        if not isinstance(self.products, int):
            return 0 if self.products is None else 1
        return max(0, self.products - products)
