"""Makes catalog items of Shopify's pages, from data alone. It is the hot path of a sync."""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, Final

from pydantic import ValidationError

from connector_pipeline.model.catalog_item import CatalogItem, ProductStatus, RejectedVariant
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import LOOKUP, RawPage
from connector_pipeline.platforms.kit.json_values import (
    is_object,
    json_of,
    list_at,
    object_at,
    value_at,
)
from connector_pipeline.platforms.kit.rejects import (
    FieldError,
    later,
    one_of,
    price,
    rejected,
    stated_status,
    time,
)
from connector_pipeline.platforms.kit.shop_columns import shop_columns
from connector_pipeline.platforms.shopify.bulk.download import BULK
from connector_pipeline.platforms.shopify.bulk.join import BulkJoin, usable_id
from connector_pipeline.platforms.shopify.bulk.operation import BULK_OPERATION
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.mapping.selling import product_sells, quantity, sellable
from connector_pipeline.platforms.shopify.mapping.unread import UnreadFields
from connector_pipeline.platforms.shopify.reading.by_id import (
    BY_ID,
    OWNERS_OF_STOCK,
    products_by_id,
)
from connector_pipeline.platforms.shopify.reading.deletions import DELETED

# Decimal itself would also accept "NaN", "1_000" and the digits of other scripts. The length is
# bounded, because Decimal's context rounds past 28 digits.
_MONEY: Final = re.compile(r"-?[0-9]{1,14}(?:\.[0-9]{1,13})?")

_PAGE: Final = "A page of Shopify's"

_STATUSES: Final = {
    "ACTIVE": ProductStatus.ACTIVE,
    "DRAFT": ProductStatus.DRAFT,
    "ARCHIVED": ProductStatus.ARCHIVED,
    "UNLISTED": ProductStatus.UNLISTED,
}


def normalize(
    shop: Shop, currency: str, pages: Iterable[RawPage]
) -> Iterator[CatalogItem | RejectedVariant]:
    """Make catalog items of the pages of a walk or a bulk result, in the order of the variants.

    Ids are the numbers of the gids. A variant without a title or a picture has its product's. Text
    is byte for byte Shopify's, prices are exact, and times are UTC. `created_at` is the product's
    creation, `updated_at` the later of the product's and the variant's last change.

    A variant that cannot be an item becomes a RejectedVariant (`raw`: the `variant`, and its
    `product` without variants), and so does one of which Shopify could not read a field. A variant
    that comes twice is yielded twice. A line of a bulk result without a usable id is a reject
    without that id, so nothing of its product is absent, or of the shop if it names no product.
    Raises InvalidResponse for a page of another structure.
    """
    with closing(Normalizer(shop, currency)) as normalizer:
        for page in pages:
            yield from normalizer.items(page)
        yield from normalizer.orphans()


class Normalizer:
    """Makes items of one page after another, as `normalize` does, until it is closed."""

    def __init__(self, shop: Shop, currency: str):
        self._of_shop = shop_columns(shop, currency)
        self.join = BulkJoin(partial(_ProductColumns, self._of_shop))

    def close(self) -> None:
        """Let go of the products of a bulk result."""
        self.join.close()

    def items(self, page: RawPage) -> Iterator[CatalogItem | RejectedVariant]:
        """The items of the next page. Raises InvalidResponse for one of another structure."""
        if page.kind == BULK:
            for product, variant in self.join.feed(page.body):
                yield _unusable(variant) if product is None else product.item(variant)
            return
        body = _body(page)
        unread = UnreadFields.of(page, body)
        for place, product in enumerate(_products(page, body)):
            if (hidden := unread.instead_of_variants(place, product)) is not None:
                yield _rejected(product, None, hidden)
                continue
            variants = list_at(product, "variants", "nodes", of=_PAGE)
            columns = _ProductColumns(self._of_shop, product, unread.of_product(place))
            for at, variant in enumerate(variants):
                yield columns.item(variant, unread.of_variant(place, at))

    def orphans(self) -> Iterator[RejectedVariant]:
        """The variants of a bulk result whose product never came: rejects."""
        for product_gid, variant in self.join.orphans():
            never_came = FieldError("product", "never came, although the variant names it")
            yield _rejected({"id": product_gid}, variant, never_came)


def _body(page: RawPage) -> Any:
    if page.kind in ("shop", BULK_OPERATION, LOOKUP, DELETED, OWNERS_OF_STOCK):
        return None
    if page.kind not in ("products", "variants", BY_ID):
        raise InvalidResponse(f"{page.kind!r} is no kind of page of the Shopify adapter's.")
    return json_of(page, of="Shopify's")


