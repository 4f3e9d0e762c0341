"""WooCommerce's JSON of products and variations, in the shape of the recorded answers (10.5.0)."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import escape
from typing import Any, Final
from urllib.parse import quote

from connector_pipeline.sandbox.shops.records import WooProduct, WooVariation
from connector_pipeline.sandbox.shops.spec import ShopSpec

Body = dict[str, Any]

_SYMBOLS: Final = {"SEK": "&#107;&#114;", "USD": "&#36;", "EUR": "&euro;", "JPY": "&yen;"}
_NAMES: Final = {"SEK": "Swedish krona", "USD": "United States (US) dollar", "EUR": "Euro"}
_ITEM_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class WooBodies:
    """The bodies of one shop. Its links begin with the URL `home`, which ends without a slash."""

    def __init__(self, spec: ShopSpec, home: str, find: Callable[[int], WooProduct | None]):
        self._spec = spec
        self._home = home
        self._find = find
        self._offset = timedelta(minutes=spec.utc_offset_minutes)

    def product(self, product: WooProduct) -> Body:
        """As `/wc/v3/products` has it in a list, and `/wc/v3/products/{id}` alone."""
        price = self._product_price(product)
        variable = product.type == "variable"
        own = "" if product.type in ("variable", "grouped") else product.price
        slug = _slug(product.name)
        status = product.status
        public = status in ("publish", "private")
        permalink = f"product/{slug}/" if public else f"?post_type=product&p={product.id}"
        return {
            "id": product.id,
            "name": product.name,
            "slug": f"{slug}__trashed" if status == "trash" else slug,
            "permalink": f"{self._home}/{permalink}",
            **self._dates(product.created_at, product.updated_at),
            "type": product.type,
            "status": status,
            "featured": False,
            "catalog_visibility": product.catalog_visibility,
            "description": f"<p>About <strong>{escape(product.name)}</strong></p>\n",
            "short_description": "",
            "sku": product.sku,
            **self._prices(price, own),
            # The key's owner may buy drafts too (docs/facts/woocommerce.md, Selling).
            "purchasable": price != "" and product.type in ("simple", "variable"),
            "total_sales": 0,
            **_DOWNLOADS,
            "external_url": "https://example.test/p?id=1&ref=å"
            if product.type == "external"
            else "",
            "button_text": "Köp där" if product.type == "external" else "",
            "tax_status": "taxable",
            "tax_class": "",
            "manage_stock": product.manage_stock,
            "stock_quantity": product.stock_quantity,
            **_backorders(product.manage_stock, product.stock_quantity, product.backorders),
            "sold_individually": False,
            **_SHIPPING,
            "shipping_required": True,
            "shipping_taxable": True,
            "shipping_class": "",
            "shipping_class_id": 0,
            "reviews_allowed": True,
            "average_rating": "0.00",
            "rating_count": 0,
            "upsell_ids": [],
            "cross_sell_ids": [],
            "parent_id": 0,
            "purchase_note": "",
            "categories": [{"id": 16, "name": "Allt &amp; lite till", "slug": "allt"}],
            "brands": [],
            "tags": [],
            "images": [
                self._image(product.id + 100_000 + place, url, product.created_at)
                | {"srcset": "", "sizes": "(max-width: 64px) 100vw, 64px", "thumbnail": url}
                for place, url in enumerate(product.image_urls)
            ],
            "attributes": [
                {
                    "id": number,
                    "name": name,
                    "slug": f"pa_{_slug(name)}",
                    "position": number - 1,
                    "visible": True,
                    "variation": True,
                    "options": list(options),
                }
                for number, (name, options) in enumerate(product.attributes, 1)
            ],
            "default_attributes": [],
            "variations": [each.id for each in product.variations] if variable else [],
            "grouped_products": list(product.grouped_ids),
            "menu_order": 0,
            "price_html": self._price_html(price),
            "related_ids": [],
            "meta_data": [
                {"id": product.id * 2, "key": "supplier", "value": {"name": "Sandbox", "lead": 1}}
            ],
            "stock_status": stock_status(
                product.manage_stock,
                product.stock_quantity,
                product.backorders,
                product.stock_status,
            ),
            "has_options": variable,
            "post_password": "",
            "global_unique_id": "",
            "_links": self._links(f"wc/v3/products/{product.id}", "wc/v3/products"),
        }

    def variation_of_parent(self, parent: WooProduct, variation: WooVariation) -> Body:
        """As `/wc/v3/products/{id}/variations` has it; before 8.3 without parent_id and name."""
        path = f"wc/v3/products/{parent.id}/variations"
        up = f"wc/v3/products/{parent.id}"
        body = self._variation(parent, variation, _options(variation))
        if not self._spec.variation_names:
            del body["name"], body["parent_id"]
        return body | {"_links": self._links(f"{path}/{variation.id}", path, up)}

    def variation_of_root(self, parent: WooProduct, variation: WooVariation) -> Body:
        """As `/wc/v3/variations` has it: its links lead to product 0."""
        path = "wc/v3/variations"
        body = self._variation(parent, variation, _options(variation))
        links = self._bare_links(f"{path}/{variation.id}", path, "wc/v3/products/0")
        return body | {"_links": links}

    def variation_of_analytics(self, parent: WooProduct, variation: WooVariation) -> Body:
        """As `/wc-analytics/variations` has it: its name begins with the product's."""
        options = _options(variation)
        name = f"{parent.name} - {options}" if options else parent.name
        path = "wc-analytics/products/0/variations"
        body = self._variation(parent, variation, name)
        links = self._bare_links(f"{path}/{variation.id}", path, "wc-analytics/products/0")
        return body | {"_links": links}

    def variation_as_product(self, parent: WooProduct, variation: WooVariation) -> Body:
        """As `/wc/v3/products/{variation id}` answers: a product of type variation."""
        body = self._variation(parent, variation, f"{parent.name} - {_options(variation)}")
        image = body.pop("image")
        return body | {
            "slug": f"{_slug(parent.name)}-{variation.id}",
            "images": [image] if image else [],
            "variations": [],
            "grouped_products": [],
            "_links": self._links(f"wc/v3/products/{variation.id}", "wc/v3/products"),
        }

    def currency(self) -> Body:
        """As `/wc/v3/data/currencies/current` answers. The symbol is an HTML entity.

        docs/facts/woocommerce.md, Currency.
        """
        code = self._spec.currency
        return {
            "code": code,
            "name": _NAMES.get(code, code),
            "symbol": _SYMBOLS.get(code, code),
            "_links": {
                "self": [
                    {
                        "href": f"{self._home}/wp-json/wc/v3/data/currencies/{code}",
                        "targetHints": {"allow": ["GET"]},
                    }
                ],
                "collection": [{"href": f"{self._home}/wp-json/wc/v3/data/currencies"}],
            },
        }

    def currency_setting(self) -> Body:
        """As `/wc/v3/settings/general/woocommerce_currency` answers."""
        code = self._spec.currency
        return {
            "id": "woocommerce_currency",
            "label": "Currency",
            "description": "This controls what currency prices are listed at in the catalog and "
            "which currency gateways will take payments in.",
            "type": "select",
            "default": "USD",
            "options": {
                known: f"{name} ({_SYMBOLS[known]}) — {known}" for known, name in _NAMES.items()
            },
            "tip": "This controls what currency prices are listed at in the catalog and which "
            "currency gateways will take payments in.",
            "value": code,
            "group_id": "general",
            "_links": self._links(
                "wc/v3/settings/general/woocommerce_currency", "wc/v3/settings/general"
            ),
        }

    def _variation(self, parent: WooProduct, variation: WooVariation, name: str) -> Body:
        # A variation without its own SKU or image returns its parent's
        # (docs/facts/woocommerce.md, SKU and images).
        url = variation.image_url or (parent.image_urls[0] if parent.image_urls else None)
        managed = variation.manage_stock
        quantity = parent.stock_quantity if managed == "parent" else variation.stock_quantity
        quantity = quantity if managed else None
        backorders = parent.backorders if managed == "parent" else variation.backorders
        return {
            "id": variation.id,
            "type": "variation",
            **self._dates(variation.created_at, variation.updated_at),
            "description": "",
            "permalink": f"{self._home}/product/{_slug(parent.name)}/?attribute={variation.id}",
            "sku": parent.sku if variation.sku is None else variation.sku,
            "global_unique_id": "",
            **self._prices(variation.price, variation.price),
            "status": variation.status,
            "purchasable": variation.price != "" and variation.status == "publish",
            **_DOWNLOADS,
            "tax_status": "taxable",
            "tax_class": "",
            "manage_stock": managed,
            "stock_quantity": quantity,
            "stock_status": stock_status(
                bool(managed), quantity, backorders, variation.stock_status
            ),
            **_backorders(bool(managed), quantity, backorders),
            **_SHIPPING,
            "shipping_class": "",
            "shipping_class_id": 0,
            "image": self._image(variation.id + 200_000, url, variation.created_at)
            if url
            else None,
            "attributes": [
                {
                    "id": number,
                    "name": attribute,
                    "slug": f"pa_{_slug(attribute)}",
                    "option": option,
                }
                for number, (attribute, option) in enumerate(variation.attributes, 1)
            ],
            "menu_order": 0,
            "meta_data": [],
            "name": name,
            "parent_id": parent.id,
        }

    def _product_price(self, product: WooProduct) -> str | float:
        """The price of a variable product's cheapest variation, or of a group's cheapest child."""
        if product.type == "variable":
            prices = [each.price for each in product.variations if each.status == "publish"]
        elif product.type == "grouped":
            children = [self._find(number) for number in product.grouped_ids]
            prices = [child.price for child in children if child and child.type == "simple"]
        else:
            return product.price
        return min((price for price in prices if price != ""), key=float, default="")

    def _prices(self, price: str | float, regular: str | float) -> Body:
        return {
            "price": price,
            "regular_price": regular,
            "sale_price": "",
            "date_on_sale_from": None,
            "date_on_sale_from_gmt": None,
            "date_on_sale_to": None,
            "date_on_sale_to_gmt": None,
            "on_sale": False,
        }

    def _price_html(self, price: str | float) -> str:
        if price == "":
            return ""
        symbol = _SYMBOLS.get(self._spec.currency, self._spec.currency)
        return (
            f'<span class="woocommerce-Price-amount amount"><bdi>{price}&nbsp;'
            f'<span class="woocommerce-Price-currencySymbol">{symbol}</span></bdi></span>'
        )

    def _dates(self, created_at: datetime, updated_at: datetime) -> Body:
        # No time names its zone (docs/facts/woocommerce.md, Times).
        return {
            "date_created": _naive(created_at + self._offset),
            "date_created_gmt": _naive(created_at),
            "date_modified": _naive(updated_at + self._offset),
            "date_modified_gmt": _naive(updated_at),
        }

    def _image(self, number: int, url: str, created_at: datetime) -> Body:
        name = url.rsplit("/", 1)[-1].removesuffix(".png")
        dates = self._dates(created_at, created_at)
        return {"id": number, **dates, "src": url, "name": name, "alt": f"alt {name}"}

    def _links(self, path: str, collection: str, up: str | None = None) -> Body:
        links = self._bare_links(path, collection, up)
        links["self"][0]["targetHints"] = {"allow": _ITEM_METHODS}
        return links

    def _bare_links(self, path: str, collection: str, up: str | None = None) -> Body:
        links: Body = {
            "self": [{"href": f"{self._home}/wp-json/{path}"}],
            "collection": [{"href": f"{self._home}/wp-json/{collection}"}],
        }
        if up is not None:
            links["up"] = [{"href": f"{self._home}/wp-json/{up}"}]
        return links


_DOWNLOADS: Final[Body] = {
    "virtual": False,
    "downloadable": False,
    "downloads": [],
    "download_limit": -1,
    "download_expiry": -1,
}
_SHIPPING: Final[Body] = {"weight": "", "dimensions": {"length": "", "width": "", "height": ""}}


def _options(variation: WooVariation) -> str:
    return ", ".join(option for _, option in variation.attributes)


def _naive(time: datetime) -> str:
    return time.isoformat()[:19]


def stock_status(managed: bool, quantity: float | None, backorders: str, unmanaged: str) -> str:
    """WooCommerce's word: by quantity and backorders where stock is managed, else `unmanaged`."""
    if not managed:
        return unmanaged
    if (quantity or 0) > 0:
        return "instock"
    return "outofstock" if backorders == "no" else "onbackorder"


def _backorders(managed: bool, quantity: float | None, backorders: str) -> Body:
    allowed = backorders != "no"
    return {
        "backorders": backorders,
        "backorders_allowed": allowed,
        "backordered": managed and allowed and (quantity or 0) < 0,
        "low_stock_amount": None,
    }


def _slug(name: str) -> str:
    return quote(re.sub(r"[\W_]+", "-", name.lower()).strip("-"))[:200].lower()
