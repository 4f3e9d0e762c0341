"""Which live variants of the catalog does a snapshot lack?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant


@dataclass(frozen=True, slots=True)
class Absence:
    """The variants a snapshot lacks, each with its product's id, and an item it does have.

    `witness` is None where the snapshot has no item.
    """

    absent: dict[str, str]
    witness: CatalogItem | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The absent variants that the platform, asked by id, says are gone; whether these are all."""

    gone: tuple[str, ...] = ()
    every_absence: bool = False


def absence(
    live: Mapping[str, str], normalized: Iterable[CatalogItem | RejectedVariant]
) -> Absence:
    """Compare the live variants (variant id to product id) with a snapshot, one item at a time.

    A rejected variant is there, though it cannot be read. Where its id cannot be read, any variant
    of its product may be the one; where not even the product's can, any variant of the shop.
    """
    absent = dict(live)
    products: set[str] = set()
    any_variant = False
    witness: CatalogItem | None = None
    for each in normalized:
        if each.variant_id is not None:
            absent.pop(each.variant_id, None)
        elif each.product_id is not None:
            products.add(each.product_id)
        else:
            any_variant = True
        if isinstance(each, CatalogItem):
            witness = each
    if any_variant:
        return Absence({}, witness)
    kept = {variant: product for variant, product in absent.items() if product not in products}
    return Absence(kept, witness)
