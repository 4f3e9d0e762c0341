"""The sync types, apart from `Sync`: the command line's help needs them, and no pydantic."""

from enum import Enum, StrEnum


class SyncType(StrEnum):
    """In a `full` sync an absent variant was deleted; in an `incremental` one it means nothing.

    A `hinted` sync asks by id for the products that hints named. It says nothing of others.
    """

    FULL = "full"
    INCREMENTAL = "incremental"
    HINTED = "hinted"


class RequestedSyncType(Enum):
    """The sync type that a requester asks for; `auto` lets the connector choose.

    Names and values are the same on purpose: Dagster's run config takes names, the command line
    and sync requests take values.
    """

    auto = "auto"
    full = "full"
    incremental = "incremental"
