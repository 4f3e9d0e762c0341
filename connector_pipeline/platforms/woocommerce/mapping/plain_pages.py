"""Decodes pages in which nothing is odd directly into rows.

This makes the same rows as a `Normalizer` in a fifth of the time. A page with a single value that
the Normalizer might reject or read in another way is left to it as a whole. The rules are those of
the Normalizer and CatalogItem, and a property test compares the two.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from connector_pipeline.model.catalog_item import SURELY_SHORT, CatalogRow, ProductStatus
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.rejects import FieldError, later
from connector_pipeline.platforms.woocommerce.mapping import values
from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    ANALYTICS_VARIATIONS,
    GIVEN_BEFORE,
    NEVER_WITH_VARIATIONS,
    PRODUCTS,
    READ_WITH_PARENTS,
    VARIATIONS,
    Normalizer,
    Parent,
)

# No more decimals than the catalog holds, no more digits than Decimal's context keeps.
_MONEY: Final = re.compile(r"-?[0-9]{1,14}(?:\.[0-9]{1,6})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_STATUSES: Final = values.STATUSES
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
# CatalogRow(…) would take as long to bind its arguments as all the rest takes.
_new: Final[Callable[[type[CatalogRow], tuple[Any, ...]], CatalogRow]] = tuple.__new__  # pyright: ignore


# Only what is surely short enough for the catalog is plain.
_Text = Annotated[str, msgspec.Meta(max_length=SURELY_SHORT)]
_Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class _Image(msgspec.Struct):
    src: _Text | None = None


class _Attribute(msgspec.Struct):
    option: str


class _Priced(msgspec.Struct, kw_only=True):
    id: _Id
    status: str
    sku: _Text | None
    price: str | None
    manage_stock: bool | str
    # Decoded as an int alone, 5.0 would become 5. The Normalizer accepts that, but it judges it.
    stock_quantity: int | float | None
    date_modified_gmt: str | None
    purchasable: bool | None = None
    stock_status: str | None = None


class _Product(_Priced, kw_only=True):
    name: _Text
    type: str
    images: list[_Image]
    variations: list[_Id]
    date_created_gmt: str | None


class _Variation(_Priced, kw_only=True):
    image: _Image | None
    attributes: list[_Attribute]
    parent_id: int | None = None
    name: _Text = ""


_products: Final = msgspec.json.Decoder(list[_Product])
_variations: Final = msgspec.json.Decoder(list[_Variation])


class _OddError(Exception):
    """The page has a value that the Normalizer has to judge."""


class PlainPages:
    """Reads pages that are plain, and tells `normalizer` what their variations will need."""

    def __init__(self, shop: Shop, currency: str, normalizer: Normalizer):
        self._normalizer = normalizer
        self._currency = currency
        self._of_shop = (
            shop.merchant_id,
            shop.platform_name,
            shop.platform_shop_id,
            shop.domain,
        )
        self._any_is_plain = _CURRENCY.fullmatch(currency) is not None

    def rows(self, page: RawPage) -> list[CatalogRow] | None:
        """The rows of a page; None, and nothing changed, where the Normalizer must read it."""
        # NUL is the one character that JSON can escape and Postgres cannot hold.
        if not self._any_is_plain or b"\\u0000" in page.body or GIVEN_BEFORE in page.facts:
            return None
        try:
            if page.kind == PRODUCTS:
                return self._products(_products.decode(page.body))
            if page.kind == VARIATIONS:
                return self._variations(_variations.decode(page.body), page)
        except (_OddError, FieldError, ValueError, OverflowError, RecursionError):
            # msgspec's errors are ValueErrors: another structure, another type, no JSON at all.
            return None
        return None

    def _products(self, products: list[_Product]) -> list[CatalogRow]:
        rows: list[CatalogRow] = []
        parents: dict[int, Parent] = {}
        for product in products:
            status = _STATUSES.get(product.status)
            created_at = _gmt(product.date_created_gmt)
            updated_at = _gmt(product.date_modified_gmt)
            image_url = (product.images[0].src or None) if product.images else None
            if product.id <= 0 or status is None:
                raise _OddError
            if product.variations and product.type not in NEVER_WITH_VARIATIONS:
                if min(product.variations) <= 0:
                    raise _OddError
                parents[product.id] = Parent(
                    product.name, status, created_at, updated_at, image_url
                )
                continue
            rows.append(
                self._row(
                    product,
                    product_id=str(product.id),
                    variant_id=f"{product.id}_default",
                    product_title=product.name,
                    variant_title=product.name,
                    # As the Normalizer: a grouped product has no price of its own.
                    price=None if product.type == "grouped" else _price(product.price),
                    image_url=image_url,
                    created_at=created_at,
                    updated_at=updated_at,
                    status=status,
                )
            )
        self._normalizer.parents |= parents
        return rows

    def _variations(self, variations: list[_Variation], page: RawPage) -> list[CatalogRow]:
        page_parent = page.facts.get("parent_id")
        had: Any = page.facts.get(READ_WITH_PARENTS, [])
        named_by_options = page.facts.get("endpoint") == ANALYTICS_VARIATIONS
        parents = self._normalizer.parents
        rows: list[CatalogRow] = []
        left_out = 0
        for variation in variations:
            parent_id = variation.parent_id
            if parent_id is None:
                if type(page_parent) is not int:
                    raise _OddError
                parent_id = page_parent
            if parent_id < 0:
                raise _OddError
            if parent_id in had:
                continue
            parent = parents.get(parent_id)
            if parent is None:
                left_out += 1
                continue
            if isinstance(parent, FieldError) or variation.id <= 0:
                raise _OddError
            title = "" if named_by_options else variation.name
            if not title:
                title = ", ".join(each.option for each in variation.attributes) or parent.title
                if len(title) > SURELY_SHORT:
                    raise _OddError
            image = variation.image
            own = _STATUSES.get(variation.status)
            if own is None:
                raise _OddError
            rows.append(
                self._row(
                    variation,
                    product_id=str(parent_id),
                    variant_id=str(variation.id),
                    product_title=parent.title,
                    variant_title=title,
                    price=_price(variation.price),
                    image_url=(image.src if image is not None else None) or parent.image_url,
                    created_at=parent.created_at,
                    updated_at=later(parent.updated_at, _gmt(variation.date_modified_gmt)),
                    status=parent.status if own is ProductStatus.ACTIVE else own,
                )
            )
        self._normalizer.left_out += left_out
        return rows

    def _row(
        self,
        priced: _Priced,
        *,
        product_id: str,
        variant_id: str,
        product_title: str,
        variant_title: str,
        price: Decimal | None,
        image_url: str | None,
        created_at: datetime | None,
        updated_at: datetime | None,
        status: ProductStatus,
    ) -> CatalogRow:
        return _new(
            CatalogRow,
            (
                *self._of_shop,
                product_id,
                variant_id,
                product_title,
                variant_title,
                priced.sku,
                price,
                self._currency,
                _inventory(priced.manage_stock, priced.stock_quantity),
                image_url,
                created_at,
                updated_at,
                status,
                _sellable(priced, status),
            ),
        )


def _price(written: str | None) -> Decimal | None:
    if not written:
        return None
    if not _MONEY.fullmatch(written):
        raise _OddError
    return Decimal(written)


def _inventory(manage_stock: bool | str, quantity: float | None) -> int | None:
    if manage_stock is False:
        return None
    if manage_stock is not True and manage_stock != "parent":
        raise _OddError
    if quantity is None:
        return None
    if not isinstance(quantity, int) or not _LOWEST <= quantity <= _HIGHEST:
        raise _OddError
    return quantity


def _sellable(priced: _Priced, status: ProductStatus) -> bool | None:
    if status is not ProductStatus.ACTIVE or priced.purchasable is False:
        return False
    if priced.stock_status == "outofstock":
        return False
    return True if priced.purchasable and priced.stock_status else None


def _gmt(written: str | None) -> datetime | None:
    if written is None:
        return None
    time = datetime.fromisoformat(written)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
