"""Makes catalog items of raw WooCommerce pages, from data alone.

An item is made of every product without variations, as `{product_id}_default`, and of every
variation whose parent is among the snapshot's products and has variations.

A variation is left out if its parent was not read (the parent is a draft and only published
products are read, or the variation is an orphan) or no longer has variations. Such a variation is
counted in `Normalizer.left_out` and not rejected. The endpoints for all of a shop's variations
return those too, but no buyer can buy them (docs/facts/woocommerce.md, Variations: orphans and
former variables).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from connector_pipeline.model.catalog_item import CatalogItem, ProductStatus, RejectedVariant
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import LOOKUP, RawPage
from connector_pipeline.platforms.kit.json_values import is_list, is_object, json_of
from connector_pipeline.platforms.kit.rejects import (
    FieldError,
    item_text,
    later,
    rejected,
    require_fields,
    stated_status,
    text,
    time,
)
from connector_pipeline.platforms.kit.remarks import Remarks
from connector_pipeline.platforms.kit.shop_columns import shop_columns
from connector_pipeline.platforms.woocommerce.mapping import forms, values

PRODUCTS: Final = "products"
VARIATIONS: Final = "variations"
IDS: Final = "ids"
"""The kind of the pages that list ids alone. No item is made of them."""
ANALYTICS_VARIATIONS: Final = "/wc-analytics/variations"

READ_WITH_PARENTS: Final = "read_with_parents"
"""The fact of a page of changed variations that names products.

All variations of these products are on earlier pages, because the products changed too.
"""

GIVEN_BEFORE: Final = "given_before"
"""The fact of a page of variations that has ids of variations which earlier pages had.

The shop failed with the list of all variations after some of its pages.
"""

# Every supported version answers with these fields, so an object that lacks one is rejected.
PRODUCT_FIELDS: Final = (
    "id",
    "name",
    "type",
    "status",
    "sku",
    "price",
    "manage_stock",
    "stock_quantity",
    "images",
    "variations",
    "date_created_gmt",
    "date_modified_gmt",
)
VARIATION_FIELDS: Final = (
    "id",
    "status",
    "sku",
    "price",
    "manage_stock",
    "stock_quantity",
    "image",
    "attributes",
    "date_modified_gmt",
)
# Asked for and not required: where they are absent, the shop does not tell.
SELLING_FIELDS: Final = ("purchasable", "stock_status")
# Absent before WooCommerce 8.3 (docs/facts/woocommerce.md, Variations: endpoints).
LATER_VARIATION_FIELDS: Final = ("parent_id", "name")

NEVER_WITH_VARIATIONS: Final = ("simple", "grouped", "external")


@dataclass(frozen=True, slots=True)
class Parent:
    """The values of a product that its variations need."""

    title: str
    status: ProductStatus
    created_at: datetime | None
    updated_at: datetime | None
    image_url: str | None


class Normalizer:
    """Makes items of one snapshot's pages, products before variations, page by page.

    Titles are byte for byte the API's. HTML entities in them are not decoded: they are the
    merchant's text, and the catalog service decodes it.
    """

    def __init__(self, shop: Shop, currency: str, remarks: Remarks | None = None):
        self._of_shop = shop_columns(shop, currency)
        self._remarks = remarks or Remarks()
        self.left_out = 0
        """How many variations were left out by the module's rule."""
        self.parents: dict[int, Parent | FieldError] = {}
        """The products with variations on the pages so far, by id.

        For a parent that cannot be read, its error is kept, and its variations are rejected with
        that. If they were left out, they would look deleted.
        """

    def items(self, page: RawPage) -> Iterator[CatalogItem | RejectedVariant]:
        """The items of the next page. Raises InvalidResponse for one that is no list of objects."""
        if page.kind in (LOOKUP, IDS):
            return
        rows = _rows(page)
        if page.kind == PRODUCTS:
            yield from self._products(rows)
        elif page.kind == VARIATIONS:
            yield from self._variations(rows, page)
        else:
            raise InvalidResponse(f"A WooCommerce snapshot has no pages of kind {page.kind!r}.")

    def _products(self, rows: Iterable[dict[str, Any]]) -> Iterator[CatalogItem | RejectedVariant]:
        for product in rows:
            if has_variations(product):
                unreadable = _keep_parent(self.parents, product)
                if unreadable is not None:
                    yield unreadable
            else:
                yield _product_item(self._of_shop, product, self._remarks)

    def _variations(
        self, rows: Iterable[dict[str, Any]], page: RawPage
    ) -> Iterator[CatalogItem | RejectedVariant]:
        page_parent = page.facts.get("parent_id")
        had: Any = page.facts.get(READ_WITH_PARENTS, [])
        before: Any = page.facts.get(GIVEN_BEFORE, [])
        named_by_options = page.facts.get("endpoint") == ANALYTICS_VARIATIONS
        for variation in rows:
            named = id_of_parent(variation)
            parent_id = page_parent if named is None else named
            if type(parent_id) is not int:
                error = _no_number("parent_id", variation.get("parent_id"))
                yield _rejected(None, variation, error)
                continue
            if parent_id in had or (before and object_id(variation) in before):
                continue
            parent = self.parents.get(parent_id)
            if parent is None:
                self.left_out += 1
            elif isinstance(parent, FieldError):
                error = FieldError("its product", str(parent))
                yield _rejected(parent_id, variation, error)
            else:
                title = "" if named_by_options else variation.get("name", "")
                yield _variation_item(
                    self._of_shop, variation, title, parent_id, parent, self._remarks
                )


