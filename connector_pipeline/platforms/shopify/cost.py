"""The points that each document requests, by the page sizes that it is sent with.

Shopify's formula (docs/facts/shopify.md, Query cost): an object costs 1, a connection 2 and its
children times `_factor` of its page size, a scalar, `edges` and `pageInfo` nothing, a count at the
root 10, a list of ids as many objects, a mutation 10. This module has the formula of each document,
so that no GraphQL is parsed while a shop is read. A test parses the documents and compares.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, cast

from connector_pipeline.platforms.shopify.bulk.queries import (
    CANCEL_BULK,
    LIST_BULK,
    POLL_BULK,
    RUN_BULK,
)
from connector_pipeline.platforms.shopify.queries import (
    API_VERSIONS,
    CHANGED_PRODUCTS,
    NODES,
    OWNERS,
    PRODUCTS,
    PRODUCTS_BY_ID,
    SHOP,
    UNREAD_CHANGED_PRODUCT,
    UNREAD_PRODUCT,
    UNREAD_VARIANT,
    VARIANTS,
)
from connector_pipeline.platforms.shopify.reading.check_queries import (
    CHANGES,
    COUNT_VARIANTS,
    DELETIONS,
    PRODUCT_COUNTS,
)
from connector_pipeline.platforms.shopify.webhook_queries import (
    SUBSCRIBE,
    SUBSCRIPTIONS,
    UNSUBSCRIBE,
)

MAX_QUERY_COST: Final = 1_000

Variables = Mapping[str, object]


def requested_cost(document: str, variables: Variables) -> int:
    """The points a document requests before it runs.

    Raises KeyError for a text that is none of the documents, and TypeError for a page size that is
    no integer.
    """
    return _COSTS[document](variables)


def largest_of_equal_cost(size: int) -> int:
    """The largest page size that costs no more than `size` does: 7 for 5, 20 for 15."""
    return max(size, math.floor(math.exp((_factor(size) + 1) / 2)))


def _always(points: int) -> Callable[[Variables], int]:
    return lambda _: points


def _products(variables: Variables) -> int:
    return 2 + _product(variables) * _factor(_size(variables, "first"))


def _product(variables: Variables) -> int:
    product_and_picture = 1 + 3
    variant_picture_and_stock = 1 + 1 + 1
    variants = 2 + variant_picture_and_stock * _factor(_size(variables, "variants"))
    return product_and_picture + variants


def _nodes(variables: Variables) -> int:
    return len(cast("list[str]", variables["ids"]))


def _products_by_id(variables: Variables) -> int:
    the_shop = 1
    return the_shop + _nodes(variables) * _product(variables)


def _owners(variables: Variables) -> int:
    item_and_its_variants = 1 + 2 + 1 + 1
    return _nodes(variables) * item_and_its_variants


def _bulk_operations(variables: Variables) -> int:
    return 2 + _factor(_size(variables, "first"))


def _product_counts(variables: Variables) -> int:
    product_and_count = 1 + 1
    return 2 + product_and_count * _factor(_size(variables, "first"))


_COSTS: Final[Mapping[str, Callable[[Variables], int]]] = {
    # The shop, and the root's count of products.
    SHOP: _always(1 + 10),
    PRODUCTS: _products,
    CHANGED_PRODUCTS: _products,
    VARIANTS: _product,
    UNREAD_PRODUCT: _always(2 + 1),
    UNREAD_CHANGED_PRODUCT: _always(2 + 1),
    UNREAD_VARIANT: _always(1 + 2 + 1),
    NODES: _nodes,
    PRODUCTS_BY_ID: _products_by_id,
    OWNERS: _owners,
    API_VERSIONS: _always(1),
    RUN_BULK: _always(10),
    CANCEL_BULK: _always(10),
    POLL_BULK: _always(1),
    LIST_BULK: _bulk_operations,
    COUNT_VARIANTS: _always(10),
    PRODUCT_COUNTS: _product_counts,
    # Events and bulk operations are both objects without objects in them.
    DELETIONS: _bulk_operations,
    # Products and events. A list that is left out is priced all the same.
    CHANGES: lambda variables: 2 * _bulk_operations(variables),
    # And so are webhooks.
    SUBSCRIPTIONS: _bulk_operations,
    SUBSCRIBE: _always(10),
    UNSUBSCRIBE: _always(10),
}


def _factor(size: int) -> int:
    """The number by which a page of `size` multiplies the cost of its children."""
    return math.floor(2 * math.log(max(2, size)))


def _size(variables: Variables, name: str) -> int:
    size = variables[name]
    if not isinstance(size, int):
        raise TypeError(f"${name} is a page size and must be an integer")
    return size
