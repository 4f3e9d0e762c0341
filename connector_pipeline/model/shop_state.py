"""The states of a shop, apart from `Shop`: the command line's help needs them, and no pydantic."""

from enum import StrEnum


class ShopState(StrEnum):
    """The states of a shop. Only active shops are swept; paused ones are no partitions."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISCONNECTED = "disconnected"
