"""Puts a shop's currency and REST root among the facts of the first page of a reading."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from pydantic import JsonValue

from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.woocommerce.reading.currency import shop_currency
from connector_pipeline.platforms.woocommerce.talking.session import WooCommerceSession


async def with_facts_of_shop(
    walk: AsyncGenerator[RawPage],
    session: WooCommerceSession,
    shop: Shop,
    report: FetchReport,
) -> AsyncGenerator[RawPage]:
    """The pages of the walk, the first with the facts that a sync which resumes need not ask for.

    The report gets the currency before the first page is yielded.
    """
    async with aclosing(walk) as pages:
        async for page in pages:
            if report.currency is None:
                yield await _with_facts(page, session, shop, report)
            else:
                yield page


async def _with_facts(
    page: RawPage, session: WooCommerceSession, shop: Shop, report: FetchReport
) -> RawPage:
    currency, root = page.facts.get("currency"), page.facts.get("rest_root")
    if isinstance(currency, str) and isinstance(root, str):
        report.currency = currency
        session.go_on_below(root)
    else:
        # The first page comes before the currency, because a shop may show its settings only to
        # administrators. A key of too low a role is known by a refusal of the products.
        report.currency = await shop_currency(session, shop, report)
    of_shop: dict[str, JsonValue] = {"currency": report.currency, "rest_root": session.root}
    return replace(page, facts=page.facts | of_shop)
