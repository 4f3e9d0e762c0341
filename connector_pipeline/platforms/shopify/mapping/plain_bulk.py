"""Decodes pages of a bulk result in which nothing is odd directly into rows.

This makes the same rows as `normalize` in a fifth of the time (bench/publish.py). As with
`plain_pages`, a page with a single odd value is left to `normalize` as a whole, and so is one with
a variant whose product has not come yet. Both share a BulkJoin, which has the products of all pages
before.
"""

from typing import Final

import msgspec

from connector_pipeline.model.catalog_item import CatalogRow
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.bounds import MEGABYTE
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.bulk.join import KnownProducts
from connector_pipeline.platforms.shopify.mapping.plain_rows import (
    PRODUCT,
    Image,
    InventoryItem,
    Media,
    OddError,
    ProductColumns,
    Text,
    append_rows,
    number,
    product_columns,
)

_MOST_PRODUCTS: Final = 4_096
_MOST_BYTES: Final = 16 * MEGABYTE
"""The most bytes of lines whose products are kept in memory."""

_LONGEST_LINE: Final = 64 * 1024
"""A longer line is left to the bounds of `normalize`."""

_LONGEST_NUMBER: Final = 19
"""Digits of a number that surely has no more than 64 bits."""


class _Line(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A product, or a variant if it has a parent."""

    id: str
    parent: str | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="__parentId")
    title: Text | None = None
    updatedAt: str | None = None  # noqa: N815  Shopify's name
    sku: Text | None = None
    price: str | None = None
    # `normalize` rejects a float. Decoded as an int alone, 5.0 would become 5.
    inventoryQuantity: int | float | None = None  # noqa: N815
    inventoryItem: InventoryItem | None = None  # noqa: N815
    availableForSale: bool | None = None  # noqa: N815
    image: Image | None = None
    status: str | None = None
    publishedAt: str | msgspec.UnsetType | None = msgspec.UNSET  # noqa: N815
    createdAt: str | None = None  # noqa: N815
    featuredMedia: Media | None = None  # noqa: N815


_line: Final = msgspec.json.Decoder(_Line)


class PlainBulk:
    """Reads the pages of one bulk result. `join` is the one of the `normalize` beside it."""

    def __init__(self, shop: Shop, currency: str, join: KnownProducts):
        self._shop = shop
        self._currency = currency
        self._join = join
        self._products: dict[int, ProductColumns] = {}
        self._bytes = 0

    def rows(self, page: RawPage) -> list[CatalogRow] | None:
        """The rows of a page; None, and nothing learned, where `normalize` must read it."""
        # NUL is the one character that JSON can escape and Postgres cannot hold.
        if b"\\u0000" in page.body:
            return self._left_out()
        if len(self._products) > _MOST_PRODUCTS or self._bytes > _MOST_BYTES:
            self._forget()
        try:
            return self._rows(page.body)
        except (OddError, ValueError, OverflowError, RecursionError):
            # msgspec's errors are ValueErrors: another structure, another type, no JSON at all.
            return self._left_out()

    def _rows(self, body: bytes) -> list[CatalogRow]:
        rows: list[CatalogRow] = []
        lines: dict[int, bytes] = {}
        siblings: list[_Line] = []
        parent: str | None = None
        for line in body.split(b"\n"):
            if not line or line.isspace():
                continue
            if len(line) > _LONGEST_LINE:
                raise OddError
            record = _line.decode(line)
            if record.parent is msgspec.UNSET:
                # Variants that waited for the product come at its line.
                if self._join.waiting:
                    raise OddError
                self._append(rows, parent, siblings)
                parent, siblings = None, []
                product_id = _short_number(record.id)
                lines[product_id] = line
                self._keep(product_id, record, len(line))
            else:
                if record.parent != parent:
                    self._append(rows, parent, siblings)
                    parent, siblings = record.parent, []
                siblings.append(record)
        self._append(rows, parent, siblings)
        self._join.add(lines)
        return rows

    def _append(self, rows: list[CatalogRow], parent: str | None, siblings: list[_Line]) -> None:
        if parent is None:
            return
        product_id = _short_number(parent)
        product = self._products.get(product_id)
        if product is None:
            line = self._join.line_of(product_id)
            if line is None:
                raise OddError
            product = self._keep(product_id, _line.decode(line), len(line))
        for variant in siblings:
            if len(variant.id) > len(_LONGEST_VARIANT):
                raise OddError
        append_rows(rows, self._shop, self._currency, product, siblings)

    def _keep(self, product_id: int, record: _Line, size: int) -> ProductColumns:
        if record.title is None:
            raise OddError
        columns = product_columns(record, record.title)
        self._products[product_id] = columns
        self._bytes += size
        return columns

    def _left_out(self) -> None:
        # `normalize` may learn of other lines of these products, and nothing was added of them.
        self._forget()

    def _forget(self) -> None:
        self._products.clear()
        self._bytes = 0


_LONGEST_VARIANT: Final = "gid://shopify/ProductVariant/" + "9" * _LONGEST_NUMBER


def _short_number(gid: str) -> int:
    found = number(gid, PRODUCT)
    if len(found) > _LONGEST_NUMBER:
        raise OddError
    return int(found)
