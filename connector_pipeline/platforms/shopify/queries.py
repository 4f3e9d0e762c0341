"""The GraphQL documents that are sent to Shopify, with their cost in points.

Fields are those of version 2026-07. Costs are those of `cost.requested_cost`, in points. One query
may request at most 1,000 (https://shopify.dev/docs/api/usage/limits), and the points that it does
not use come back:

    SHOP                                                  11
    PRODUCTS, 250 products a page, variants nested by 250 431
    CHANGED_PRODUCTS, the same                            431
    VARIANTS, 2,048 a page                                 51
    UNREAD_PRODUCT, UNREAD_CHANGED_PRODUCT                  3
    UNREAD_VARIANT                                          4
    NODES, 100 ids                                        100
    PRODUCTS_BY_ID, 25 ids, variants nested by 250        976
    PRODUCTS_BY_ID, 55 ids, variants nested by 12         991
    OWNERS, 100 inventory items                           500
    API_VERSIONS                                            1

The documents that check a reading and name deletions are in `reading/check_queries.py`, those of
webhooks in `webhook_queries.py`.

- Variants are nested by 250, the most that a nested connection gives. Costs grow with the logarithm
  of the page size: by 148, a page would request 365 points. That saves 15 % of the requested
  points and none of the used ones, and adds a request for each product of 149 to 250 variants. So
  it is done only where the shop's bucket never holds 431 points.
- `inventoryItem { tracked }` costs a point a variant: a page of 250 products with one variant uses
  101 points instead of 90, one with ten variants 200 instead of 156. Asked for afterwards, by
  `productVariants`, it would take 24 points for 250 variants (bench/shopify_stock.py).
- The rest of a larger product comes by `product(id:)`, which alone gives 2,048 at once. A product
  of 2,048 variants takes one more request of 51 points. Nested pages of 250 would take eight
  requests of 39 points, 312 in all.
- A variant's picture is `image { url }`. It is deprecated in favour of `media(first: 1)`, which
  would raise PRODUCTS from 431 to 915 points by the formula, and past 1,000 as Shopify was seen to
  count. Each page would wait longer for points than it takes to read.
- The product's picture is `featuredMedia`, whose `preview` exists for videos and models too. It
  costs 3 points a product. The deprecated `featuredImage` costs 1 and has no picture of a video; it
  would save 22 of the 431 points of a page.
- `sortKey: ID` pins the order by id, in which cursors are keysets: edits behind the reader shift no
  page. Without it a product's variants come by position, which the merchant can change.
- Changes are sorted by the field that they are filtered by, or the search may time out. Cursors are
  keysets on `updated_at` there: a product that changes during the reading moves ahead of the reader
  and comes again, and none is lost.
"""

from datetime import UTC, datetime
from typing import Final

from connector_pipeline.platforms.shopify.bulk.queries import BULK_DOCUMENTS
from connector_pipeline.platforms.shopify.reading.check_queries import CHECK_DOCUMENTS
from connector_pipeline.platforms.shopify.webhook_queries import WEBHOOK_DOCUMENTS

VARIANTS_PER_PRODUCT: Final = 250
"""Variants of each product on a products page: the most that a nested connection gives."""
VARIANTS_IN_A_SMALL_BUCKET: Final = 148
"""The same where the shop's bucket holds fewer points: the largest of its price.

Few products have more, and the page keeps its number of products.
"""
VARIANTS_PER_PAGE: Final = 2_048
"""Variants of one product on a page of its own: as many as a product can have."""

_VARIANT: Final = """
fragment VariantFields on ProductVariant {
  id
  title
  sku
  price
  inventoryQuantity
  inventoryItem { tracked }
  availableForSale
  updatedAt
  image { url }
}
"""

_PRODUCT: Final = """
fragment ProductFields on Product {
  id
  title
  status
  publishedAt
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

_NEXT_PRODUCT: Final = """{
    pageInfo { hasNextPage endCursor }
    nodes { id }
  }
}
"""

# Of an object of which Shopify cannot read a field: its id, and the cursor that leads past it.
UNREAD_PRODUCT: Final = f"""
query UnreadProduct($after: String) {{
  products(first: 1, after: $after, sortKey: ID) {_NEXT_PRODUCT}"""

UNREAD_CHANGED_PRODUCT: Final = f"""
query UnreadChangedProduct($changed: String!, $after: String) {{
  products(first: 1, after: $after, sortKey: UPDATED_AT, query: $changed) {_NEXT_PRODUCT}"""

UNREAD_VARIANT: Final = """
query UnreadVariant($id: ID!, $after: String) {
  product(id: $id) {
    id
    variants(first: 1, after: $after, sortKey: ID) {
      pageInfo { hasNextPage endCursor }
      nodes { id }
    }
  }
}
"""

NODES: Final = """
query Nodes($ids: [ID!]!) {
  nodes(ids: $ids) { id }
}
"""

# The products that hints name. `nodes` is no search, so no index lags behind it. It has no page of
# products: each id costs as much as a product with a full page of variants. With the shop in it, a
# hinted sync of a few products is one request.
PRODUCTS_BY_ID: Final = f"""
query ProductsById($ids: [ID!]!, $variants: Int!) {{
  shop {{ id name myshopifyDomain currencyCode }}
  nodes(ids: $ids) {{
    ... on Product {{
      ...ProductFields
      variants(first: $variants, sortKey: ID) {{
        pageInfo {{ hasNextPage endCursor }}
        nodes {{ ...VariantFields }}
      }}
    }}
  }}
}}
{_PRODUCT}{_VARIANT}"""

# Two variants cost as much as one, and `variant` is deprecated.
OWNERS: Final = """
query Owners($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on InventoryItem {
      id
      variants(first: 2) { nodes { product { id } } }
    }
  }
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
    "UNREAD_PRODUCT": UNREAD_PRODUCT,
    "UNREAD_CHANGED_PRODUCT": UNREAD_CHANGED_PRODUCT,
    "UNREAD_VARIANT": UNREAD_VARIANT,
    "NODES": NODES,
    "PRODUCTS_BY_ID": PRODUCTS_BY_ID,
    "OWNERS": OWNERS,
    "API_VERSIONS": API_VERSIONS,
    **BULK_DOCUMENTS,
    **CHECK_DOCUMENTS,
    **WEBHOOK_DOCUMENTS,
}


def changed_since(since: datetime) -> str:
    """The search for products that changed at or after a time, to the second."""
    return f"updated_at:>='{since.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}'"
