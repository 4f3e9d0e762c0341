"""The GraphQL documents sent to Shopify, and what they ask of the shop's points.

Fields are those of version 2026-07. Prices by `requested_cost`, in points; one query may request
at most `MAX_QUERY_COST` (https://shopify.dev/docs/api/usage/limits), and the points it does not use
come back:

    SHOP                                                  11
    PRODUCTS, 250 products a page, variants nested by 250 310
    CHANGED_PRODUCTS, the same                            310
    VARIANTS, 2,048 a page                                 36
    NODES, 100 ids                                        100
    API_VERSIONS                                            1

- Variants are nested by 250, the most a nested connection gives: costs grow with the logarithm of
  the page size, so 100 would request 266, save 14 % of what is requested and nothing of what is
  used, and send another request for every product of 101 to 250 variants.
- The rest of a larger product comes by `product(id:)`, which alone gives 2,048 at once: for a
  product of 2,048 that is one more request of 36 points. By nested pages of 250 it would be eight,
  of 28 points each, 224 in all.
- A variant's picture is `image { url }`. It is deprecated in favour of `media(first: 1)`, which
  would raise PRODUCTS from 310 to 794 points by the formula (and past 1,000 as Shopify was seen to
  count), so each page would wait longer for points than it takes to read.
- The product's picture is `featuredMedia`, whose `preview` exists for videos and models too. It
  costs 3 points a product, `featuredImage`, deprecated, 1: without a video's picture 22 points a
  page would be saved, of 310.
- `sortKey: ID` pins the order in which cursors are keysets, so that edits behind the reader shift
  no page; a product's variants come by position otherwise, which the merchant can drag about.
- Changes are sorted by what they are filtered by, or the search may time out. The cursors are
  keysets on `updated_at` there: a product changed while it is read moves ahead of the reader and
  comes again, and none is lost.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Final, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    parse,
)

from connector_pipeline.platforms.shopify.bulk.queries import BULK_DOCUMENTS

MAX_QUERY_COST: Final = 1_000
VARIANTS_PER_PRODUCT: Final = 250
"""Variants of each product on a products page: the most a nested connection gives."""
VARIANTS_PER_PAGE: Final = 2_048
"""Variants of one product on a page of its own: as many as a product can have."""

_VARIANT: Final = """
fragment VariantFields on ProductVariant {
  id
  title
  sku
  price
  inventoryQuantity
  updatedAt
  image { url }
}
"""

_PRODUCT: Final = """
fragment ProductFields on Product {
  id
  title
  status
  createdAt
  updatedAt
  featuredMedia { preview { image { url } } }
}
"""

# `limit: null`, because the count stops at 10,000 otherwise.
SHOP: Final = """
query Shop {
  shop { id name myshopifyDomain currencyCode }
  productsCount(limit: null) { count precision }
}
"""

_PRODUCTS_PAGE: Final = f"""{{
    pageInfo {{ hasNextPage endCursor }}
    nodes {{
      ...ProductFields
      variants(first: $variants, sortKey: ID) {{
        pageInfo {{ hasNextPage endCursor }}
        nodes {{ ...VariantFields }}
      }}
    }}
  }}
}}
{_PRODUCT}{_VARIANT}"""

PRODUCTS: Final = f"""
query Products($first: Int!, $variants: Int!, $after: String) {{
  products(first: $first, after: $after, sortKey: ID) {_PRODUCTS_PAGE}"""

# `$changed` is a search: see `changed_since`.
CHANGED_PRODUCTS: Final = f"""
query ChangedProducts($changed: String!, $first: Int!, $variants: Int!, $after: String) {{
  products(first: $first, after: $after, sortKey: UPDATED_AT, query: $changed) {_PRODUCTS_PAGE}"""

# Selects the product again, so that the page can be normalized on its own.
VARIANTS: Final = f"""
query Variants($id: ID!, $variants: Int!, $after: String) {{
  product(id: $id) {{
    ...ProductFields
    variants(first: $variants, after: $after, sortKey: ID) {{
      pageInfo {{ hasNextPage endCursor }}
      nodes {{ ...VariantFields }}
    }}
  }}
}}
{_PRODUCT}{_VARIANT}"""

NODES: Final = """
query Nodes($ids: [ID!]!) {
  nodes(ids: $ids) { id }
}
"""

API_VERSIONS: Final = """
query ApiVersions {
  publicApiVersions { handle supported }
}
"""

DOCUMENTS: Final = {
    "SHOP": SHOP,
    "PRODUCTS": PRODUCTS,
    "CHANGED_PRODUCTS": CHANGED_PRODUCTS,
    "VARIANTS": VARIANTS,
    "NODES": NODES,
    "API_VERSIONS": API_VERSIONS,
    **BULK_DOCUMENTS,
}


def changed_since(since: datetime) -> str:
    """The search for products changed at or after a time: seconds are as fine as it goes."""
    return f"updated_at:>='{since.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}'"


_ROOT_COUNTS: Final = frozenset({"productsCount", "productVariantsCount"})
_ROOT_COUNT_COST: Final = 10
_MUTATION_COST: Final = 10
_FREE: Final = frozenset({"edges", "pageInfo"})


def requested_cost(document: str, variables: Mapping[str, object]) -> int:
    """The points a document requests before it runs, by Shopify's formula.

    A connection costs 2 + children x floor(2 ln(max(2, page size))), an object 1, a scalar nothing,
    a count at the root 10, a list of ids as many objects, a mutation 10. Without a schema an object
    is told by its selection, a connection by its `first` or `last`.
    """
    parsed = _parsed(document)
    fragments = {
        node.name.value: node.selection_set
        for node in parsed.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    return sum(
        _MUTATION_COST
        if node.operation is OperationType.MUTATION
        else _cost_of(node.selection_set, fragments, variables, root=True)
        for node in parsed.definitions
        if isinstance(node, OperationDefinitionNode)
    )


@cache
def _parsed(document: str) -> DocumentNode:
    return parse(document)


def _cost_of(
    selections: SelectionSetNode,
    fragments: Mapping[str, SelectionSetNode],
    variables: Mapping[str, object],
    *,
    root: bool = False,
) -> int:
    cost = 0
    for node in selections.selections:
        if isinstance(node, FragmentSpreadNode):
            cost += _cost_of(fragments[node.name.value], fragments, variables)
        elif isinstance(node, InlineFragmentNode):
            cost += _cost_of(node.selection_set, fragments, variables)
        elif isinstance(node, FieldNode) and node.selection_set is not None:
            if root and node.name.value in _ROOT_COUNTS:
                cost += _ROOT_COUNT_COST
                continue
            children = _cost_of(node.selection_set, fragments, variables)
            size = _page_size(node, variables)
            if size is not None:
                cost += 2 + children * _factor(size)
            elif node.name.value in _FREE:
                cost += children
            else:
                cost += (1 + children) * _ids(node, variables)
    return cost


def _factor(size: int) -> int:
    """What a page of `size` multiplies the cost of its children by."""
    return math.floor(2 * math.log(max(2, size)))


def largest_of_equal_cost(size: int) -> int:
    """The largest page size that costs no more than `size` does: 7 for 5, 20 for 15."""
    return max(size, math.floor(math.exp((_factor(size) + 1) / 2)))


def _ids(field: FieldNode, variables: Mapping[str, object]) -> int:
    """How many ids a field is asked for: 1 where it takes none."""
    for argument in field.arguments:
        if argument.name.value == "ids" and isinstance(argument.value, VariableNode):
            return len(cast("list[str]", variables[argument.value.name.value]))
    return 1


def _page_size(field: FieldNode, variables: Mapping[str, object]) -> int | None:
    for argument in field.arguments:
        if argument.name.value in ("first", "last"):
            return _int(argument.value, variables)
    return None


def _int(value: ValueNode, variables: Mapping[str, object]) -> int:
    if isinstance(value, VariableNode):
        given = variables[value.name.value]
        if not isinstance(given, int):
            raise TypeError(f"${value.name.value} is a page size and must be an integer")
        return given
    if isinstance(value, IntValueNode):
        return int(value.value)
    raise TypeError("a page size is an integer or a variable")
