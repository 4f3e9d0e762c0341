"""`/sandbox/...`: creates and edits shops, sets faults, shows the requests so far."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector_pipeline.sandbox.answers import json_answer
from connector_pipeline.sandbox.controls.faults import Faults, InvalidFault
from connector_pipeline.sandbox.controls.request_log import RequestLog
from connector_pipeline.sandbox.shopify.bulk_operations import plan_from_json
from connector_pipeline.sandbox.shopify.short_lists import short_lists_from_json
from connector_pipeline.sandbox.shopify.trouble import trouble_from_json
from connector_pipeline.sandbox.shops.contents import NoSuchRecord
from connector_pipeline.sandbox.shops.edits import InvalidEdit, moment, now
from connector_pipeline.sandbox.shops.expected import expected_items_json
from connector_pipeline.sandbox.shops.records import Product, Variant
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import InvalidSpec, spec_from_json
from connector_pipeline.sandbox.shops.store import Store
from connector_pipeline.sandbox.webhooks.happening import Kind
from connector_pipeline.sandbox.woocommerce.mishaps import mishaps_from_json
from connector_pipeline.sandbox.woocommerce.odd_forms import forms_from_json
from connector_pipeline.sandbox.woocommerce.scripted_edits import script_from_json

Handler = Callable[[Request], Awaitable[Response]]

_SHOP: Final = "/sandbox/shops/{platform}/{domain}"


class Control:
    """The control routes of one sandbox. Errors are 400 or 404 with a JSON `error`."""

    def __init__(self, store: Store, faults: Faults, requests: RequestLog):
        self._store = store
        self._faults = faults
        self._requests = requests

    def routes(self) -> list[Route]:
        product, variant = _SHOP + "/products/{id:int}", _SHOP + "/variants/{id:int}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/sandbox/shops", self._list_shops),
            ("PUT", _SHOP, self._put_shop),
            ("GET", _SHOP, self._get_shop),
            ("DELETE", _SHOP, self._delete_shop),
            ("GET", _SHOP + "/expected", self._expected),
            ("POST", _SHOP + "/products", self._append),
            ("PATCH", product, self._patch_product),
            ("DELETE", product, self._delete_product),
            ("POST", product + "/restore", self._restore_product),
            ("PATCH", variant, self._patch_variant),
            ("DELETE", variant, self._delete_variant),
            ("POST", variant + "/restore", self._restore_variant),
            ("PUT", _SHOP + "/credentials", self._credentials),
            ("PUT", _SHOP + "/forms", self._put_forms),
            ("POST", product + "/orphan", self._orphan),
            ("PUT", _SHOP + "/throttle", self._throttle),
            ("PUT", _SHOP + "/short-lists", self._put_short_lists),
            ("GET", _SHOP + "/bulk", self._get_bulk),
            ("PUT", _SHOP + "/bulk", self._put_bulk),
            ("PUT", _SHOP + "/trouble", self._put_trouble),
            ("PUT", _SHOP + "/lag", self._put_lag),
            ("PUT", _SHOP + "/mishaps", self._put_mishaps),
            ("PUT", _SHOP + "/script", self._put_script),
            ("GET", "/sandbox/faults", self._get_faults),
            ("PUT", "/sandbox/faults", self._put_faults),
            ("DELETE", "/sandbox/faults", self._delete_faults),
            ("GET", "/sandbox/requests", self._get_requests),
            ("DELETE", "/sandbox/requests", self._delete_requests),
        ]
        return [Route(path, guarded(handler), methods=[method]) for method, path, handler in table]

    def _shop(self, request: Request) -> SandboxShop:
        return self._store.shop(request.path_params["platform"], request.path_params["domain"])

    async def _list_shops(self, _: Request) -> Response:
        return json_answer([shop_as_json(shop) for shop in self._store])

    async def _put_shop(self, request: Request) -> Response:
        path = request.path_params
        spec = spec_from_json(path["platform"], path["domain"], await _json(request, {}))
        return json_answer(shop_as_json(self._store.put(spec)), 201)

    async def _get_shop(self, request: Request) -> Response:
        shop = self._shop(request)
        return json_answer(shop_as_json(shop) | {"spec": shop.spec.as_json()})

    async def _delete_shop(self, request: Request) -> Response:
        self._store.remove(request.path_params["platform"], request.path_params["domain"])
        return Response(status_code=204)

    async def _expected(self, request: Request) -> Response:
        return json_answer(expected_items_json(self._shop(request)))

    async def _append(self, request: Request) -> Response:
        body = await _json(request, {})
        ids = self._shop(request).append_products(int(body.get("count", 1)), at=_at(body))
        return json_answer({"ids": ids}, 201)

    async def _patch_product(self, request: Request) -> Response:
        body = await _json(request, {})
        at = _at(body)
        product = self._shop(request).edit_product(request.path_params["id"], body, at=at)
        return json_answer(record_as_json(product))

    async def _delete_product(self, request: Request) -> Response:
        shop, product_id = self._shop(request), request.path_params["id"]
        if request.query_params.get("trash") == "true":
            shop.trash_product(product_id, at=now())
        else:
            shop.remove_product(product_id, at=now())
        return Response(status_code=204)

    async def _restore_product(self, request: Request) -> Response:
        at = _at(await _json(request, {}))
        product = self._shop(request).restore_product(request.path_params["id"], at=at)
        return json_answer(record_as_json(product))

    async def _patch_variant(self, request: Request) -> Response:
        body = await _json(request, {})
        at = _at(body)
        variant = self._shop(request).edit_variant(request.path_params["id"], body, at=at)
        return json_answer(record_as_json(variant))

    async def _delete_variant(self, request: Request) -> Response:
        self._shop(request).remove_variant(request.path_params["id"], at=now())
        return Response(status_code=204)

    async def _restore_variant(self, request: Request) -> Response:
        at = _at(await _json(request, {}))
        variant = self._shop(request).restore_variant(request.path_params["id"], at=at)
        return json_answer(record_as_json(variant))

    async def _credentials(self, request: Request) -> Response:
        shop = self._shop(request)
        issued = shop.credentials
        body = await _json(request, {})
        unknown = sorted(body.keys() - {"revoke", "rotate", "remove", "write"})
        if unknown or not body:
            raise InvalidEdit("expected revoke, rotate, remove or write")
        if body.get("rotate"):
            issued.rotate()
        if "revoke" in body:
            before, issued.revoked = issued.revoked, bool(body["revoke"])
            if issued.revoked and not before:
                shop.happened(Kind.UNINSTALLED)
        if "remove" in body:
            issued.removed = bool(body["remove"])
        if "write" in body:
            issued.may_write = bool(body["write"])
        return json_answer(
            {"revoked": issued.revoked, "removed": issued.removed, "write": issued.may_write}
        )

    async def _put_forms(self, request: Request) -> Response:
        shop = self._shop(request)
        shop.forms = forms_from_json(await _json(request, {}))
        return json_answer(shop.forms)

    async def _orphan(self, request: Request) -> Response:
        ids = self._shop(request).orphan_variations_of(request.path_params["id"])
        return json_answer({"ids": ids})

    async def _throttle(self, request: Request) -> Response:
        bucket = self._shop(request).bucket
        body = await _json(request, {})
        maximum = float(body.get("maximum", bucket.maximum))
        bucket.resize(maximum, float(body.get("restore_rate", bucket.restore_rate)))
        return json_answer(bucket.status())

    async def _put_short_lists(self, request: Request) -> Response:
        shop = self._shop(request)
        shop.short = short_lists_from_json(await _json(request, {}))
        return json_answer(asdict(shop.short))

    async def _get_bulk(self, request: Request) -> Response:
        return json_answer(self._shop(request).bulk.as_json())

    async def _put_bulk(self, request: Request) -> Response:
        bulk = self._shop(request).bulk
        bulk.plan = plan_from_json(await _json(request, {}))
        return json_answer(bulk.as_json())

    async def _put_trouble(self, request: Request) -> Response:
        shop = self._shop(request)
        shop.trouble = trouble_from_json(await _json(request, {}))
        return json_answer(asdict(shop.trouble))

    async def _put_lag(self, request: Request) -> Response:
        seconds = float((await _json(request, {})).get("seconds", 0))
        self._shop(request).stay_behind(seconds)
        return json_answer({"seconds": seconds})

    async def _put_mishaps(self, request: Request) -> Response:
        shop = self._woocommerce(request)
        shop.mishaps = mishaps_from_json(await _json(request, {}))
        return json_answer(asdict(shop.mishaps))

    async def _put_script(self, request: Request) -> Response:
        shop = self._woocommerce(request)
        edits: Any = await request.json()
        if not isinstance(edits, list):
            raise InvalidEdit("expected a list of edits")
        shop.script = script_from_json(cast("list[Mapping[str, Any]]", edits))
        return json_answer([asdict(each) for each in shop.script.edits])

    def _woocommerce(self, request: Request) -> SandboxShop:
        shop = self._shop(request)
        if shop.spec.platform != "woocommerce":
            raise InvalidEdit(f"{shop.key} is no WooCommerce shop")
        return shop

    async def _get_faults(self, _: Request) -> Response:
        return json_answer(self._faults.as_json())

    async def _put_faults(self, request: Request) -> Response:
        rules: Any = await request.json()
        if not isinstance(rules, list):
            raise InvalidFault("expected a list of rules")
        self._faults.set(cast("list[Mapping[str, Any]]", rules))
        return json_answer(self._faults.as_json())

    async def _delete_faults(self, _: Request) -> Response:
        self._faults.clear()
        return Response(status_code=204)

    async def _get_requests(self, _: Request) -> Response:
        return json_answer(self._requests.as_json())

    async def _delete_requests(self, _: Request) -> Response:
        self._requests.clear()
        return Response(status_code=204)


def shop_as_json(shop: SandboxShop) -> dict[str, Any]:
    """A shop with the values that a registration needs, and its size."""
    spec = shop.spec
    ids = shop.product_ids()
    return {
        "merchant_id": spec.merchant_id,
        "platform_name": spec.platform,
        "platform_shop_id": spec.platform_shop_id,
        "domain": spec.domain,
        "currency": spec.currency,
        "products": len(ids),
        "variants": shop.remembered(
            "variant_count", lambda: sum(len(shop.variant_ids(each)) for each in ids)
        ),
    }


def record_as_json(record: Product | Variant) -> dict[str, Any]:
    """A record by its field names, with times in ISO 8601."""
    return {name: _plain(value) for name, value in asdict(record).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {name: _plain(each) for name, each in items}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in cast("list[Any]", value)]
    return value


def _at(body: dict[str, Any]) -> datetime | None:
    """The time of an edit: `updated_at`, else now; None for an edit that moves no date."""
    if "updated_at" not in body:
        return now()
    given = body.pop("updated_at")
    return None if given is None else moment(given)


async def _json(request: Request, default: dict[str, Any]) -> dict[str, Any]:
    if not await request.body():
        return default
    body: Any = await request.json()
    if not isinstance(body, dict):
        raise InvalidEdit("expected a JSON object")
    return cast("dict[str, Any]", body)


def guarded(handler: Handler) -> Handler:
    """The handler, whose errors are answers of 400 and 404."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except NoSuchRecord as error:
            return json_answer({"error": str(error)}, 404)
        except (InvalidSpec, InvalidEdit, InvalidFault, TypeError, ValueError) as error:
            return json_answer({"error": str(error)}, 400)

    return answer
