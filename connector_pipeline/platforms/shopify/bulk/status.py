"""The status of a bulk operation, as Shopify states it."""

from enum import StrEnum
from typing import Final

from connector_pipeline.platforms.kit.json_values import value_at


class BulkStatus(StrEnum):
    """The status of an operation (Shopify's BulkOperationStatus)."""

    CREATED = "CREATED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, node: object) -> "BulkStatus":
        """The status that Shopify states; UNKNOWN for a word that Shopify did not have before."""
        status = value_at(node, "status")
        return cls(status) if isinstance(status, str) and status in _STATUSES else cls.UNKNOWN

    @property
    def under_way(self) -> bool:
        """Whether the operation may still have a result."""
        return self in (BulkStatus.CREATED, BulkStatus.RUNNING, BulkStatus.UNKNOWN)

    @property
    def counts_as_running(self) -> bool:
        """Whether Shopify counts it among the five operations that a shop runs at once."""
        return self.under_way or self is BulkStatus.CANCELING


_STATUSES: Final = frozenset(BulkStatus) - {BulkStatus.UNKNOWN}
