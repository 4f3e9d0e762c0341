"""The documents of bulk operations (https://shopify.dev/docs/api/usage/bulk-operations/queries).

Costs in points: RUN_BULK and CANCEL_BULK 10, as every mutation, POLL_BULK 1, LIST_BULK 9. The
catalog itself costs nothing.
"""

import hashlib
from typing import Final

# The fields of PRODUCTS in the form that a bulk operation takes: `edges { node }` only, no
# arguments (`first` is ignored), no fragments, the parent with its `id`. A test compares them.
CATALOG: Final = """
{
  products {
    edges {
      node {
        id
        title
        status
        publishedAt
        createdAt
        updatedAt
        featuredMedia { preview { image { url } } }
        variants {
          edges {
            node {
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
          }
        }
      }
    }
  }
}
"""

# Without grouping, which costs Shopify time: variants are joined in any order.
RUN_BULK: Final = """
mutation RunBulk($query: String!) {
  bulkOperationRunQuery(query: $query, groupObjects: false) {
    bulkOperation { id status }
    userErrors { code field message }
  }
}
"""

POLL_BULK: Final = """
query PollBulk($id: ID!) {
  bulkOperation(id: $id) {
    id
    status
    errorCode
    objectCount
    rootObjectCount
    url
    partialDataUrl
  }
}
"""

# Newest first. At most five run at once, so the running ones are among the newest.
LIST_BULK: Final = """
query ListBulk($first: Int!) {
  bulkOperations(first: $first, sortKey: CREATED_AT) {
    nodes { id status query }
  }
}
"""

CANCEL_BULK: Final = """
mutation CancelBulk($id: ID!) {
  bulkOperationCancel(id: $id) {
    bulkOperation { id status }
    userErrors { field message }
  }
}
"""

BULK_DOCUMENTS: Final = {
    "CATALOG": CATALOG,
    "RUN_BULK": RUN_BULK,
    "POLL_BULK": POLL_BULK,
    "LIST_BULK": LIST_BULK,
    "CANCEL_BULK": CANCEL_BULK,
}


def query_digest(query: str) -> str:
    """The SHA-256 of a query, which does not depend on its white space."""
    return hashlib.sha256(" ".join(query.split()).encode()).hexdigest()
