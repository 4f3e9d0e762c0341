"""Our own servers on loopback that stand in for the Token Service, Shopify and WooCommerce.

A world of its own: it imports nothing else of connector_pipeline, so a misunderstanding in the
connector cannot hide in it. Used by the command line and by tests only.
"""
