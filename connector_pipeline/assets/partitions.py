"""One dynamic partition per active shop."""

from typing import Final

from dagster import DynamicPartitionsDefinition

shops: Final = DynamicPartitionsDefinition(name="shops")
"""Keys are `{platform_name}/{domain}`. The sensor `shop_partitions` makes them those of the
registry's active shops."""
