"""The credentials of a Shopify shop: an access token."""

from connector_pipeline.platforms.kit.contract import Credentials
from connector_pipeline.platforms.kit.header_secret import HeaderSecret


class ShopifyCredentials(Credentials):
    """The credentials that the Token Service gives for a Shopify shop."""

    access_token: HeaderSecret
