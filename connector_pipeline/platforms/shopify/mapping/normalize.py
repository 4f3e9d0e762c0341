"""Shopify's pages to catalog items: a function of data to data, and the hot path of a sync."""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final, cast

from pydantic import ValidationError

from connector_pipeline.model.catalog_item import CatalogItem, ProductStatus, RejectedVariant
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import LOOKUP, RawPage
from connector_pipeline.platforms.shopify.bulk.download import BULK
from connector_pipeline.platforms.shopify.bulk.join import BulkJoin
from connector_pipeline.platforms.shopify.bulk.operation import BULK_OPERATION
from connector_pipeline.platforms.shopify.gid import numeric_id

# Money is written plainly; Decimal itself would also take "NaN", "1_000" and other scripts' digits.
# Its length is bounded, because Decimal's context rounds past 28 digits.
_MONEY: Final = re.compile(r"-?[0-9]{1,14}(?:\.[0-9]{1,13})?")

_STATUSES: Final = {
    "ACTIVE": ProductStatus.ACTIVE,
    "DRAFT": ProductStatus.DRAFT,
    "ARCHIVED": ProductStatus.ARCHIVED,
    "UNLISTED": ProductStatus.UNLISTED,
}


class _UnreadableError(ValueError):
    """A field of one product or variant that is not what Shopify promises."""

    def __init__(self, field: str, problem: str, value: object):
        # repr, cut: neither a NUL nor half a surrogate pair reaches the reason, nor a megabyte.
        super().__init__(f"{field}: {problem} ({value!r:.60})")


def normalize(
    shop: Shop, currency: str, pages: Iterable[RawPage]
) -> Iterator[CatalogItem | RejectedVariant]:
    """Map the pages of a walk to catalog items, in their order; of a bulk result, in its own.

    Ids are the numbers of the gids. A variant's absent title is the product's, its absent picture
    too. Text is byte for byte Shopify's, prices are exact, times UTC: `created_at` the product's
    creation, `updated_at` the later of the product's and the variant's last change.

    A variant that cannot be an item becomes a RejectedVariant (`raw`: the `variant` and its
    `product` without variants); one that comes twice is yielded twice. Raises InvalidResponse for
    a page of another structure.
    """
    shop_columns = {
        "merchant_id": shop.merchant_id,
        "platform_name": shop.platform_name,
        "platform_shop_id": shop.platform_shop_id,
        "domain": shop.domain,
        "currency": currency,
    }
    with closing(BulkJoin(partial(_ProductColumns, shop_columns))) as join:
        for page in pages:
            if page.kind == BULK:
                for product, variant in join.feed(page.body):
                    yield product.item(variant)
            else:
                for product in _products(page):
                    variants = _nodes(_object(product, "variants"))
                    columns = _ProductColumns(shop_columns, product)
                    for variant in variants:
                        yield columns.item(variant)
        for product_gid, variant in join.orphans():
            yield RejectedVariant(
                product_id=numeric_id(product_gid, "Product"),
                variant_id=numeric_id(variant.get("id"), "ProductVariant"),
                reason="product: never came, although the variant names it",
                raw={"variant": variant, "product": {"id": product_gid}},
            )


def _products(page: RawPage) -> list[Any]:
    if page.kind in ("shop", BULK_OPERATION, LOOKUP):
        return []
    if page.kind not in ("products", "variants"):
        raise InvalidResponse(f"{page.kind!r} is no kind of page of the Shopify adapter's.")
    try:
        data = _object(parse_json(page.body), "data")
    except ValueError as error:
        raise InvalidResponse(f"A {page.kind} page of Shopify's is not JSON.") from error
    if page.kind == "products":
        return _nodes(_object(data, "products"))
    # Null when the product was deleted between its products page and this one.
    deleted = "product" in data and data["product"] is None
    return [] if deleted else [_object(data, "product")]


