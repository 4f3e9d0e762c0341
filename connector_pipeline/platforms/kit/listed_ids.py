"""What a shop lists at the moment: ids alone, to be compared with the catalog's live items."""

from dataclasses import dataclass

from connector_pipeline.platforms.kit.compact_ids import CompactIds


@dataclass(frozen=True, slots=True)
class ListedIds:
    """All products and all variants that a shop lists; None where it was not asked for them."""

    products: CompactIds | None = None
    variants: CompactIds | None = None

    def lack_product(self, product_id: str) -> bool:
        """Whether the shop does not list the product. An id that is no number is not judged."""
        return self.products is not None and _lacks(self.products, product_id)

    def lack(self, variant_id: str, product_id: str) -> bool:
        """Whether the shop does not list the variant or its product."""
        if self.lack_product(product_id):
            return True
        return self.variants is not None and _lacks(self.variants, variant_id)


def _lacks(ids: CompactIds, own_id: str) -> bool:
    return own_id.isascii() and own_id.isdigit() and int(own_id) not in ids
