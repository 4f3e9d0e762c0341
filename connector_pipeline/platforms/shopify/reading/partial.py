"""Reads around the fields of single products that Shopify could not read.

The walk needs of each product its id and the cursors. A product that came without them is a gap:
the page is asked for again up to the gap, and then the object in the gap alone, by its id only.
"""

from collections.abc import Iterator
from typing import Any, Final

from connector_pipeline.platforms.kit.json_values import is_list, is_object, value_at
from connector_pipeline.platforms.shopify.failed_fields import FailedField
from connector_pipeline.platforms.shopify.gid import numeric_id

_NO_MORE: Final = {"hasNextPage": False, "endCursor": None}


def gap_in(kind: str, data: object, failed: tuple[FailedField, ...]) -> int | None:
    """The position of the first object that came without what the walk needs; None if all have it.

    On a page of one product's variants the objects are its variants.
    """
    if kind == "products":
        nodes = value_at(data, "products", "nodes")
        gaps = (each.product for each in failed if not _has_id(nodes, each.product))
    else:
        gaps = (
            each.variant
            for each in failed
            if each.variant is not None and value_at(data, "product") is None
        )
    return min((each for each in gaps if each is not None), default=None)


def with_ends(
    kind: str, data: Any, failed: tuple[FailedField, ...], product_id: str | None
) -> dict[str, Any]:
    """The data with an end for each failed product that came without its variants.

    Those variants cannot be read, and the walk goes on with the next product. `product_id` is the
    product whose variants were asked for.
    """
    if kind == "variants":
        product = value_at(data, "product")
        if product is None:
            product = {"id": f"gid://shopify/Product/{product_id}"}
        return {"product": _ended(product)}
    products = data["products"]
    places = {each.product for each in failed}
    nodes = [
        _ended(node) if place in places else node for place, node in enumerate(products["nodes"])
    ]
    return {**data, "products": {**products, "nodes": nodes}}


def failures(
    kind: str, data: object, failed: tuple[FailedField, ...], product_id: str | None
) -> Iterator[tuple[str | None, str]]:
    """The id of each product with a failed field, and the reason."""
    for each in failed:
        if kind == "variants":
            yield product_id, each.reason
        else:
            node = _at(value_at(data, "products", "nodes"), each.product)
            yield numeric_id(value_at(node, "id"), "Product"), each.reason


def _ended(product: Any) -> Any:
    if not is_object(product):
        return product
    variants = product.get("variants")
    if is_list(value_at(variants, "nodes")) and is_object(value_at(variants, "pageInfo")):
        return product
    return {**product, "variants": {"pageInfo": _NO_MORE, "nodes": []}}


def _has_id(nodes: object, position: int | None) -> bool:
    return numeric_id(value_at(_at(nodes, position), "id"), "Product") is not None


def _at(nodes: object, position: int | None) -> object:
    if not is_list(nodes) or position is None or position >= len(nodes):
        return None
    return nodes[position]
