"""One dynamic partition per active shop."""

from typing import Final

from dagster import DynamicPartitionsDefinition

shops: Final = DynamicPartitionsDefinition(name="shops")
"""Keys are `{platform_name}/{domain}`; the sensor `shop_partitions` keeps them the registry's."""
