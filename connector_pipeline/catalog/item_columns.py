"""The columns of an item as a publish's statements name them, and when two rows differ."""

from collections.abc import Iterable
from typing import Final, LiteralString, cast

from connector_pipeline.model.catalog_item import ITEM_COLUMNS

KEY: Final = ("platform_name", "domain", "variant_id")
CONTENT: Final = [column for column in ITEM_COLUMNS if column not in KEY]


def listed(columns: Iterable[str], prefix: str = "") -> LiteralString:
    """The names as SQL, each with the prefix before it."""
    # The names are the model's own fields, so the statements below are as fixed as literals.
    return cast("LiteralString", ", ".join(prefix + column for column in columns))


OF_THE_SHOP: Final = "item.platform_name = %(platform_name)s AND item.domain = %(domain)s"
DIFFERS: Final = f"({listed(CONTENT, 'item.')}) IS DISTINCT FROM ({listed(CONTENT, 'staged.')})"
