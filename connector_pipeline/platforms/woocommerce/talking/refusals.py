"""The meaning of a shop's answers other than 200: WooCommerce's refusals, and those by others.

Only WooCommerce's own codes speak of the key. A plugin's code speaks of the shop. A page of a
firewall or a web server speaks of neither (docs/facts/woocommerce.md, Refusals and Answers by
others).
"""

import re
from typing import Final

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.http.challenge import challenge
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.json_values import text_at
from connector_pipeline.platforms.woocommerce.talking.discovery import FoundApi
from connector_pipeline.platforms.woocommerce.talking.trouble_pages import TROUBLE_PAGES

SECRET_IS_WRONG: Final = "woocommerce_rest_authentication_error"  # noqa: S105  a code, no password

_ERROR_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_OWN: Final = "woocommerce_rest_"
_REFUSED: Final = frozenset({401, 403})
_UNKNOWN_KEY: Final = "the shop does not know this consumer key, in whichever way it is presented"
_ABOUT_THE_KEY: Final = {
    "woocommerce_rest_cannot_view": _UNKNOWN_KEY,
    SECRET_IS_WRONG: "the consumer secret is wrong, or the key may not read",
    # WordPress takes a key that WooCommerce does not know for a user's name.
    "invalid_username": _UNKNOWN_KEY,
    "incorrect_password": _UNKNOWN_KEY,
}
# Source of these: docs/facts/woocommerce.md, Where a merchant sees it.
_KEYS_PAGE: Final = "WooCommerce > Settings > Advanced > REST API"
_KEY: Final = (
    f"The merchant sees the keys under {_KEYS_PAGE}: it must be there with the permission Read or "
    "Read/Write, and its user under Users. If it is not, ask for a new one and give it to the "
    "Token Service."
)
_ROLE: Final = (
    f"The merchant sees the key's user under {_KEYS_PAGE}, and the user's role under Users: it "
    "must be Shop manager or Administrator. Where it was lowered, raise it or ask for a key of "
    "another user."
)


def error_of(answer: Answer, path: str, *, same_key: bool = False) -> ConnectorError:
    """The error for an answer other than 200, by its status and its error code.

    `same_key`: the Token Service, asked again, gave the key that was refused before.
    """
    code = error_code(answer)
    seen = f"{path} answered {answer.status}"
    if answer.status in _REFUSED and code is not None:
        if not code.startswith(_OWN) and code not in _ABOUT_THE_KEY:
            return _closed_api(f"{seen} {code}")
        if answer.status == 403:
            return ShopDisconnected(
                f"{seen} {code}: the role of the key's user is too low.",
                look_at=_ROLE,
            )
        asked_again = (
            "and the Token Service gave the same key again"
            if same_key
            else "with freshly fetched credentials too"
        )
        hint = _ABOUT_THE_KEY.get(code, "the shop refuses the key")
        return ShopDisconnected(f"{seen} {code}, {asked_again}: {hint}.", look_at=_KEY)
    if 400 < answer.status < 500 and code is None:
        return trouble_page(answer, path) or _page_of_others(answer, seen)
    return InvalidResponse(f"{seen} {code or 'without a WooCommerce error code'}.")


def trouble_page(answer: Answer, path: str) -> PlatformUnavailable | None:
    """The error for a page that is known to come from a firewall or the like, else None."""
    found = (
        None
        if answer.json is not None
        else challenge(answer.status, answer.headers, answer.body, TROUBLE_PAGES)
    )
    if found is None:
        return None
    return PlatformUnavailable(
        f"{path} answered {answer.status} with {found.looks_like}.", remedy=found.remedy
    )


def no_api_here(base_url: str, roots: tuple[str, ...], found: FoundApi | None) -> InvalidResponse:
    """The error for a shop without a REST API below any of the roots.

    `found` is where the shop's pages say that the API is.
    """
    asked = " and ".join(f"{base_url}{root}" for root in roots)
    message = f"There is no WooCommerce REST API here: {asked} answer 404."
    if found is None:
        return InvalidResponse(
            message,
            remedy="Only the next sync tries again. Ask the merchant whether WooCommerce is "
            "installed, and whether a plugin turns its REST API off. For a shop below a path, e.g. "
            "example.com/shop, add the path: `connector-pipeline shops add SHOP --merchant-id M "
            "--path /shop`.",
        )
    return InvalidResponse(
        f"{message} The shop's own pages say that it is at {found.base_url}.",
        remedy="Only the next sync tries again. Register the shop with its path: "
        f"`connector-pipeline shops add SHOP --merchant-id M --path {found.path or '/'}`.",
    )


def error_code(answer: Answer) -> str | None:
    """WooCommerce's error code, e.g. rest_no_route; None where the body has none."""
    code = text_at(answer.json, "code")
    return code if code is not None and _ERROR_CODE.fullmatch(code) else None


def _closed_api(seen: str) -> ShopDisconnected:
    return ShopDisconnected(
        f"{seen}: that is no code of WooCommerce's. A plugin of the shop, for security or for "
        "maintenance, closes its REST API.",
        look_at="Ask the merchant to allow /wp-json/wc/ in that plugin, which WordPress lists "
        "under Plugins; the key itself was not refused.",
        about_credentials=False,
    )


def _page_of_others(answer: Answer, seen: str) -> PlatformUnavailable:
    if answer.status == 401 and "www-authenticate" in answer.headers:
        return PlatformUnavailable(
            f"{seen} and is not WooCommerce's: the web server asks for a password of its own.",
            remedy="It will be retried with the next sync. Ask the merchant to let requests to "
            "/wp-json/ pass without the web server's password.",
        )
    kind = "a page" if answer.json is None else "JSON"
    return PlatformUnavailable(
        f"{seen} with {kind} that is not WooCommerce's, without an error code.",
        remedy="It will be retried with the next sync. A firewall or the web server before the "
        "shop blocks us: ask the merchant to let the connector through (its user agent is "
        "connector-pipeline, it reads below /wp-json/).",
    )
