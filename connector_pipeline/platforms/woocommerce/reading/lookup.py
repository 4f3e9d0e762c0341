"""Ask a shop by id for the variants that its lists lacked.

One question answers for a product and its variations: a product that is found lists the ids of its
variations. A variation that it no longer lists is gone; one that is listed and cannot be loaded
is not.
"""

from collections.abc import AsyncGenerator, Collection, Mapping
from functools import partial
from typing import Any, Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit import lookup
from connector_pipeline.platforms.kit.contract import LOOKUP, Lookup, RawPage
from connector_pipeline.platforms.kit.json_values import is_list
from connector_pipeline.platforms.kit.lookup import AnswerForIds
from connector_pipeline.platforms.woocommerce.mapping.normalize import has_variations, object_id
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    IDS_AT_ONCE,
    PRODUCTS_ENDPOINT,
)
from connector_pipeline.platforms.woocommerce.reading.list_page import list_page
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question

_FIELDS: Final = ("id", "type", "status", "variations")

Product = dict[str, Any]


def look_up(
    session: Asks,
    *,
    absent: Mapping[str, str],
    witness_id: str,
    statuses: Collection[str],
) -> AsyncGenerator[Lookup]:
    """Ask for the products of the absent variants, with the product `witness_id` beside them.

    A product of another status than `statuses` counts as gone: the lists are read without it, so
    a complete snapshot would not have its variants either. Raises InvalidResponse for an answer
    that cannot be one to the question, and what the session raises.
    """
    variants = lookup.by_product(absent)
    return lookup.look_up(
        partial(_ask, session),
        absent={product_id: variants[product_id] for product_id in sorted(variants, key=int)},
        witness=witness_id,
        at_once=IDS_AT_ONCE,
        asked_of=PRODUCTS_ENDPOINT,
        is_gone=partial(_is_gone, statuses=statuses),
    )


async def _ask(session: Asks, ids: list[str]) -> AnswerForIds[Product]:
    params: dict[str, str | int] = {
        "include": ",".join(ids),
        # `any` is every status but the trash, and tells a draft from a product that is gone.
        "status": "any",
        "per_page": IDS_AT_ONCE,
        "orderby": "id",
        "order": "asc",
        "_fields": ",".join(_FIELDS),
    }
    answer = await session.ask(Question(PRODUCTS_ENDPOINT, params))
    page = list_page(answer, 1, PRODUCTS_ENDPOINT)
    found = {str(object_id(product)): product for product in page.objects}
    # A product that the shop counts and cannot load is left out too. It is not gone, and only
    # asking for fewer tells which one it is (docs/facts/woocommerce.md, Asking by id).
    all_loaded = page.total == len(found)
    asked: list[JsonValue] = [int(each) for each in ids]
    return AnswerForIds(
        RawPage(LOOKUP, page.body, {"asked": asked, "total": page.total}),
        found,
        open_ids=() if all_loaded else [each for each in ids if each not in found],
    )


def _is_gone(variant_id: str, product: Product | None, *, statuses: Collection[str]) -> bool:
    """Whether a complete snapshot would lack the variant of this product, None for no product."""
    if product is None:
        return True
    listed, status = product.get("variations"), product.get("status")
    if (
        not isinstance(status, str)
        or not is_list(listed)
        or any(type(each) is not int for each in listed)
    ):
        raise InvalidResponse(f"{PRODUCTS_ENDPOINT} gave a product without status or variations.")
    if status not in statuses:
        return True
    if variant_id.endswith("_default"):
        return has_variations(product)
    return not has_variations(product) or int(variant_id) not in listed
