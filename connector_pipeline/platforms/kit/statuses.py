"""Reads a product's status."""

from collections.abc import Mapping

from connector_pipeline.model.catalog_item import ProductStatus
from connector_pipeline.platforms.kit.remarks import Remarks


def product_status(
    value: object, known: Mapping[str, ProductStatus], remarks: Remarks, about: str
) -> ProductStatus:
    """Our status for the platform's word; UNKNOWN, with a remark, for any other value.

    Such a product is not rejected. A rejected variant keeps its last good row, which would go on
    offering for sale what the platform may have stopped selling.
    """
    found = known.get(value) if isinstance(value, str) else None
    if found is None:
        remarks.add(
            f"A product's status {value!r:.60} is none of {', '.join(known)}, so its items have "
            "product_status unknown and are not available",
            about,
        )
        return ProductStatus.UNKNOWN
    return found
