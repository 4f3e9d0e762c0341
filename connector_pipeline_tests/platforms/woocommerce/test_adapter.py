"""Promises of the WooCommerce resource's own decisions."""

from connector_pipeline.model.shop import PlatformName
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter


def test_the_resource_is_a_platform() -> None:
    """It fulfils the contract, and names itself."""
    platform: Adapter = WooCommerceAdapter()
    assert platform.platform_name is PlatformName.WOOCOMMERCE
