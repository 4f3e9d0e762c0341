"""Keeps which variations the products of a reading list, to compare them with those that came."""

from array import array
from collections.abc import Mapping
from typing import Any, Final

from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.kit.rejects import FieldError
from connector_pipeline.platforms.woocommerce.mapping.forms import variation_ids
from connector_pipeline.platforms.woocommerce.mapping.normalize import has_variations, object_id

_MOST_CHILDREN: Final = 4_000_000
"""Thirty-two megabytes. The variations of further products are not compared."""

_TOO_LARGE: Final = 2**64


class Families:
    """The products with variations, and the ids that each of them lists in `variations`."""

    def __init__(self) -> None:
        self._known = CompactIds()
        self._parents = array("Q")
        # The children of a parent are those from the end of the parent before it to its own.
        self._ends = array("Q")
        self._children = array("Q")

    def __bool__(self) -> bool:
        return bool(len(self._known))

    def __contains__(self, product_id: int) -> bool:
        return product_id in self._known

    @property
    def parents(self) -> list[int]:
        """The ids of the products with variations, ascending."""
        return list(self._known)

    @property
    def children(self) -> int:
        """How many variations the products list."""
        return len(self._children)

    def add(self, product: Mapping[str, Any]) -> None:
        """Keep the product, if it has variations."""
        product_id = object_id(product)
        if product_id is None or not has_variations(product):
            return
        self._known.add(product_id)
        listed = [each for each in children_of(product) if each < _TOO_LARGE]
        if len(self._children) + len(listed) > _MOST_CHILDREN:
            return
        self._parents.append(product_id)
        self._children.extend(listed)
        self._ends.append(len(self._children))

    def unread(self, read: CompactIds) -> dict[int, list[int]]:
        """The listed variations that are not among `read`, by the product that lists them."""
        found: dict[int, list[int]] = {}
        start = 0
        for parent_id, end in zip(self._parents, self._ends, strict=True):
            lacking = [child for child in self._children[start:end] if child not in read]
            if lacking:
                found[parent_id] = lacking
            start = end
        return found


def children_of(product: Mapping[str, Any]) -> tuple[int, ...]:
    """The ids in a product's `variations`; none where the list cannot be understood."""
    try:
        return variation_ids(product.get("variations"))
    except FieldError:
        # The mapping rejects the product.
        return ()