class _ProductColumns:
    """What a product gives to each of its variants, read once."""

    __slots__ = ("_columns", "_image", "_problem", "_product", "_updated_at")

    def __init__(self, shop_columns: dict[str, str], product: dict[str, Any]):
        self._product = product
        self._problem: str | None = None
        try:
            self._image = _featured_image(product.get("featuredMedia"))
            self._updated_at = _time("updated_at", product.get("updatedAt"))
            self._columns: dict[str, Any] = {
                **shop_columns,
                "product_id": _id("product_id", product.get("id"), "Product"),
                "product_title": product.get("title"),
                "product_status": _status(product.get("status")),
                "created_at": _time("created_at", product.get("createdAt")),
            }
        except _UnreadableError as error:
            self._problem = str(error)

    def item(self, variant: Any) -> CatalogItem | RejectedVariant:
        """The item of one of the product's variants, or why it is none."""
        if self._problem is not None:
            return _rejected(self._product, variant, self._problem)
        try:
            if not isinstance(variant, dict):
                raise _UnreadableError("variant", "is not an object", cast("object", variant))
            get = cast("dict[str, Any]", variant).get
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
                    "price": _price(get("price")),
                    "inventory": get("inventoryQuantity"),
                    "image_url": self._image if image is None else image,
                    "updated_at": _later(self._updated_at, _time("updated_at", get("updatedAt"))),
                }
            )
        except ValidationError as error:
            return _rejected(self._product, variant, _reasons(error))
        except _UnreadableError as error:
            return _rejected(self._product, variant, str(error))


def _rejected(product: dict[str, Any], variant: Any, reason: str) -> RejectedVariant:
    gid = cast("dict[str, Any]", variant).get("id") if isinstance(variant, dict) else None
    return RejectedVariant(
        product_id=numeric_id(product.get("id"), "Product"),
        variant_id=numeric_id(gid, "ProductVariant"),
        reason=reason,
        raw={
            "variant": variant,
            "product": {name: value for name, value in product.items() if name != "variants"},
        },
    )


def _reasons(error: ValidationError) -> str:
    return "; ".join(
        f"{problem['loc'][0]}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    )


def _id(field: str, gid: object, type_name: str) -> str:
    number = numeric_id(gid, type_name)
    if number is None:
        raise _UnreadableError(field, f"is not gid://shopify/{type_name}/ and a number", gid)
    return number


def _status(status: object) -> ProductStatus:
    known = _STATUSES.get(status) if isinstance(status, str) else None
    if known is None:
        raise _UnreadableError("product_status", "is not a status we know", status)
    return known


def _price(money: object) -> Decimal | None:
    if money is None:
        return None
    if not isinstance(money, str) or not _MONEY.fullmatch(money):
        raise _UnreadableError("price", "is not an amount of money written as text", money)
    return Decimal(money)


def _time(field: str, time: object) -> datetime | None:
    if time is None:
        return None
    try:
        # Not left to pydantic, which would read numbers as seconds since 1970.
        parsed = datetime.fromisoformat(cast("str", time))
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise _UnreadableError(field, "is not a time with a time zone", time)


def _later(product: datetime | None, variant: datetime | None) -> datetime | None:
    if product is None or variant is None:
        return product or variant
    return max(product, variant)


def _image(image: Any) -> str | None:
    if image is None:
        return None
    url: object = cast("dict[str, Any]", image).get("url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        raise _UnreadableError("image_url", "the image has no URL", cast("object", image))
    return url


def _featured_image(media: object) -> str | None:
    inner: Any = media
    for name in ("preview", "image"):
        if inner is None:
            return None
        if not isinstance(inner, dict):
            raise _UnreadableError("image_url", "the featured media is not an object", media)
        inner = cast("dict[str, Any]", inner).get(name)
    return _image(inner)


def _object(parent: object, name: str) -> dict[str, Any]:
    value = cast("dict[str, Any]", parent).get(name) if isinstance(parent, dict) else None
    if not isinstance(value, dict):
        raise InvalidResponse(f"A page of Shopify's has no object {name!r} where it promises one.")
    return cast("dict[str, Any]", value)


def _nodes(connection: dict[str, Any]) -> list[Any]:
    nodes = connection.get("nodes")
    if not isinstance(nodes, list):
        raise InvalidResponse("A page of Shopify's has no list of nodes where it promises one.")
    return cast("list[Any]", nodes)
