"""The fields of the schema that lead to other records: connections, ids, counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, cast

from graphql import GraphQLResolveInfo

from connector_pipeline.sandbox.shopify.event_list import EVENT_FILTERS, event_page
from connector_pipeline.sandbox.shopify.leaves import (
    Counted,
    InventoryNode,
    MediaNode,
    VariantNode,
    product_media,
    variant_media,
)
from connector_pipeline.sandbox.shopify.paging import Connection, Key, page_of
from connector_pipeline.sandbox.shopify.search import Search, parse_search
from connector_pipeline.sandbox.shopify.versions import API_VERSIONS
from connector_pipeline.sandbox.shops.records import ShopEvent, ShopifyProduct, ShopifyVariant
from connector_pipeline.sandbox.shops.shop import SandboxShop

Resolver = Callable[..., Any]
Plain = Callable[[Any, Any], Any]


@dataclass(slots=True)
class QueryContext:
    """One request: its shop, the content of `extensions.search`, and the origin it was sent to."""

    shop: SandboxShop
    search: list[dict[str, Any]]
    origin: str = ""


def _first_media(media: list[MediaNode]) -> MediaNode | None:
    return media[0] if media else None


def _media_page(media: list[MediaNode], arguments: Mapping[str, Any]) -> Connection:
    keys: list[Key] = [(place, place) for place in range(len(media))]
    return page_of(keys, lambda place: media[place], **arguments)


def _nested_variants(
    product: ShopifyProduct, info: GraphQLResolveInfo, arguments: dict[str, Any]
) -> Connection:
    value = _VARIANT_SORTS[arguments.pop("sortKey")]
    by_id = {variant.id: variant for variant in product.variants}
    keys: Sequence[Key] = sorted((value(variant), variant.id) for variant in product.variants)
    above = info.path.prev
    alone = above is not None and above.key == "product"
    keys = cast("QueryContext", info.context).shop.short.variants(keys, alone=alone)
    return page_of(keys, lambda each: VariantNode(product, by_id[each]), **arguments)


_VARIANT_SORTS: Final[Mapping[str, Callable[[ShopifyVariant], Any]]] = {
    "ID": lambda variant: variant.id,
    "POSITION": lambda variant: variant.position,
    "SKU": lambda variant: variant.sku or "",
    "TITLE": lambda variant: variant.title,
}

_PRODUCT_FILTERS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "id": ("number", lambda product: product.id),
    "updated_at": ("time", lambda product: product.updated_at),
    "created_at": ("time", lambda product: product.created_at),
    "status": ("text", lambda product: product.status),
    "title": ("text", lambda product: product.title),
}

_VARIANT_FILTERS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "id": ("number", lambda node: node.variant.id),
    "product_id": ("number", lambda node: node.product.id),
    "product_status": ("text", lambda node: node.product.status),
    "sku": ("text", lambda node: node.variant.sku or ""),
    "title": ("text", lambda node: node.variant.title),
    "updated_at": ("time", lambda node: node.variant.updated_at),
}


def _searched(info: GraphQLResolveInfo, query: str | None, filters: Mapping[str, Any]) -> Search:
    search = parse_search(query, filters)
    if search.warnings:
        context = cast("QueryContext", info.context)
        context.search.append(
            {
                "path": [info.path.key],
                "query": query,
                "parsed": search.parsed[0] if len(search.parsed) == 1 else {"and": search.parsed},
                "warnings": list(search.warnings),
            }
        )
    return search


def _product_keys(shop: SandboxShop, sort: str, query: str | None, search: Search) -> Sequence[Key]:
    return shop.remembered(
        ("products", sort, query if search.tests else None),
        lambda: sorted(_product_entries(shop, sort, search)),
    )


def _product_entries(shop: SandboxShop, sort: str, search: Search) -> list[Key]:
    value = _PRODUCT_SORTS[sort]
    summaries = (_Summary(shop, number) for number in shop.product_ids())
    return [(value(each), each.id) for each in summaries if search.matches(each)]


class _Summary:
    """A product as filters and sorts see it. Only its title makes the shop generate the product."""

    __slots__ = ("_shop", "id")

    def __init__(self, shop: SandboxShop, product_id: int):
        self._shop = shop
        self.id = product_id

    @property
    def updated_at(self) -> datetime:
        return self._shop.updated_at(self.id)

    @property
    def created_at(self) -> datetime:
        return self._shop.created_at(self.id)

    @property
    def status(self) -> str:
        return self._shop.status(self.id)

    @property
    def title(self) -> str:
        return cast("ShopifyProduct", self._shop.product(self.id)).title


_PRODUCT_SORTS: Final[dict[str, Callable[[_Summary], Any]]] = {
    "ID": lambda product: product.id,
    "UPDATED_AT": lambda product: product.updated_at,
    "CREATED_AT": lambda product: product.created_at,
    "TITLE": lambda product: product.title,
}


def _variant_keys(shop: SandboxShop, sort: str, query: str | None, search: Search) -> Sequence[Key]:
    return shop.remembered(
        ("variants", sort, query if search.tests else None),
        lambda: sorted(_variant_entries(shop, sort, search)),
    )


def _variant_entries(shop: SandboxShop, sort: str, search: Search) -> list[Key]:
    if not search.tests and sort == "ID":
        return [
            (number, number)
            for product_id in shop.product_ids()
            for number in shop.variant_ids(product_id)
        ]
    value = _VARIANT_SORTS[sort]
    return [
        (value(variant), variant.id)
        for product in cast("list[ShopifyProduct]", list(shop.products()))
        for variant in product.variants
        if search.matches(VariantNode(product, variant))
    ]


def _variant_node(shop: SandboxShop, variant_id: int) -> VariantNode | None:
    found = shop.variant(variant_id)
    return None if found is None else VariantNode(*cast("Any", found))


def _by_gid(shop: SandboxShop, gid: str) -> Any:
    kind, _, number = gid.removeprefix("gid://shopify/").partition("/")
    if not gid.startswith("gid://shopify/") or not number.isascii() or not number.isdigit():
        return None
    if kind == "Product":
        return shop.product(int(number))
    if kind == "InventoryItem":
        found = _variant_node(shop, int(number))
        return None if found is None else InventoryNode(found.product, found.variant)
    return _variant_node(shop, int(number)) if kind == "ProductVariant" else None


def _products(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Connection:
    shop = cast("QueryContext", info.context).shop
    query, sort = arguments.pop("query", None), arguments.pop("sortKey")
    search = _searched(info, query, _PRODUCT_FILTERS)
    keys = _product_keys(shop, sort, query, search)
    if shop.short.any:
        return shop.short.products(keys, shop.product, arguments)
    return page_of(keys, shop.product, **arguments)


def _events(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Connection:
    shop = cast("QueryContext", info.context).shop
    search = _searched(info, arguments.pop("query", None), EVENT_FILTERS)
    return event_page(shop, search, arguments.pop("sortKey"), **arguments)


def _product_variants(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Connection:
    shop = cast("QueryContext", info.context).shop
    query, sort = arguments.pop("query", None), arguments.pop("sortKey")
    search = _searched(info, query, _VARIANT_FILTERS)
    keys = _variant_keys(shop, sort, query, search)
    return page_of(keys, lambda each: _variant_node(shop, each), **arguments)


def _count(keys: Sequence[Key], limit: int | None) -> Counted:
    if limit is not None and len(keys) > limit:
        return Counted(limit, "AT_LEAST")
    return Counted(len(keys))


def _products_count(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Counted:
    shop = cast("QueryContext", info.context).shop
    query = arguments.get("query")
    search = _searched(info, query, _PRODUCT_FILTERS)
    return _count(_product_keys(shop, "ID", query, search), arguments["limit"])


def _variants_count(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Counted:
    shop = cast("QueryContext", info.context).shop
    query = arguments.get("query")
    search = _searched(info, query, _VARIANT_FILTERS)
    counted = _count(_variant_keys(shop, "ID", query, search), arguments["limit"])
    return replace(counted, count=counted.count + shop.trouble.more_variants)


def _typed(gid: str, kind: str, shop: SandboxShop) -> Any:
    return _by_gid(shop, gid) if gid.startswith(f"gid://shopify/{kind}/") else None


def _by_product_id(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    return _typed(arguments["id"], "Product", info.context.shop)


def _by_variant_id(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    return _typed(arguments["id"], "ProductVariant", info.context.shop)


def _node(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    return _by_gid(info.context.shop, arguments["id"])


def _nodes(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> list[Any]:
    return [_by_gid(info.context.shop, each) for each in arguments["ids"]]


def _variants_of_product(
    product: ShopifyProduct, info: GraphQLResolveInfo, **arguments: Any
) -> Connection:
    return _nested_variants(product, info, arguments)


def _variants_of_item(node: VariantNode, _: Any, **arguments: Any) -> Connection:
    variant = VariantNode(node.product, node.variant)
    return page_of([(node.variant.id, node.variant.id)], lambda _: variant, **arguments)


def _media_of_product(product: ShopifyProduct, _: Any, **arguments: Any) -> Connection:
    return _media_page(product_media(product), arguments)


def _media_of_variant(node: VariantNode, _: Any, **arguments: Any) -> Connection:
    return _media_page(variant_media(node), arguments)


RESOLVERS: Final[dict[str, dict[str, Resolver]]] = {
    "QueryRoot": {
        "product": _by_product_id,
        "productVariant": _by_variant_id,
        "node": _node,
        "nodes": _nodes,
        "products": _products,
        "productVariants": _product_variants,
        "productsCount": _products_count,
        "productVariantsCount": _variants_count,
        "events": _events,
    },
    "Product": {"media": _media_of_product, "variants": _variants_of_product},
    "ProductVariant": {"media": _media_of_variant},
    "InventoryItem": {"variants": _variants_of_item},
}
"""Fields with arguments, by type: resolvers as graphql-core calls them."""

_CONNECTION: Final[dict[str, Plain]] = {
    "edges": lambda page, _: page.edges(),
    "nodes": lambda page, _: page.nodes,
    "pageInfo": lambda page, _: page,
}

RELATIONS: Final[dict[str, dict[str, Plain]]] = {
    "QueryRoot": {
        "shop": lambda _, info: info.context.shop,
        "publicApiVersions": lambda _, info: API_VERSIONS,
    },
    "Product": {
        "featuredImage": lambda product, _: _first_media(product_media(product)),
        "featuredMedia": lambda product, _: _first_media(product_media(product)),
        "variantsCount": lambda product, _: Counted(len(product.variants)),
    },
    "ProductVariant": {
        "inventoryItem": lambda node, _: node,
        "image": lambda node, _: _first_media(variant_media(node)),
        "product": lambda node, _: node.product,
    },
    "MediaImage": {"image": lambda media, _: media, "preview": lambda media, _: media},
    "MediaPreviewImage": {"image": lambda media, _: media},
    "ProductConnection": _CONNECTION,
    "ProductVariantConnection": _CONNECTION,
    "MediaConnection": _CONNECTION,
    "EventConnection": _CONNECTION,
    "BulkOperationConnection": _CONNECTION,
    "ProductEdge": {"node": lambda edge, _: edge.node},
    "ProductVariantEdge": {"node": lambda edge, _: edge.node},
    "MediaEdge": {"node": lambda edge, _: edge.node},
    "EventEdge": {"node": lambda edge, _: edge.node},
    "BulkOperationEdge": {"node": lambda edge, _: edge.node},
}
"""Fields with selections and no arguments, by type."""


def type_of(value: Any, *_: Any) -> str:
    """The object type of a record behind the interfaces Node, Media and Event."""
    kinds = {
        ShopifyProduct: "Product",
        VariantNode: "ProductVariant",
        InventoryNode: "InventoryItem",
        MediaNode: "MediaImage",
        ShopEvent: "BasicEvent",
    }
    return kinds[type(value)]
