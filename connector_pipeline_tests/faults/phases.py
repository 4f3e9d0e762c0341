"""The phases of a sync in which a fault may come: how its requests are known, and its shop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connector_pipeline.sandbox.shops.spec import Platform


@dataclass(frozen=True)
class Phase:
    """Requests of one kind in a sync of one platform.

    `match` is the rule's match beside the shop's. `spec` says what the shop needs for such
    requests. `by_bulk`: the sync reads by a bulk operation. `items`: the path to a list of objects
    in the answer. `member`: the name of one of the answer's own members.
    """

    platform: Platform
    name: str
    service: str
    match: Mapping[str, Any] = field(default_factory=dict[str, Any])
    spec: Mapping[str, Any] = field(default_factory=dict[str, Any])
    by_bulk: bool = False
    items: tuple[Any, ...] | None = None
    member: str = "data"

    @property
    def key(self) -> str:
        """The name of the phase beside that of its platform."""
        return f"{self.platform}: {self.name}"


def _graphql(name: str, document: str, *more: str, **given: Any) -> Phase:
    match = {"body_contains": [document, *more]}
    return Phase("shopify", name, "shopify", match, **given)


def _rest(name: str, path: str, *queries: str, lacks: tuple[str, ...] = (), **given: Any) -> Phase:
    match = {"path_contains": path, "query_contains": list(queries), "query_lacks": list(lacks)}
    return Phase("woocommerce", name, "woocommerce", match, **given)


_NODES: Final = ("data", "products", "nodes")

SHOPIFY: Final = (
    Phase("shopify", "token", "token-service"),
    _graphql("shop", "query Shop {"),
    _graphql("count", "query CountVariants {"),
    _graphql("first page", "query Products(", '"after":null', items=_NODES),
    _graphql("later page", "query Products(", '"after":"', items=_NODES),
    _graphql(
        "variants",
        "query Variants(",
        spec={"big_products": (290,)},
        items=("data", "product", "variants", "nodes"),
    ),
    _graphql("bulk start", "mutation RunBulk(", by_bulk=True),
    _graphql("bulk poll", "query PollBulk(", by_bulk=True),
    Phase("shopify", "bulk download", "storage", by_bulk=True),
)

WOOCOMMERCE: Final = (
    Phase("woocommerce", "token", "token-service"),
    _rest(
        "discovery", "/wc/v3/products", "per_page=1", lacks=("_fields", "per_page=10"), member="id"
    ),
    _rest("currency", "/wc/v3/data/currencies/current", member="code"),
    _rest(
        "first page", "/wc/v3/products", "status=publish", "page=1", "name", items=(), member="id"
    ),
    _rest(
        "later page", "/wc/v3/products", "status=publish", "page=2", "name", items=(), member="id"
    ),
    _rest("ids", "/wc/v3/products", "_fields=id&", items=(), member="id"),
    _rest("variations", "/variations", items=(), member="id"),
    _rest("look-up", "/wc/v3/products", "include=", items=(), member="id"),
)

PHASES: Final = {phase.key: phase for phase in (*SHOPIFY, *WOOCOMMERCE)}
