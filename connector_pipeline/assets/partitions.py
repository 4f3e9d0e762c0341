"""One dynamic partition per shop that is active or disconnected."""

from typing import Final

from dagster import DynamicPartitionsDefinition

shops: Final = DynamicPartitionsDefinition(name="shops")
"""Keys are `{platform_name}/{domain}`. The sensor `shop_partitions` makes them those of the
registry's shops, paused ones left out."""
