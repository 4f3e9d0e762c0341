"""The documents of bulk operations (https://shopify.dev/docs/api/usage/bulk-operations/queries).

Prices, in points: RUN_BULK and CANCEL_BULK 10 as every mutation, POLL_BULK 1, LIST_BULK 9. The
catalog itself costs nothing and is not paced.
"""

import hashlib
from typing import Final

# What PRODUCTS asks for, in the form a bulk operation takes: `edges { node }` only, no arguments
# (`first` is ignored), no fragments, the parent with its `id`. Tested to be the same fields.
CATALOG: Final = """
{
  products {
    edges {
      node {
        id
        title
        status
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

# Not grouped: grouping costs Shopify time, and children are joined in any order anyway.
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

# Newest first. Five run at once, so those that run are among the newest few.
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
    """The same for the same query, however its white space is laid out."""
    return hashlib.sha256(" ".join(query.split()).encode()).hexdigest()
