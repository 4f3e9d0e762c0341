"""Reads a shop whose token may not read `inventoryItem`, without asking for it.

A token that may read products may read it (docs/facts/shopify.md, Products and variants). A shop
that denies it all the same must not be lost for it: its stock is then as Shopify states it, tracked
or not.
"""

from typing import Final

from connector_pipeline.platforms.kit.json_values import is_list, objects_in, value_at

WARNING: Final = (
    "Shopify denies access to inventoryItem, so stock that is not tracked may have a quantity "
    "instead of null: give the app the scope read_inventory."
)

_FIELD: Final = "inventoryItem"
_SELECTION: Final = "  inventoryItem { tracked }\n"


def denied(body: object) -> bool:
    """Whether an answer denies access to this field and to nothing else."""
    refusals = [
        error
        for error in objects_in(value_at(body, "errors"))
        if value_at(error, "extensions", "code") == "ACCESS_DENIED"
    ]
    return bool(refusals) and all(
        (is_list(error.get("path")) and _FIELD in error["path"])
        or f"{_FIELD} field" in str(error.get("message"))
        for error in refusals
    )


def without(document: str) -> str:
    """The document without the field."""
    return document.replace(_SELECTION, "")