def objects_of(parsed: Any) -> list[dict[str, Any]]:
    """The objects of one page's JSON. Raises InvalidResponse if it is not a list of objects."""
    if not is_list(parsed):
        raise InvalidResponse("A page of the WooCommerce REST API is not a list.")
    if not all(map(is_object, parsed)):
        raise InvalidResponse("A page of the WooCommerce REST API lists more than objects.")
    return parsed


def has_variations(product: Mapping[str, Any]) -> bool:
    """Whether a product is sold as its variations.

    The product's list of variations decides, unless its type never has any. Extensions bring types
    such as variable-subscription, whose variations are listed as those of variable products are. A
    product whose list cannot be understood counts as one with variations, too.
    """
    return forms.has_variations(product, NEVER_WITH_VARIATIONS)


def object_id(row: Mapping[str, Any]) -> int | None:
    """The id of a product or variation; None for another value (in Python, true is an int)."""
    return forms.own_id(row.get("id"))


def id_of_parent(variation: Mapping[str, Any]) -> int | None:
    """The id of a variation's product, 0 for an orphan; None for another value, or without one."""
    return forms.parent_id(variation.get("parent_id"))


def _rows(page: RawPage) -> list[dict[str, Any]]:
    return objects_of(json_of(page, of="WooCommerce's"))


def _keep_parent(
    parents: dict[int, Parent | FieldError], product: Mapping[str, Any]
) -> RejectedVariant | None:
    product_id = object_id(product)
    if product_id is None:
        error = _no_number("id", product.get("id"))
        return _rejected(None, product, error, is_product=True)
    try:
        require_fields(product, PRODUCT_FIELDS)
        forms.variation_ids(product["variations"])
        parents[product_id] = Parent(
            title=item_text("name", forms.title_of(product["name"])),
            status=values.status(product["status"]),
            created_at=_gmt(product, "date_created_gmt"),
            updated_at=_gmt(product, "date_modified_gmt"),
            image_url=values.first_image_url(product["images"]),
        )
    except FieldError as error:
        parents[product_id] = error
        return _rejected(product_id, product, error, is_product=True)
    return None


