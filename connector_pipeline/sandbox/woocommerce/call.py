"""One request to WooCommerce's REST API: keys, lists, headers and errors as recorded of 10.5.0."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import Final, cast
from urllib.parse import quote_plus

from starlette.requests import Request
from starlette.responses import Response

from connector_pipeline.sandbox.answers import json_bytes
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.woocommerce.bodies import Body, WooBodies
from connector_pipeline.sandbox.woocommerce.lists import (
    find_variation,
    page_ids,
    product_list,
    variation_list,
    variations_of_parent,
)
from connector_pipeline.sandbox.woocommerce.oauth import refused
from connector_pipeline.sandbox.woocommerce.odd_forms import in_odd_form
from connector_pipeline.sandbox.woocommerce.query import (
    PRODUCT_ORDERS,
    VARIATION_ORDERS,
    ListQuery,
    list_query,
    picked,
)
from connector_pipeline.sandbox.woocommerce.web_server import error_page

HEADERS: Final = {
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Expose-Headers": "X-WP-Total, X-WP-TotalPages, Link",
    "Access-Control-Allow-Headers": "Authorization, X-WP-Nonce, Content-Disposition, "
    "Content-MD5, Content-Type",
    "Allow": "GET",
    "Expires": "Wed, 11 Jan 1984 05:00:00 GMT",
    "Cache-Control": "no-cache, must-revalidate, max-age=0, no-store, private",
}
JSON: Final = "application/json; charset=UTF-8"

# A Link header of 200 ids was too large for nginx, one of 100 was not (docs/facts/woocommerce.md,
# Asking by id).
_MOST_INCLUDED: Final = 150
_MOST_KEPT_BODIES: Final = 5_000

_ANALYTICS_LINK: Final = "wc-analytics/products/(?P<product_id>%5B\\d%5D&"

Load = Callable[[int], Body | None]


class WooRefusal(Exception):
    """An error in the form of WordPress's answer."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status = status
        self.body: Body = {"code": code, "message": message, "data": {"status": status}}


def no_route() -> WooRefusal:
    message = "No route was found matching the URL and request method."
    return WooRefusal(404, "rest_no_route", message)


