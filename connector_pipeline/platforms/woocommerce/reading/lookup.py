"""Asks a WooCommerce shop by id for absent variants.

One question covers a product and its variations, because a product lists the ids of its variations.
A variation that its product no longer lists is gone. A variation that is listed and cannot be
loaded is not gone.
"""

from collections.abc import AsyncGenerator, Collection, Mapping
from functools import partial
from typing import Any, Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit import lookup
from connector_pipeline.platforms.kit.contract import LOOKUP, Lookup, RawPage
from connector_pipeline.platforms.kit.lookup import AnswerForIds
from connector_pipeline.platforms.kit.rejects import FieldError
from connector_pipeline.platforms.woocommerce.mapping import forms
from connector_pipeline.platforms.woocommerce.mapping.normalize import has_variations, object_id
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    IDS_AT_ONCE,
    PRODUCTS_ENDPOINT,
)
from connector_pipeline.platforms.woocommerce.reading.list_page import list_page
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question

_FIELDS: Final = ("id", "type", "status", "variations")

# One product and the witness.
_FEWEST: Final = 2

Product = dict[str, Any]


def look_up(
    session: Asks,
    *,
    absent: Mapping[str, str],
    witness_id: str,
    statuses: Collection[str],
    at_once: int = IDS_AT_ONCE,
) -> AsyncGenerator[Lookup]:
    """Ask for the products of the absent variants, and in each question for `witness_id` too.

    `at_once` is the size of a page of products that the shop can answer.
    A product of another status than `statuses` counts as gone: the lists do not have it, so a
    complete snapshot would not have its variants. Raises InvalidResponse for an answer that does
    not fit the question, and what the session raises.
    """
    variants = lookup.by_product(absent)
    return lookup.look_up(
        partial(_ask, session, max(_FEWEST, at_once)),
        absent={product_id: variants[product_id] for product_id in sorted(variants, key=int)},
        witness=witness_id,
        at_once=max(_FEWEST, at_once),
        asked_of=PRODUCTS_ENDPOINT,
        is_gone=partial(_is_gone, statuses=statuses),
    )


async def _ask(session: Asks, at_once: int, ids: list[str]) -> AnswerForIds[Product]:
    params: dict[str, str | int] = {
        "include": ",".join(ids),
        # `any` is every status but the trash: it finds a draft, and no product in the trash.
        "status": "any",
        "per_page": at_once,
        "orderby": "id",
        "order": "asc",
        "_fields": ",".join(_FIELDS),
    }
    answer = await session.ask(Question(PRODUCTS_ENDPOINT, params))
    page = list_page(answer, 1, PRODUCTS_ENDPOINT)
    found = {str(object_id(product)): product for product in page.objects}
    # The answer also lacks a product that the shop counts and cannot load. Such a product is not
    # gone. Only smaller questions show which one it is (docs/facts/woocommerce.md, Asking by id).
    all_loaded = page.total == len(found)
    asked: list[JsonValue] = [int(each) for each in ids]
    return AnswerForIds(
        RawPage(LOOKUP, page.body, {"asked": asked, "total": page.total}),
        found,
        open_ids=() if all_loaded else [each for each in ids if each not in found],
    )


def _is_gone(variant_id: str, product: Product | None, *, statuses: Collection[str]) -> bool:
    """Whether a complete snapshot would lack the variant. `product` is None if it is gone."""
    if product is None:
        return True
    status = product.get("status")
    try:
        listed = forms.variation_ids(product.get("variations"))
    except FieldError:
        listed = None
    if not isinstance(status, str) or listed is None:
        raise InvalidResponse(f"{PRODUCTS_ENDPOINT} gave a product without status or variations.")
    if status not in statuses:
        return True
    if variant_id.endswith("_default"):
        return has_variations(product)
    return not has_variations(product) or int(variant_id) not in listed
