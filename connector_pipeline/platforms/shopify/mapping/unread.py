"""The fields of a page that Shopify could not read, by the places of their products and variants.

An item without such a field would have a null that the shop does not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.json_values import is_list, is_object, value_at
from connector_pipeline.platforms.kit.rejects import FieldError
from connector_pipeline.platforms.shopify.failed_fields import UNREAD, failed_fields


class UnreadField(FieldError):
    """A field that Shopify could not read. The reason names it already."""

    def __init__(self, reason: str):
        ValueError.__init__(self, reason)


@dataclass(frozen=True, slots=True)
class UnreadFields:
    """The unread fields of one page. `everything`: only ids were asked for."""

    everything: UnreadField | None = None
    _products: Mapping[int, UnreadField] = field(default_factory=dict[int, UnreadField])
    _variants: Mapping[tuple[int, int], UnreadField] = field(
        default_factory=dict[tuple[int, int], UnreadField]
    )

    @classmethod
    def of(cls, page: RawPage, body: Any) -> Self:
        """Read a page's errors and facts. On most pages there are none."""
        reason = page.facts.get(UNREAD)
        if isinstance(reason, str):
            return cls(UnreadField(reason))
        if not is_object(body) or not body.get("errors"):
            return cls()
        products: dict[int, UnreadField] = {}
        variants: dict[tuple[int, int], UnreadField] = {}
        for each in failed_fields(body):
            place = each.product or 0
            if each.variant is None:
                products.setdefault(place, UnreadField(each.reason))
            else:
                variants.setdefault((place, each.variant), UnreadField(each.reason))
        return cls(None, products, variants)

    def of_product(self, place: int) -> UnreadField | None:
        """Why all variants of the product are rejected, if they are."""
        return self.everything or self._products.get(place)

    def of_variant(self, place: int, at: int) -> UnreadField | None:
        """Why this variant alone is rejected, if it is."""
        return self._variants.get((place, at))

    def instead_of_variants(self, place: int, product: Any) -> UnreadField | None:
        """Why the product came without its variants, if it did because of an unread field."""
        nodes = value_at(product, "variants", "nodes")
        return None if is_list(nodes) and nodes else self.of_product(place)