def _products(page: RawPage, body: Any) -> list[Any]:
    if body is None:
        return []
    data = object_at(body, "data", of=_PAGE)
    if page.kind == "products":
        return list_at(data, "products", "nodes", of=_PAGE)
    if page.kind == BY_ID:
        return products_by_id(page, body)
    if "product" in data and data["product"] is None:
        # The product was deleted after its products page was read, or could not be read.
        number = page.facts.get("product_id")
        return [{"id": f"gid://shopify/Product/{number}"}] if body.get("errors") else []
    return [object_at(data, "product", of=_PAGE)]


class _ProductColumns:
    """The columns that all variants of a product have from it, read once."""

    __slots__ = ("_columns", "_image", "_problem", "_product", "_sells", "_updated_at")

    def __init__(
        self,
        of_shop: dict[str, Any],
        product: dict[str, Any],
        unread: FieldError | None = None,
    ):
        self._product = product
        self._problem = unread
        if unread is not None:
            return
        try:
            self._image = _featured_image(product.get("featuredMedia"))
            self._updated_at = time("updated_at", product.get("updatedAt"))
            number = _id("product_id", product.get("id"), "Product")
            status = one_of("product_status", product.get("status"), _STATUSES)
            self._columns: dict[str, Any] = {
                **of_shop,
                "product_id": number,
                "product_title": product.get("title"),
                "product_status": status,
                "created_at": time("created_at", product.get("createdAt")),
            }
            self._sells = product_sells(status, product)
        except FieldError as error:
            self._problem = error

    def item(self, variant: Any, unread: FieldError | None = None) -> CatalogItem | RejectedVariant:
        """The item of one of the product's variants, or the rejected variant."""
        problem = self._problem or unread
        if problem is not None:
            return _rejected(self._product, variant, problem)
        try:
            if not is_object(variant):
                raise FieldError("variant", "is not an object", variant)
            get = variant.get
            columns = self._columns
            title = get("title")
            image = _image(get("image"))
            return CatalogItem.model_validate(
                {
                    **columns,
                    "variant_id": _id("variant_id", get("id"), "ProductVariant"),
                    "variant_title": (
                        columns["product_title"] if title is None or title == "" else title
                    ),
                    "sku": get("sku"),
                    "price": price("price", get("price"), as_text=_MONEY),
                    "inventory": quantity(variant),
                    "image_url": self._image if image is None else image,
                    "updated_at": later(self._updated_at, time("updated_at", get("updatedAt"))),
                    "sellable": sellable(self._sells, get("availableForSale")),
                }
            )
        except (ValidationError, FieldError) as error:
            return _rejected(self._product, variant, error)


def _unusable(line: dict[str, Any]) -> RejectedVariant:
    """The reject for a line of a bulk result that has no usable id, by those that it has."""
    gid, type_name = line.get("id"), "ProductVariant" if "__parentId" in line else "Product"
    product_id: str | None = None
    variant_id: str | None = None
    field = "product_id" if type_name == "Product" else "variant_id"
    raw: dict[str, Any] = {"variant": None, "product": line}
    if "__parentId" in line:
        parent = line["__parentId"]
        product_id, variant_id = _usable_id(parent, "Product"), _usable_id(gid, type_name)
        if variant_id is not None:
            gid, type_name, field = parent, "Product", "product_id"
        variant = {name: value for name, value in line.items() if name != "__parentId"}
        raw = {"variant": variant, "product": {"id": parent}}
    problem = f"is not gid://shopify/{type_name}/ and a number of 64 bits"
    return rejected(
        FieldError(field, problem, gid),
        product_id=product_id,
        variant_id=variant_id,
        raw=raw,
    )


def _usable_id(gid: object, type_name: str) -> str | None:
    return None if usable_id(gid, type_name) is None else numeric_id(gid, type_name)


def _rejected(
    product: dict[str, Any], variant: Any, error: FieldError | ValidationError
) -> RejectedVariant:
    return rejected(
        error,
        product_id=numeric_id(product.get("id"), "Product"),
        variant_id=numeric_id(value_at(variant, "id"), "ProductVariant"),
        product_status=stated_status(product["status"], _STATUSES) if "status" in product else None,
        raw={
            "variant": variant,
            "product": {name: value for name, value in product.items() if name != "variants"},
        },
    )


def _id(field: str, gid: object, type_name: str) -> str:
    number = numeric_id(gid, type_name)
    if number is None:
        raise FieldError(field, f"is not gid://shopify/{type_name}/ and a number", gid)
    return number


def _image(image: object) -> str | None:
    if image is None:
        return None
    url = value_at(image, "url")
    if not isinstance(url, str):
        raise FieldError("image_url", "the image has no URL", image)
    return url


def _featured_image(media: object) -> str | None:
    inner: Any = media
    for name in ("preview", "image"):
        if inner is None:
            return None
        if not is_object(inner):
            raise FieldError("image_url", "the featured media is not an object", media)
        inner = inner.get(name)
    return _image(inner)
