"""Notices in an increment that the shop charges in another currency than the catalog has."""

from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import FetchReport


class AnotherCurrency(Exception):
    """The shop charges in another currency than the catalog has, so its changes are not enough."""


def refuse_another_currency(shop: RegisteredShop, sync: Sync, report: FetchReport) -> None:
    """Raise AnotherCurrency in an increment of a shop whose currency has changed."""
    published = shop.published_currency
    if sync.sync_type is SyncType.FULL or report.read_in_full:
        return
    if None not in (published, report.currency) and published != report.currency:
        raise AnotherCurrency(f"The shop's currency changed from {published} to {report.currency}.")