class Call:
    """One request to one shop."""

    def __init__(self, shop: SandboxShop, path: str, given: Mapping[str, str], home: str):
        self._shop = shop
        self._path = path
        self._parts = path.split("/")
        self._mishaps = shop.mishaps.at(path)
        self._given = self._mishaps.reaching(given)
        self._home = home
        self._bodies = WooBodies(shop.spec, home, self._product)

    def authenticate(self, request: Request) -> None:
        """Check the keys: those of the query first, then those of the header. Raises WooRefusal.

        docs/facts/woocommerce.md, Refusals, has the answer to each mistake.
        """
        spec, issued = self._shop.spec, self._shop.credentials
        key, secret = self._given.get("consumer_key"), self._given.get("consumer_secret")
        if (not key or not secret) and not spec.strips_authorization:
            key, secret = _basic(request.headers.get("authorization", ""))
        if request.url.scheme == "http" and "oauth_consumer_key" in self._given:
            url = f"{self._home}/{_below_home(request, spec)}"
            if reason := refused(request.method, url, self._given, issued):
                raise WooRefusal(401, "woocommerce_rest_authentication_error", reason)
            self._refuse_writing(request.method)
            return
        if request.url.scheme == "http" and spec.signed_over_http:
            key = secret = None
        if not key or not issued.accepts_key(key):
            alone = self._parts[-1].isdigit() or self._parts[-1] in (
                "current",
                "woocommerce_currency",
            )
            what = "view this resource" if alone else "list resources"
            raise WooRefusal(401, "woocommerce_rest_cannot_view", f"Sorry, you cannot {what}.")
        if not issued.accepts_secret(secret or ""):
            message = "Consumer secret is invalid."
            raise WooRefusal(401, "woocommerce_rest_authentication_error", message)
        self._refuse_writing(request.method)

    def _refuse_writing(self, method: str) -> None:
        if method not in ("GET", "HEAD") and not self._shop.credentials.may_write:
            message = "The API key provided does not have write permissions."
            raise WooRefusal(401, "woocommerce_rest_authentication_error", message)

    def answer(self) -> Response:
        """The answer to an authenticated request. Raises WooRefusal and InvalidParameters."""
        spec = self._shop.spec
        match self._parts:
            case ["wc", "v3", "products"]:
                return self._products()
            case ["wc", "v3", "products", number] if number.isdecimal():
                return self._one_product(int(number))
            case ["wc", "v3", "products", number, "variations"] if (
                number.isdecimal() and spec.parent_variations
            ):
                return self._variations_of(int(number))
            case ["wc", "v3", "products", number, "variations", variation] if (
                number.isdecimal() and variation.isdecimal() and spec.parent_variations
            ):
                return self._one_variation(int(number), int(variation))
            case ["wc", "v3", "variations"] if spec.root_variations:
                return self._all_variations("root")
            case ["wc-analytics", "variations"] if spec.analytics_variations:
                return self._all_variations("analytics")
            case ["wc", "v3", "data", "currencies", "current"]:
                return self._setting(self._bodies.currency())
            case ["wc", "v3", "settings", "general", "woocommerce_currency"]:
                return self._setting(self._bodies.currency_setting())
            case _:
                raise no_route()

    def _query(self, orders: tuple[str, ...]) -> ListQuery:
        offset = timedelta(minutes=self._shop.spec.utc_offset_minutes)
        given = dict(self._given)
        if not self._shop.spec.modified_after:
            given.pop("modified_after", None)
        return list_query(
            given, orders=orders, utc_offset=offset, most_per_page=self._mishaps.most_per_page
        )

    def _products(self) -> Response:
        query = self._query(PRODUCT_ORDERS)
        if len(query.include) > _MOST_INCLUDED:
            return error_page("502 Bad Gateway", 502)

        def load(product_id: int) -> Body | None:
            product = self._product(product_id)
            return None if product is None else self._bodies.product(product)

        return self._page("products", query, product_list(self._shop, query), load)

    def _one_product(self, product_id: int) -> Response:
        product = self._product(product_id)
        if product is not None:
            return self._alone(self._bodies.product(product))
        found = find_variation(self._shop, product_id)
        if found is None:
            raise WooRefusal(404, "woocommerce_rest_product_invalid_id", "Invalid ID.")
        return self._alone(self._bodies.variation_as_product(*found))

    def _variations_of(self, parent_id: int) -> Response:
        query = self._query(VARIATION_ORDERS)
        ids = variations_of_parent(self._shop, query, parent_id)
        return self._page("parent", query, ids, self._variation_body("parent"))

    def _all_variations(self, kind: str) -> Response:
        query = self._query(VARIATION_ORDERS)
        if len(query.include) > _MOST_INCLUDED:
            return error_page("502 Bad Gateway", 502)
        ids = variation_list(self._shop, query)
        return self._page(kind, query, ids, self._variation_body(kind))

    def _variation_body(self, kind: str) -> Load:
        shape = {
            "root": self._bodies.variation_of_root,
            "analytics": self._bodies.variation_of_analytics,
            "parent": self._bodies.variation_of_parent,
        }[kind]

        def load(variation_id: int) -> Body | None:
            found = find_variation(self._shop, variation_id)
            return None if found is None else shape(*found)

        return load

    def _one_variation(self, parent_id: int, variation_id: int) -> Response:
        found = find_variation(self._shop, variation_id)
        if found is None or found[0].id != parent_id:
            code = "woocommerce_rest_product_variation_invalid_id"
            raise WooRefusal(404, code, "Invalid ID.")
        return self._alone(self._bodies.variation_of_parent(*found))

    def _setting(self, body: Body) -> Response:
        if not self._shop.spec.settings_readable:
            message = "Sorry, you cannot view this resource."
            raise WooRefusal(403, "woocommerce_rest_cannot_view", message)
        return self._alone(body)

    def _product(self, product_id: int) -> WooProduct | None:
        product = self._shop.product(product_id)
        if product is None:
            trashed = self._shop.trashed(product_id)
            return None if trashed is None else replace(trashed, status="trash")
        return cast("WooProduct", product)

    def _alone(self, body: Body) -> Response:
        return self.response(json_bytes(picked(body, self._given.get("_fields"), alone=True)))

    def _page(self, kind: str, query: ListQuery, ids: Sequence[int], load: Load) -> Response:
        fields = self._given.get("_fields")
        forms = self._shop.forms
        kept = self._shop.remembered(
            ("bodies", kind, fields, self._home, *forms.items()), _no_bodies
        )
        if len(kept) > _MOST_KEPT_BODIES:
            kept.clear()
        shown: list[bytes] = []
        for number in self._mishaps.given(page_ids(ids, query), query):
            self._fail_if_broken(kind, number, fields)
            text = kept.get(number)
            if text is None:
                body = load(number)
                if body is None:
                    # X-WP-Total counts it, and the page lacks it
                    # (docs/facts/woocommerce.md, Lists: order and totals).
                    continue
                shaped = in_odd_form(picked(body, fields, alone=False), forms)
                text = kept[number] = json_bytes(shaped)
            shown.append(text)
        # WP_Query counts nothing for a page beyond the end. WooCommerce asks again without `page`,
        # and never without `offset` (docs/facts/woocommerce.md, Lists: order and totals).
        beyond = query.offset is not None and query.offset >= len(ids)
        total = 0 if beyond else self._mishaps.stated(len(ids))
        pages = ceil(total / query.per_page)
        headers = {"X-WP-Total": str(total), "X-WP-TotalPages": str(pages)}
        links = self._links(kind, query.page, pages)
        return self.response(b"[" + b",".join(shown) + b"]", 200, headers, links)

    def _fail_if_broken(self, kind: str, number: int, fields: str | None) -> None:
        breaks = kind == "analytics" and self._shop.spec.orphans_break_analytics
        if number not in self._shop.broken and not (
            breaks and find_variation(self._shop, number) is None
        ):
            return
        field = self._shop.broken.get(number)
        if field is None or fields is None or field in fields.split(","):
            # WordPress's message for an uncaught error in PHP.
            message = "<p>There has been a critical error on this website.</p>"
            raise WooRefusal(500, "internal_server_error", message)

    def _links(self, kind: str, page: int, pages: int) -> str | None:
        found: list[str] = []
        if page > 1:
            found.append(self._link(kind, min(page - 1, pages), "prev"))
        if page < pages:
            found.append(self._link(kind, page + 1, "next"))
        return ", ".join(found) or None

    def _link(self, kind: str, page: int, relation: str) -> str:
        # WordPress echoes every argument, consumer_secret too (docs/facts/woocommerce.md, Link
        # header).
        echoed = dict(self._given) | {"page": str(page)}
        query = "&".join(f"{quote_plus(key)}={quote_plus(echoed[key])}" for key in echoed)
        path = _ANALYTICS_LINK if kind == "analytics" else f"{self._path}?"
        return f'<{self._home}/wp-json/{path}{query}>; rel="{relation}"'

    def response(
        self,
        content: bytes,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        links: str | None = None,
    ) -> Response:
        """A response with the headers of every answer. Without pages, `Link` is the API's root."""
        link = links or f'<{self._home}/wp-json/>; rel="https://api.w.org/"'
        return Response(content, status, {**HEADERS, "Link": link, **(headers or {})}, JSON)


def _no_bodies() -> dict[int, bytes]:
    return {}


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    key, _, secret = text.partition(":")
    return key, secret


def _below_home(request: Request, spec: ShopSpec) -> str:
    """The path of a request below the shop's home."""
    return request.url.path.removeprefix(f"/woocommerce/{spec.domain}{spec.path}/")
