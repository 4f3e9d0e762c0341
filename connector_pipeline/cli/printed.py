"""The objects that commands print with `--json`, one a line, and the JSON Schema of each.

The tests of the command line hold every object that a command prints against its schema.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from connector_pipeline.catalog.read import COLUMNS
from connector_pipeline.cli.dev_session import DevSession
from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.sync import SyncStatus
from connector_pipeline.state.shop_health import ShopHealth

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Ended = Literal[SyncStatus.SUCCEEDED, SyncStatus.FAILED]
Shop = Annotated[str, Field(description="The partition key: PLATFORM/DOMAIN.")]
ErrorCode = Annotated[
    str | None, Field(description="The error's name (docs/operating.md, When a shop fails).")
]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")


class SyncEnded(_Row):
    """A sync by this command."""

    shop: Shop
    run_id: str
    sync_id: str
    status: Ended
    error_code: ErrorCode
    error: Annotated[str | None, Field(description="For people: the error with its remedy.")]
    warnings: list[str]
    live_items: Annotated[Count, Field(description="Live items that the shop has after it.")]
    items_read: Annotated[Count, Field(description="Items that this sync read.")]
    inserted: Count
    updated: Count
    revived: Annotated[Count, Field(description="Tombstones whose variant returned.")]
    unchanged: Count
    deleted: Count
    rejected: Count
    pages: Count
    requests: Count
    read_seconds: Seconds
    publish_seconds: Seconds
    freshness_seconds: Seconds | None
    freshness_worst_seconds: Seconds | None


class SyncRequested(_Row):
    """A sync that was left to the daemon (`sync --request`)."""

    shop: Shop
    sync_id: str
    requested: Literal[True]


class DemoEnded(_Row):
    """A sync of a sandbox shop."""

    shop: Shop
    run_id: str
    status: Ended
    error_code: ErrorCode
    error: str | None
    live_items: Count
    inserted: Count
    updated: Count
    revived: Count
    unchanged: Count
    deleted: Count
    rejected: Count
    pages: Count
    requests: Count
    seconds: Seconds


class BackfillEnded(_Row):
    """A shop of the backfill."""

    backfill_id: str
    shop: Shop
    status: Ended
    error_code: ErrorCode


class Seen(_Row):
    """One line of the report."""

    subject: str
    ok: bool
    seen: str
    remedy: str


class Changed(_Row):
    """A shop of the registry that the command was about, and what became of it."""

    shop: Shop
    outcome: Literal["added", "updated", "unchanged", "active", "paused", "disconnected", "removed"]


class Imported(_Row):
    """How many shops of the file were registered."""

    added: Count
    updated: Count
    unchanged: Count


class ListedShop(RegisteredShop):
    """A registered shop. Times are UTC."""

    model_config = ConfigDict(extra="ignore")

    shop: Shop
    failing_since: datetime | None


class Finding(_Row):
    """What a check of `catalog_items` or `raw_products` finds in a shop, and what to do."""

    check: str
    found: str
    remedy: str


class ShownShop(ListedShop):
    """A registered shop, when its next sync is tried, and the checks that it fails."""

    next_try: Any
    findings: list[Finding]


class Rejected(_Row):
    """A rejected variant; `raw` is the platform's JSON as text."""

    rejected_at: datetime
    product_id: str
    variant_id: str | None
    reason: str
    raw: Any
    sync_id: str


class Migrated(_Row):
    """The revisions before and after."""

    before: str | None
    revision: str | None
    granted: bool


class MigrateChecked(_Row):
    """`migrate --check`: whether this version works with the database."""

    revision: str | None
    needed: str
    works: bool


class Sql(_Row):
    """`migrate --sql` and `migrate --roles`."""

    sql: str


class Downgraded(_Row):
    """`migrate --to`: what each undone revision lost."""

    before: str | None
    revision: str | None
    lost: dict[str, str]


