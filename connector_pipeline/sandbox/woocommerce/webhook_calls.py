"""WooCommerce's `/wc/v3/webhooks`: lists, makes, changes and deletes webhooks.

After WC_REST_Webhooks_V1_Controller of trunk (11.1 in development), read on 2026-11-28.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.webhooks.happening import Kind
from connector_pipeline.sandbox.webhooks.woo_webhooks import HOOKS, STATUSES, WooWebhook
from connector_pipeline.sandbox.woocommerce.call import WooRefusal, no_route
from connector_pipeline.sandbox.woocommerce.query import InvalidParameters, list_query

_SORTS: Final[dict[str, Callable[[WooWebhook], Any]]] = {
    "date": lambda each: (each.created_at, each.id),
    "id": lambda each: each.id,
    "title": lambda each: (each.name, each.id),
}
_URL_PROBLEM: Final = "Webhook delivery URL must be a valid URL starting with http:// or https://."


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """A body with its status and the headers of a list or of a new object."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] | None = None


def is_webhook_path(path: str) -> bool:
    """Whether a path below /wp-json belongs here."""
    return path.split("/")[:3] == ["wc", "v3", "webhooks"]


class WebhookCall:
    """One authenticated request. `given` are the parameters of the query and of the body."""

    def __init__(self, shop: SandboxShop, home: str, given: Mapping[str, Any]):
        self._shop = shop
        self._home = home
        self._given = given

    def answer(self, method: str, path: str) -> WebhookAnswer:
        """Raises WooRefusal and InvalidParameters."""
        if not self._shop.spec.settings_readable:
            # A key of too low a role may manage no webhook.
            message = "Sorry, you cannot list resources."
            raise WooRefusal(403, "woocommerce_rest_cannot_view", message)
        match method, path.split("/")[3:]:
            case (("GET" | "HEAD"), []):
                return self._list()
            case "POST", []:
                return self._create()
            case (("GET" | "HEAD"), [number]) if number.isdecimal():
                known = self._shop.webhooks.find(int(number))
                if known is None:
                    raise _invalid_id("ID is invalid.", 400)
                return WebhookAnswer(self._shown(known))
            case (("PUT" | "PATCH" | "POST"), [number]) if number.isdecimal():
                return self._update(int(number))
            case "DELETE", [number] if number.isdecimal():
                return self._delete(int(number))
            case _:
                raise no_route()

    def _list(self) -> WebhookAnswer:
        given = {name: str(value) for name, value in self._given.items()}
        wanted = given.pop("status", "all")
        if wanted not in ("all", *STATUSES):
            message = "status is not one of all, active, paused, and disabled."
            raise InvalidParameters({"status": ("rest_not_in_enum", message)})
        offset = timedelta(minutes=self._shop.spec.utc_offset_minutes)
        query = list_query(given, orders=tuple(_SORTS), utc_offset=offset)
        found = [
            each
            for each in self._shop.webhooks.all()
            if wanted in ("all", each.status) and (not query.include or each.id in query.include)
        ]
        found.sort(key=_SORTS[query.orderby], reverse=query.order == "desc")
        page = found[query.start : query.start + query.per_page]
        headers = {
            "X-WP-Total": str(len(found)),
            "X-WP-TotalPages": str(ceil(len(found) / query.per_page)),
        }
        return WebhookAnswer([self._shown(each) for each in page], 200, headers)

    def _create(self) -> WebhookAnswer:
        missing = [name for name in ("topic", "delivery_url") if name not in self._given]
        if missing:
            message = f"Missing parameter(s): {', '.join(missing)}"
            raise WooRefusal(400, "rest_missing_callback_param", message)
        topic, url = str(self._given["topic"]), str(self._given["delivery_url"])
        if topic.lower() not in HOOKS:
            message = "Webhook topic is required and must be valid."
            raise WooRefusal(400, "woocommerce_rest_shop_webhook_invalid_topic", message)
        self._refuse_url(url)
        made = self._shop.webhooks.create(
            name=str(self._given.get("name") or f"Webhook created on {now():%b %d, %Y @ %I:%M %p}"),
            topic=topic,
            delivery_url=url,
            secret=str(self._given.get("secret") or secrets.token_urlsafe(37)),
        )
        self._shop.happened(Kind.WEBHOOK_CREATED, made.id)
        location = f"{self._home}/wp-json/wc/v3/webhooks/{made.id}"
        return WebhookAnswer(self._shown(made), 201, {"Location": location})

    def _update(self, webhook_id: int) -> WebhookAnswer:
        if self._shop.webhooks.find(webhook_id) is None:
            raise _invalid_id("ID is invalid.", 400)
        changes = {
            name: str(self._given[name])
            for name in ("name", "topic", "delivery_url", "secret", "status")
            if self._given.get(name)
        }
        if "topic" in changes and changes["topic"].lower() not in HOOKS:
            message = "Webhook topic must be valid."
            raise WooRefusal(400, "woocommerce_rest_shop_webhook_invalid_topic", message)
        if "delivery_url" in changes:
            self._refuse_url(changes["delivery_url"])
        if "status" in changes and changes["status"] not in STATUSES:
            message = "status is not one of active, paused, and disabled."
            raise InvalidParameters({"status": ("rest_not_in_enum", message)})
        changed = self._shop.webhooks.update(webhook_id, **changes)
        if changed is None:
            raise _invalid_id("ID is invalid.", 400)
        return WebhookAnswer(self._shown(changed))

    def _delete(self, webhook_id: int) -> WebhookAnswer:
        if str(self._given.get("force", "")).lower() not in ("true", "1"):
            message = "Webhooks do not support trashing."
            raise WooRefusal(501, "woocommerce_rest_trash_not_supported", message)
        deleted = self._shop.webhooks.delete(webhook_id)
        if deleted is None:
            raise _invalid_id("Invalid ID.", 404)
        return WebhookAnswer(self._shown(deleted))

    def _refuse_url(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            valid = False
        if not valid:
            code = "woocommerce_rest_shop_webhook_invalid_delivery_url"
            raise WooRefusal(400, code, _URL_PROBLEM)

    def _shown(self, webhook: WooWebhook) -> dict[str, Any]:
        offset = timedelta(minutes=self._shop.spec.utc_offset_minutes)
        collection = f"{self._home}/wp-json/wc/v3/webhooks"
        return {
            "id": webhook.id,
            "name": webhook.name,
            "status": webhook.status,
            "topic": webhook.topic,
            "resource": webhook.resource,
            "event": webhook.event,
            "hooks": list(HOOKS[webhook.topic.lower()]),
            "delivery_url": webhook.delivery_url,
            "date_created": (webhook.created_at + offset).isoformat()[:19],
            "date_created_gmt": webhook.created_at.isoformat()[:19],
            "date_modified": (webhook.updated_at + offset).isoformat()[:19],
            "date_modified_gmt": webhook.updated_at.isoformat()[:19],
            "_links": {
                "self": [{"href": f"{collection}/{webhook.id}"}],
                "collection": [{"href": collection}],
            },
        }


def sent_parameters(query: Mapping[str, str], content_type: str, body: bytes) -> dict[str, Any]:
    """The parameters of a request: those of the query, and those of a JSON or form body.

    Raises WooRefusal for a body that says it is JSON and is not.
    """
    given: dict[str, Any] = dict(query)
    if not body:
        return given
    if "json" not in content_type:
        return given | dict(parse_qsl(body.decode(errors="replace")))
    try:
        found: Any = json.loads(body)
    except ValueError:
        message = "Invalid JSON body passed."
        raise WooRefusal(400, "rest_invalid_json", message) from None
    return given | (cast("dict[str, Any]", found) if isinstance(found, dict) else {})


def _invalid_id(message: str, status: int) -> WooRefusal:
    return WooRefusal(status, "woocommerce_rest_shop_webhook_invalid_id", message)
