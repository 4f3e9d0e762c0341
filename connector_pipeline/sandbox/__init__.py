"""Our own servers on loopback that take the place of the Token Service, Shopify and WooCommerce.

The sandbox imports nothing else of connector_pipeline, so that it cannot share a misunderstanding
with the connector. Only the command line and tests use it.
"""
