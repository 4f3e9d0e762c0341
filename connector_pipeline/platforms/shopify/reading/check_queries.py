"""The documents that check what was read, and that name what was changed or deleted.

Costs in points: COUNT_VARIANTS 10, PRODUCT_COUNTS 24, DELETIONS 13 and CHANGES 26, by pages of 250.
"""

from datetime import UTC, datetime
from typing import Final

CHECKED_AT_ONCE: Final = 250
"""Products or events on a page of these documents: the most that Shopify gives."""

# By itself and not part of SHOP, because a shop that refuses it must still be read.
COUNT_VARIANTS: Final = """
query CountVariants {
  productVariantsCount(limit: null) { count precision }
}
"""

PRODUCT_COUNTS: Final = """
query ProductCounts($first: Int!, $after: String, $reverse: Boolean!) {
  products(first: $first, after: $after, sortKey: ID, reverse: $reverse) {
    pageInfo { hasNextPage endCursor }
    nodes { id createdAt @include(if: $reverse) variantsCount { count } }
  }
}
"""

# `$deleted` is a search: see `deleted_since`. The sort key is the field that it filters by.
DELETIONS: Final = """
query Deletions($deleted: String!, $first: Int!, $after: String) {
  events(first: $first, after: $after, sortKey: CREATED_AT, query: $deleted) {
    pageInfo { hasNextPage endCursor }
    nodes { id createdAt ... on BasicEvent { action subjectId subjectType } }
  }
}
"""

# The newest first. `$changed` and `$deleted` are searches.
CHANGES: Final = """
query Changes($changed: String!, $deleted: String!, $first: Int!, $events: Boolean!) {
  products(first: $first, sortKey: UPDATED_AT, reverse: true, query: $changed) {
    pageInfo { hasNextPage }
    nodes { id updatedAt }
  }
  events(first: $first, sortKey: CREATED_AT, reverse: true, query: $deleted)
    @include(if: $events) {
    pageInfo { hasNextPage }
    nodes { id createdAt ... on BasicEvent { action subjectId subjectType } }
  }
}
"""

CHECK_DOCUMENTS: Final = {
    "COUNT_VARIANTS": COUNT_VARIANTS,
    "PRODUCT_COUNTS": PRODUCT_COUNTS,
    "DELETIONS": DELETIONS,
    "CHANGES": CHANGES,
}


def deleted_since(since: datetime) -> str:
    """The search for events of products deleted at or after a time, to the second."""
    text = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"action:destroy AND subject_type:PRODUCT AND created_at:>='{text}'"
