"""The ids of WooCommerce's lists, filtered and sorted, without generating the other products."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import cast

from connector_pipeline.sandbox.shops.records import WooProduct, WooVariation
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import EPOCH
from connector_pipeline.sandbox.woocommerce.catalog import WooCatalog
from connector_pipeline.sandbox.woocommerce.query import ListQuery

Entry = tuple[int, datetime, datetime]
"""An id, and when its object was created and modified, in UTC."""


def woo_catalog(shop: SandboxShop) -> WooCatalog:
    """The catalog of a shop known to be WooCommerce's."""
    return cast("WooCatalog", shop.catalog)


def product_list(shop: SandboxShop, query: ListQuery) -> Sequence[int]:
    """Ids of `/wc/v3/products`, in the requested order. `any` leaves the trash out.

    docs/facts/woocommerce.md, Trash and deletions.
    """
    return shop.remembered(
        ("product_list", _lasting(query)), lambda: _sorted(shop, query, _products(shop, query))
    )


def variation_list(shop: SandboxShop, query: ListQuery) -> Sequence[int]:
    """Ids of the lists of all parents' variations, orphans included.

    docs/facts/woocommerce.md, Variations: orphans and former variables.
    """
    return shop.remembered(
        ("variation_list", _lasting(query)), lambda: _sorted(shop, query, _variations(shop, query))
    )


def variations_of_parent(shop: SandboxShop, query: ListQuery, parent_id: int) -> Sequence[int]:
    """Ids of `/wc/v3/products/{id}/variations`; none if there is no such product."""
    parent = shop.product(parent_id)
    if not isinstance(parent, WooProduct):
        return []
    entries = (
        (each.id, each.created_at, each.updated_at)
        for each in parent.variations
        if query.status in ("any", each.status)
    )
    return _sorted(shop, query, entries)


def _lasting(query: ListQuery) -> tuple[object, ...]:
    """The parts of a query that decide the list, without those that decide the page."""
    return (
        query.orderby, query.order, query.status, query.type, query.include, query.parent,
        query.modified_after, query.dates_are_gmt,
    )  # fmt: skip


def _products(shop: SandboxShop, query: ListQuery) -> Iterator[Entry]:
    if query.status == "trash":
        for product_id in shop.trashed_ids():
            product = shop.trashed(product_id)
            if product is not None:
                yield product_id, product.created_at, product.updated_at
        return
    for product_id in shop.product_ids():
        if query.status not in ("any", shop.status(product_id)):
            continue
        if query.type and query.type != shop.product_type(product_id):
            continue
        yield product_id, shop.created_at(product_id), shop.updated_at(product_id)


def _variations(shop: SandboxShop, query: ListQuery) -> Iterator[Entry]:
    catalog = woo_catalog(shop)
    for orphan_id in catalog.orphan_ids if query.status in ("any", "publish") else ():
        if not query.parent:
            yield orphan_id, EPOCH, EPOCH
    for orphan in shop.orphans() if not query.parent else ():
        if isinstance(orphan, WooVariation) and query.status in ("any", orphan.status):
            yield orphan.id, orphan.created_at, orphan.updated_at
    for product_id in shop.product_ids():
        if query.parent and product_id not in query.parent:
            continue
        if query.status == "any" and not shop.is_edited(product_id):
            index = catalog.index_of_product(product_id) or 0
            created_at = catalog.created_at(index)
            for place, variation_id in enumerate(catalog.variant_ids(index)):
                yield variation_id, created_at, catalog.variant_updated_at(index, place)
            continue
        product = shop.product(product_id)
        for each in product.variations if isinstance(product, WooProduct) else ():
            if query.status in ("any", each.status):
                yield each.id, each.created_at, each.updated_at


def _sorted(shop: SandboxShop, query: ListQuery, entries: Iterator[Entry]) -> Sequence[int]:
    after = query.modified_after
    offset = timedelta(0 if query.dates_are_gmt else shop.spec.utc_offset_minutes / 1440)
    kept: list[Entry] = []
    wanted = set(query.include)
    for entry in entries:
        if wanted and entry[0] not in wanted:
            continue
        # Later, not equal, by whole seconds (docs/facts/woocommerce.md, Changes since a time).
        modified = entry[2].replace(tzinfo=None, microsecond=0) + offset
        if after is not None and not modified > after:
            continue
        kept.append(entry)
    if query.orderby == "include" and query.include:
        place = {number: place for place, number in enumerate(query.include)}
        kept.sort(key=lambda entry: place[entry[0]])
        return [entry[0] for entry in kept]
    downwards = query.order == "desc"
    if query.orderby in ("title", "slug"):
        kept.sort(key=lambda entry: (_title(shop, entry[0]), entry[0]), reverse=downwards)
    elif query.orderby == "id":
        kept.sort(reverse=downwards)
    else:
        column = 2 if query.orderby == "modified" else 1
        kept.sort(key=lambda entry: (entry[column], entry[0]), reverse=downwards)
    return [entry[0] for entry in kept]


def _title(shop: SandboxShop, number: int) -> str:
    product = shop.product(number)
    return product.name if isinstance(product, WooProduct) else ""


def page_ids(ids: Sequence[int], query: ListQuery) -> Sequence[int]:
    """The ids of one page; none after the last page.

    docs/facts/woocommerce.md, Lists: order and totals.
    """
    return list(islice(ids, query.start, query.start + query.per_page))


def find_variation(shop: SandboxShop, variation_id: int) -> tuple[WooProduct, WooVariation] | None:
    """A variation with its parent; None for an orphan, although lists count it."""
    found = shop.variant(variation_id)
    if found is None:
        return None
    return cast("tuple[WooProduct, WooVariation]", found)
