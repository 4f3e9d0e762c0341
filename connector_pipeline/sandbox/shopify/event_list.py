"""The list of a shop's events: what was created and deleted, with Shopify's filters and sorts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from connector_pipeline.sandbox.shopify.paging import Connection, page_of
from connector_pipeline.sandbox.shopify.search import Search
from connector_pipeline.sandbox.shops.records import ShopEvent
from connector_pipeline.sandbox.shops.shop import SandboxShop

EVENT_FILTERS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "id": ("number", lambda event: event.id),
    "action": ("text", lambda event: event.action),
    "subject_type": ("text", lambda event: event.subject_type),
    "created_at": ("time", lambda event: event.created_at),
}

_SORTS: Final[Mapping[str, Callable[[ShopEvent], Any]]] = {
    "ID": lambda event: event.id,
    "CREATED_AT": lambda event: event.created_at,
}


def event_page(shop: SandboxShop, search: Search, sort: str, **page: Any) -> Connection:
    """A page of the events that pass the search, in the order of the sort key."""
    value = _SORTS[sort]
    by_id = {event.id: event for event in shop.events}
    keys = sorted((value(event), event.id) for event in by_id.values() if search.matches(event))
    return page_of(keys, by_id.__getitem__, **page)
