"""The descriptions of the assets, as Markdown: contents, origin, freshness, remedies.

Each begins with a short plain sentence: the UI's list of assets shows the first 48 characters or so
of the Markdown as it is written (Dagster 1.13.27, in a window of 1,440 pixels).
"""

import re
from typing import Final

from connector_pipeline.platforms.kit.source import PlatformSource
from connector_pipeline.settings import Settings

_AGAIN: Final = (
    "After that tick `raw_products` and `catalog_items` under *Catalog*, press *Materialize "
    "selected*, then *Failed*."
)


def anchor(heading: str) -> str:
    """The name by which a page of the documents links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _doc(settings: Settings, page: str, heading: str) -> str:
    """A section of the documents: a link where they are served, else where to find it."""
    words = heading.replace("`", "")
    if settings.connector_docs_url is None:
        return f"*{words}* in `docs/{page}.md`"
    return f"[{words}]({settings.connector_docs_url}/docs/{page}.html#{anchor(heading)})"


def token_service(settings: Settings) -> str:
    """The service that keeps the merchants' credentials."""
    return f"""\
The service with the merchants' credentials.

The connector asks it for the credentials of a shop at the start of each sync and keeps none of
them.

**When it fails:** every shop fails with `TokenServiceUnavailable`. Run `connector-pipeline doctor`.

See {_doc(settings, "contracts", "Token Service")}."""


def platform(settings: Settings, source: PlatformSource) -> str:
    """A platform's shops."""
    return f"""\
The merchants' shops on {source.title}.

{source.reads}

**When a shop fails:** its partition of `raw_products` is red: press it, then *View logs*, which has
the cause and the remedy. The shop's last good rows stay in the catalog.

See {_doc(settings, "platforms", "Platforms")}."""


def raw_products(settings: Settings) -> str:
    """The raw archive."""
    return f"""\
What the platforms answered, kept as it was.

Each partition is a shop: the pages that its platform sent, in the raw archive. A paused shop has no
partition.

- **From:** the platform of the shop, with credentials of the Token Service. Each sync is full,
  or reads only what changed; a sync that a webhook asked for reads the products that it named.
- **How fresh:** every sweep (`{settings.sync_cron}`, UTC) syncs all shops; webhooks, change feeds
  and requests sync single shops in between. The last full sync is at most
  {_hours(settings)} hours older than the newest sync.
- **When a partition is red:** press it, then *View logs*: the text begins with the shop and the
  cause, and then says what to do. {_AGAIN} Other shops go on, and the shop's
  last good rows stay in the catalog.

A snapshot exists only once its last page is archived. See
{_doc(settings, "operating", "When a shop fails")} and
{_doc(settings, "contracts", "The raw archive")}."""


def catalog_items(settings: Settings) -> str:
    """The table that readers read."""
    return f"""\
One row for each variant of every shop.

The rows are in the table `catalog.catalog_items`. Each partition is a shop; its rows change in one
transaction, all at once or not at all. A deleted variant stays as a tombstone (`deleted_at`).

- **From:** the newest snapshot of `raw_products` alone. Materializing it again asks no platform.
- **How fresh:** each sync publishes as soon as the shop is read; the metadata `freshness_seconds`
  says how long the platform's changes took to get here.
- **When a partition is red:** press it, then *View logs*: the text begins with the shop and the
  cause, and then says what to do. {_AGAIN} `SnapshotShrank` means that most
  of the shop is gone: see whether that is true before you sync with `allow_shrink`.
- **When a check is red:** rows are published and look wrong; the check names the shops.

See {_doc(settings, "contracts", "The catalog: `catalog.catalog_items`")},
{_doc(settings, "operating", "When a shop fails")} and
{_doc(settings, "operating", "Checks")}."""


def shop_health(settings: Settings) -> str:
    """How all shops are, at a glance."""
    return f"""\
The state of all shops at a glance.

How many are active, failing or disconnected, since when, why, and the remedy; how old and how fresh
their rows are; the slowest.

- **From:** the registry and the syncs of a day, in Postgres.
- **How fresh:** the sensor `shop_health_report` looks every five minutes and reports what has
  changed, everything once an hour; *Materialize* does so now. Sweeps: `{settings.sync_cron}` (UTC).
- **When a check is red:** `shops_in_trouble` has the error of each shop with its remedy, as
  `connector-pipeline shops health` and `connector-pipeline shops show SHOP` have.

See {_doc(settings, "operating", "Shop health")}."""


def available_items(settings: Settings) -> str:
    """The view of what may be sold."""
    return f"""\
The variants that may be sold now.

The view `catalog.available_items`: the rows of `catalog_items` whose product is active, that are
not deleted, and that the platform does not call unsellable.

- **From:** `catalog_items`; a view, so it is always as fresh as the table.
- **When it lacks an item:** look at the row's `product_status`, `deleted_at` and `sellable` in the
  table.

See {_doc(settings, "contracts", "What may be bought")}."""


def sync_events(settings: Settings) -> str:
    """The events of syncs' ends."""
    sent = (
        "NATS_URL is unset: they wait in the table `connector.outbox` and are sent nowhere."
        if settings.nats_url is None
        else f"The sensor `event_relay` sends them to the stream `{settings.nats_stream}` of NATS."
    )
    return f"""\
One event for each sync that ended.

It is `evt.platform.fetch.completed` or `evt.platform.fetch.failed`, and is written in the
transaction of the publish: no event is lost, and none speaks of rows that are not there.

- **Where:** {sent}
- **When they do not arrive:** `connector-pipeline doctor` says how many wait and since when.

See {_doc(settings, "contracts", "Events: `connector.outbox`")}."""


def _hours(settings: Settings) -> str:
    return f"{settings.full_sync_every.total_seconds() / 3600:g}"
