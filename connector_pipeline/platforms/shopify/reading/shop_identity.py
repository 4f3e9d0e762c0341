"""Holds that the shop that answers is the shop that was asked."""

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.json_values import json_of, text_at
from connector_pipeline.platforms.shopify.gid import numeric_id

_SHOWN = 100


def refuse_another_shop(page: RawPage, shop: Shop, report: FetchReport) -> None:
    """Raise InvalidResponse if the `shop` page is of another shop, and name both domains.

    A shop that was renamed answers with its new domain. It is the same shop if `platform_shop_id`
    says so; the report gets a warning then.
    """
    body = json_of(page, of="Shopify's")
    answered = text_at(body, "data", "shop", "myshopifyDomain")
    if answered is None or answered.strip().casefold() == shop.domain.casefold():
        return
    # Text of a stranger, which goes into a message.
    shown = ascii(answered[:_SHOWN])[1:-1]
    gid = text_at(body, "data", "shop", "id")
    if gid is not None and shop.platform_shop_id in (gid, numeric_id(gid, "Shop")):
        warning = (
            f"{shop.domain} was asked and the same shop answered as {shown}: it was renamed. "
            f"Register it under its new domain before the old one stops working."
        )
        if warning not in report.warnings:
            report.warnings.append(warning)
        return
    raise InvalidResponse(
        f"{shop.domain} was asked, but the shop {shown} answered. Nothing of it is published.",
        remedy="Only the next sync tries again. If the shop was renamed, register it under its new "
        "domain; otherwise look for a proxy or an alias that leads to another shop.",
    )
