"""Find the live variants of the catalog that a snapshot lacks."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant
from connector_pipeline.platforms.kit.listed_ids import ListedIds


@dataclass(frozen=True, slots=True)
class Absence:
    """The live variants that a snapshot lacks, and one item that it has.

    `absent` maps variant ids to product ids. `witness` is None if the snapshot has no item.
    """

    absent: dict[str, str]
    witness: CatalogItem | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The absent variants that the platform, asked by id, says are gone.

    `every_absence`: the platform said so of all absent variants.
    """

    gone: tuple[str, ...] = ()
    every_absence: bool = False


def absence(
    live: Mapping[str, str], normalized: Iterable[CatalogItem | RejectedVariant]
) -> Absence:
    """Compare the live variants (variant id to product id) with a snapshot, one item at a time.

    A rejected variant is not absent, though it cannot be read. A reject without a variant id may be
    any variant of its product, so none of that product is absent. A reject without a product id may
    be any variant of the shop, so none is absent at all.
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


def products_of(normalized: Iterable[CatalogItem | RejectedVariant]) -> set[str]:
    """The products of which a snapshot has at least one item."""
    return {each.product_id for each in normalized if isinstance(each, CatalogItem)}


def unlisted(
    live: Mapping[str, str], listed: ListedIds, perhaps_gone: Collection[str]
) -> dict[str, str]:
    """The live variants (variant id to product id) that the shop does not list.

    Those of the products in `perhaps_gone` are among them in any case.
    """
    return {
        variant_id: product_id
        for variant_id, product_id in live.items()
        if product_id in perhaps_gone or listed.lack(variant_id, product_id)
    }
