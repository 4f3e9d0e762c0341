"""Promises of the troubles that a shop can be given: they look as Shopify's own."""