def _product_item(
    of_shop: Mapping[str, Any], product: Mapping[str, Any], remarks: Remarks
) -> CatalogItem | RejectedVariant:
    product_id = object_id(product)
    try:
        if product_id is None:
            raise _no_number("id", product.get("id"))
        require_fields(product, PRODUCT_FIELDS)
        product_type = text("type", product["type"])
        title = text("name", forms.title_of(product["name"]))
        status = values.status(product["status"])
        return CatalogItem(
            **of_shop,
            product_id=str(product_id),
            variant_id=f"{product_id}_default",
            product_title=title,
            variant_title=title,
            sku=forms.sku(product["sku"]),
            # The price that the API gives for a grouped product is that of its cheapest member
            # (docs/facts/woocommerce.md, Prices).
            price=None if product_type == "grouped" else values.price(product["price"]),
            inventory=values.inventory(
                product["manage_stock"],
                product["stock_quantity"],
                remarks,
                f"product {product_id}",
            ),
            image_url=values.first_image_url(product["images"]),
            created_at=_gmt(product, "date_created_gmt"),
            updated_at=_gmt(product, "date_modified_gmt"),
            product_status=status,
            sellable=values.sellable(status, product),
        )
    except (ValidationError, FieldError) as error:
        return _rejected(product_id, product, error, is_product=True)


def _variation_item(
    of_shop: Mapping[str, Any],
    variation: Mapping[str, Any],
    name: Any,
    parent_id: int,
    parent: Parent,
    remarks: Remarks,
) -> CatalogItem | RejectedVariant:
    try:
        variation_id = object_id(variation)
        if variation_id is None:
            raise _no_number("id", variation.get("id"))
        require_fields(variation, VARIATION_FIELDS)
        own = values.status(variation["status"])
        # The variations of a draft have the status publish (docs/facts/woocommerce.md, Attributes
        # and disabled variations), so that word tells nothing of its own.
        status = parent.status if own is ProductStatus.ACTIVE else own
        modified = _gmt(variation, "date_modified_gmt")
        return CatalogItem(
            **of_shop,
            product_id=str(parent_id),
            variant_id=str(variation_id),
            product_title=parent.title,
            variant_title=_variant_title(name, variation["attributes"]) or parent.title,
            sku=forms.sku(variation["sku"]),
            price=values.price(variation["price"]),
            inventory=values.inventory(
                variation["manage_stock"],
                variation["stock_quantity"],
                remarks,
                f"variation {variation_id}",
            ),
            image_url=values.image_url(variation["image"]) or parent.image_url,
            created_at=parent.created_at,
            updated_at=later(parent.updated_at, modified),
            product_status=status,
            sellable=values.sellable(status, variation),
        )
    except (ValidationError, FieldError) as error:
        return _rejected(parent_id, variation, error, of_parent=parent.status)


def _variant_title(name: Any, attributes: Any) -> str:
    """The variation's name, or its options where it has none ("any" attributes, old versions).

    wc-analytics puts the product's name before the options, and with three or more options it gives
    the product's name alone. Its names are not used, so a title is the same from every endpoint and
    does not change when a shop's WooCommerce is updated.
    """
    return text("name", forms.title_of(name)) or values.options(attributes)


def _gmt(row: Mapping[str, Any], field: str) -> datetime | None:
    """A `*_gmt` date, which is UTC without a zone; None where a draft has no date yet."""
    return time(field, row[field], without_zone=UTC)


def _no_number(field: str, value: object) -> FieldError:
    return FieldError(field, "is missing or not a number", value)


def _rejected(
    product_id: int | None,
    row: Mapping[str, Any],
    error: FieldError | ValidationError,
    *,
    is_product: bool = False,
    of_parent: ProductStatus | None = None,
) -> RejectedVariant:
    # The reject of a parent that cannot be read counts for its variations, too.
    stated = stated_status(row.get("status"), values.STATUSES)
    if not is_product and stated is ProductStatus.ACTIVE:
        stated = of_parent
    own_id = object_id(row)
    variant_id = None if own_id is None else str(own_id)
    if is_product and variant_id is not None:
        variant_id = None if has_variations(row) else f"{own_id}_default"
    return rejected(
        error,
        product_id=None if product_id is None else str(product_id),
        variant_id=variant_id,
        raw=row,
        product_status=stated,
    )
