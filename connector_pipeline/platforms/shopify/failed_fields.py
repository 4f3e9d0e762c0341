"""Finds the fields that Shopify could not read in an answer that has data beside errors.

An error of a nullable field leaves the field null, and the rest of the data is good. An error of a
field that cannot be null makes its parent null, up to the first that can be: for a product's title
that is the whole `data` (https://spec.graphql.org/October2021/#sec-Handling-Field-Errors). Its
`path` leads to the field either way.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.kit.json_values import is_list, is_object, objects_in, value_at

UNREAD: Final = "unread"
"""The page fact of a page that has ids only: the reason why Shopify could not read the rest."""

_SHOWN: Final = 100
"""Bytes."""
_FEW: Final = 10
"""If more products fail, and more than half of a page, the page failed and not the products."""


@dataclass(frozen=True, slots=True)
class FailedField:
    """A field of one product that Shopify could not read.

    `product` is the product's position on a page of products, and None on a page of one product's
    variants. `variant` is the variant's position among those of the product, and None where the
    field is the product's own. `reason` names the field and has Shopify's message.
    """

    product: int | None
    variant: int | None
    reason: str


def failed_fields(body: object) -> tuple[FailedField, ...]:
    """The failed fields of an answer, if each of its errors is about a field of one product.

    Empty where an error concerns the whole answer, or so much of it that the rest is worth little.
    """
    if not is_object(body) or "data" not in body:
        return ()
    errors = body.get("errors")
    if not is_list(errors) or not errors:
        return ()
    found = [_failed_field(error) for error in objects_in(errors)]
    failed = tuple(each for each in found if each is not None)
    if len(failed) < len(errors):
        return ()
    products = len({each.product for each in failed})
    asked_by_id = value_at(body, "data", "nodes")
    nodes = asked_by_id or value_at(body, "data", "products", "nodes")
    most = len(nodes) / 2 if is_list(nodes) else 0
    if products > max(_FEW, most):
        return ()
    if is_list(asked_by_id):
        # The product itself is null where a field of its variants cannot be.
        return tuple(_of_product(each, asked_by_id) for each in failed)
    return failed


def _of_product(failed: FailedField, nodes: list[Any]) -> FailedField:
    at = failed.product
    there = at is not None and at < len(nodes) and nodes[at] is not None
    return failed if there else replace(failed, variant=None)


def _failed_field(error: dict[str, Any]) -> FailedField | None:
    path: list[Any] = error["path"] if is_list(error.get("path")) else []
    product: int | None = None
    if path[:2] == ["products", "nodes"] and len(path) > 2:
        path = path[1:]
    if path[:1] == ["nodes"] and len(path) > 1:
        product = _position(path[1])
        below = path[2:]
        if product is None:
            return None
    elif path[:1] == ["product"]:
        below = path[1:]
    else:
        return None
    variant: int | None = None
    if below[:2] == ["variants", "nodes"] and len(below) > 2:
        variant = _position(below[2])
        if variant is None:
            return None
        below = below[3:]
    if product is None and variant is None and (not below or below[0] == "variants"):
        # Without its connection the page of one product's variants has nothing to go on from.
        return None
    named = [each for each in below if isinstance(each, str)]
    field = ".".join(named) or ("product" if variant is None else "variant")
    return FailedField(
        product, variant, f"{_short(field)}: Shopify could not read it ({_message(error)})"
    )


def _position(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def _message(error: dict[str, Any]) -> str:
    message = error.get("message")
    return _short(message) if isinstance(message, str) and message.strip() else "without saying why"


def _short(text: str) -> str:
    return clipped(" ".join(text.split()), most_bytes=_SHOWN)
