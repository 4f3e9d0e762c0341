"""Ask a shop by id for the variants that its lists lacked.

One question answers for a product and its variations: a product that is found lists the ids of its
variations. A variation that it no longer lists is gone; one that is listed and cannot be loaded
is not.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, cast

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import LOOKUP, Lookup, RawPage
from connector_pipeline.platforms.woocommerce.mapping.normalize import has_variations, object_id
from connector_pipeline.platforms.woocommerce.reading.endpoints import PRODUCTS_ENDPOINT
from connector_pipeline.platforms.woocommerce.reading.tally import ListPage, list_page
from connector_pipeline.platforms.woocommerce.talking.session import WooCommerceSession

# 200 ids made a header too big for a shop's web server, 100 are safe (FACTS 5).
_IDS_AT_ONCE: Final = 100
_FIELDS: Final = ("id", "type", "status", "variations")


async def look_up(
    session: WooCommerceSession,
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
    variants_of: defaultdict[int, list[str]] = defaultdict(list)
    for variant_id, product_id in absent.items():
        variants_of[int(product_id)].append(variant_id)
    witness = int(witness_id)
    others = sorted(variants_of.keys() - {witness})
    questions = list(_batches(others, _IDS_AT_ONCE - 1)) or [[]]
    while questions:
        asked = questions.pop()
        page = await _ask(session, [*asked, witness])
        found = _found(page, {*asked, witness})
        if witness not in found:
            raise InvalidResponse(
                f"{PRODUCTS_ENDPOINT} was asked for product {witness}, which the shop had listed, "
                "and left it out."
            )
        # A product that the shop counts and cannot load is left out too (FACTS 1). It is not gone,
        # and only asking for fewer tells which one it is.
        all_loaded = page.total == len(found)
        settled = [number for number in asked if number in found or all_loaded]
        if witness in variants_of:
            settled.append(witness)
        gone = [
            variant_id
            for number in settled
            for variant_id in variants_of.pop(number)
            if _is_gone(variant_id, found.get(number), statuses)
        ]
        unsettled = [number for number in asked if number in variants_of]
        if len(unsettled) > 1:
            questions += _batches(unsettled, (len(unsettled) + 1) // 2)
        ids: list[JsonValue] = [*asked, witness]
        facts: dict[str, JsonValue] = {"asked": ids, "total": page.total}
        yield Lookup(RawPage(LOOKUP, page.body, facts), tuple(gone))


def _is_gone(variant_id: str, product: Mapping[str, Any] | None, statuses: Collection[str]) -> bool:
    """Whether a complete snapshot would lack the variant of this product, None for no product."""
    if product is None:
        return True
    listed: Any = product.get("variations")
    status = product.get("status")
    if not isinstance(status, str) or not _is_list_of_ids(listed):
        raise InvalidResponse(f"{PRODUCTS_ENDPOINT} gave a product without status or variations.")
    if status not in statuses:
        return True
    if variant_id.endswith("_default"):
        return has_variations(product)
    return not has_variations(product) or int(variant_id) not in listed


def _is_list_of_ids(listed: Any) -> bool:
    return isinstance(listed, list) and all(type(each) is int for each in cast("list[Any]", listed))


async def _ask(session: WooCommerceSession, ids: list[int]) -> ListPage:
    params = {
        "include": ",".join(map(str, ids)),
        # `any` is every status but the trash, and tells a draft from a product that is gone.
        "status": "any",
        "per_page": _IDS_AT_ONCE,
        "orderby": "id",
        "order": "asc",
        "_fields": ",".join(_FIELDS),
    }
    return list_page(await session.get(PRODUCTS_ENDPOINT, params), 1, PRODUCTS_ENDPOINT)


def _found(page: ListPage, asked: Collection[int]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for product in page.objects:
        product_id = object_id(product)
        if product_id is None or product_id not in asked:
            raise InvalidResponse(
                f"{PRODUCTS_ENDPOINT} answered with products it was not asked for: the shop seems "
                "not to know the parameter `include`."
            )
        found[product_id] = product
    return found


def _batches(ids: Iterable[int], size: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for each in ids:
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
