"""Finds a shop's currency: the one that the shop states, else the one in the registry.

See docs/facts/woocommerce.md, Currency.
"""

import re
from typing import Any, Final

from connector_pipeline.model.currency import ACTIVE_CURRENCIES
from connector_pipeline.model.errors import ConnectorError, CurrencyUnknown
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.kit.json_values import value_at
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question
from connector_pipeline.platforms.woocommerce.talking.refusals import error_code, error_of

CURRENT_CURRENCY: Final = "/wc/v3/data/currencies/current"
CURRENCY_SETTING: Final = "/wc/v3/settings/general/woocommerce_currency"

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_NOT_STATED: Final = frozenset({400, 403, 404})


async def shop_currency(session: Asks, shop: Shop, report: FetchReport) -> str:
    """The shop's currency: the one that the shop states, else the one in the registry.

    Where the two differ, the report warns, because prices are in the shop's. Raises CurrencyUnknown
    where neither has one, and PlatformUnavailable where a firewall answered in the shop's place.
    """
    refusals: list[str] = []
    of_others: ConnectorError | None = None
    for path, key in ((CURRENT_CURRENCY, "code"), (CURRENCY_SETTING, "value")):
        answer = await session.ask(Question(path, accept=_NOT_STATED))
        currency = currency_in(answer, key)
        if currency is None:
            refusals.append(f"{path} {_refusal(answer, key)}")
            if answer.status == 403 and error_code(answer) is None:
                of_others = error_of(answer, path)
            continue
        report.warnings += warnings_of(currency, registered=shop.currency)
        return currency
    if shop.currency is not None:
        report.details["currency_from"] = "registry"
        return shop.currency
    if of_others is not None:
        raise of_others
    raise CurrencyUnknown(
        f"The shop does not state its currency to this key: {', '.join(refusals)}.",
        remedy="Ask the merchant for a key of a shop manager or administrator, or set it: "
        f"`connector-pipeline shops add {shop.partition_key} --merchant-id {shop.merchant_id} "
        "--currency CUR`.",
    )


def warnings_of(currency: str, *, registered: str | None) -> list[str]:
    """Warnings for the operator about a currency that the shop stated."""
    found: list[str] = []
    if registered is not None and registered != currency:
        found.append(
            f"The registry says {registered} and the shop charges in {currency}: its prices are "
            f"published in {currency}. `shops add --currency {currency}` puts the registry right."
        )
    if currency not in ACTIVE_CURRENCIES:
        found.append(
            f"The shop charges in {currency}, which is no active code of ISO 4217: its prices are "
            "published with it all the same."
        )
    return found


def currency_in(answer: Answer, key: str) -> str | None:
    """The currency code, three capitals, that an answer holds under `key`; else None."""
    code = _stated(answer, key)
    return code if isinstance(code, str) and _CURRENCY.fullmatch(code) else None


def _stated(answer: Answer, key: str) -> Any:
    return value_at(answer.json, key) if answer.status == 200 else None


def _refusal(answer: Answer, key: str) -> str:
    if answer.status != 200:
        return f"answered {answer.status}"
    stated = _stated(answer, key)
    if stated in (None, ""):
        return "stated nothing"
    return f"stated {str(stated)[:20]!r}, no currency code"
