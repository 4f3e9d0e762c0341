"""The GraphQL documents that list, make and delete webhook subscriptions.

docs/facts/shopify.md, Webhooks. As in `queries`, with their cost in points: SUBSCRIPTIONS, 100 a
page, 11; SUBSCRIBE and UNSUBSCRIBE 10 each.
"""

from typing import Final

SUBSCRIPTIONS: Final = """
query Subscriptions($first: Int!, $after: String) {
  webhookSubscriptions(first: $first, after: $after, sortKey: ID) {
    pageInfo { hasNextPage endCursor }
    nodes { id topic uri }
  }
}
"""

SUBSCRIBE: Final = """
mutation Subscribe($topic: WebhookSubscriptionTopic!, $uri: String!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: { uri: $uri, format: JSON }) {
    webhookSubscription { id }
    userErrors { field message }
  }
}
"""

UNSUBSCRIBE: Final = """
mutation Unsubscribe($id: ID!) {
  webhookSubscriptionDelete(id: $id) {
    deletedWebhookSubscriptionId
    userErrors { field message }
  }
}
"""

WEBHOOK_DOCUMENTS: Final = {
    "SUBSCRIPTIONS": SUBSCRIPTIONS,
    "SUBSCRIBE": SUBSCRIBE,
    "UNSUBSCRIBE": UNSUBSCRIBE,
}
