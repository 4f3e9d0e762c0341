"""What gives access to a Shopify shop: its token, as the Token Service has it."""

from connector_pipeline.platforms.kit.contract import Credentials
from connector_pipeline.platforms.kit.header_secret import HeaderSecret


class ShopifyCredentials(Credentials):
    """What the Token Service knows of a Shopify shop."""

    access_token: HeaderSecret
