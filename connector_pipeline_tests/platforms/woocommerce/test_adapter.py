"""Promises of the WooCommerce resource's own decisions."""

from connector_pipeline.model.shop import PlatformName
from connector_pipeline.platforms.kit.contract import Platform
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceApi


def test_the_resource_is_a_platform() -> None:
    """It fulfils the contract, and names itself."""
    platform: Platform = WooCommerceApi()
    assert platform.platform_name is PlatformName.WOOCOMMERCE