class Written(_Row):
    """The folder and the files in it."""

    folder: str
    files: list[str]


class Queue(_Row):
    """The state of the queue now."""

    queue: Literal["started", "stopped"]
    runs_under_way: Count


class Subscribed(_Row):
    """The webhooks of a shop."""

    shop: Shop
    subscribed: bool | None
    topics: list[str]
    missing: list[str]
    changed: Count
    trouble: str | None
    error: str | None


class Environment(_Row):
    """The variables under which a pipeline uses this sandbox."""

    model_config = ConfigDict(extra="allow")


class Erased(_Row):
    """A shop, and how much was deleted of it, by kind."""

    shop: Shop
    counts: dict[str, Count]


class Exported(_Row):
    """A shop, the place of its files, and how many rows or pages each has."""

    shop: Shop
    to: str
    counts: dict[str, Count]


def _catalog_row() -> type[BaseModel]:
    """The columns of `catalog.catalog_items` as JSON: money is text."""
    fields: dict[str, Any] = {
        name: (
            Annotated[str | None, Field(description="In units of the currency, as text.")]
            if field.annotation == (Decimal | None)
            else field.annotation,
            ...,
        )
        for name, field in CatalogItem.model_fields.items()
        if name in COLUMNS
    }
    fields |= dict.fromkeys(("first_synced_at", "changed_at"), (datetime, ...))
    fields |= {"deleted_at": (datetime | None, ...), "sync_id": (str, ...)}
    return create_model("CatalogRow", __doc__="A catalog item.", **fields)


def _health() -> type[BaseModel]:
    """The fields of `ShopHealth`, with the remedy of each cause and the next sweep."""
    fields: dict[str, Any] = {
        name: (kind, ...) for name, kind in get_type_hints(ShopHealth).items() if name != "causes"
    }
    fields |= {"causes": (list[dict[str, Any]], ...), "sync_cron": (str, ...)}
    fields |= {"next_sweep": (datetime, ...)}
    return create_model("Health", __doc__="All shops at a glance.", **fields)


MODELS: Final[dict[str, Callable[[], tuple[type[BaseModel], ...]]]] = {
    "dev": lambda: (DevSession,),
    "init": lambda: (Written,),
    "demo": lambda: (DemoEnded,),
    "sandbox": lambda: (Environment,),
    "doctor": lambda: (Seen,),
    "migrate": lambda: (Migrated, MigrateChecked, Sql, Downgraded),
    "sync": lambda: (SyncEnded, SyncRequested),
    "backfill": lambda: (BackfillEnded,),
    "shops add": lambda: (Changed,),
    "shops import": lambda: (Imported,),
    "shops list": lambda: (ListedShop,),
    "shops show": lambda: (ShownShop,),
    "shops health": lambda: (_health(),),
    "shops pause": lambda: (Changed,),
    "shops resume": lambda: (Changed,),
    "shops remove": lambda: (Changed,),
    "shops erase": lambda: (Erased,),
    "shops export": lambda: (Exported,),
    "catalog show": lambda: (_catalog_row(),),
    "catalog rejects": lambda: (Rejected,),
    "queue stop": lambda: (Queue,),
    "queue start": lambda: (Queue,),
    "webhooks check": lambda: (Subscribed,),
    "webhooks subscribe": lambda: (Subscribed,),
    "webhooks unsubscribe": lambda: (Subscribed,),
}
"""The models of a command's objects, by the command. Made when asked for: few commands need any."""


def schema_of(command: str) -> dict[str, Any]:
    """The JSON Schema of an object that the command prints. Raises KeyError for another text.

    Where options decide, the object suits one of several schemas.
    """
    models = MODELS[command]()
    schemas = [model.model_json_schema(mode="serialization") for model in models]
    if len(schemas) == 1:
        return {"$schema": _DIALECT, **schemas[0], "title": command}
    return {"$schema": _DIALECT, "title": command, "anyOf": schemas}
