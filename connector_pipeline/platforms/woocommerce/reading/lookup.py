"""Asks a WooCommerce shop by id for absent variants.

One question covers a product and its variations, because a product lists the ids of its variations.
A variation that its product no longer lists is gone. A variation that is listed and cannot be
loaded is not gone. Neither is a product over which the shop breaks: it is asked for alone, and
left open.
"""

from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer, HeavyAnswer
from connector_pipeline.platforms.kit import lookup
from connector_pipeline.platforms.kit.contract import LOOKUP, Lookup, RawPage
from connector_pipeline.platforms.kit.lookup import AnswerForIds
from connector_pipeline.platforms.kit.rejects import FieldError
from connector_pipeline.platforms.woocommerce.mapping import forms
from connector_pipeline.platforms.woocommerce.mapping.normalize import has_variations, object_id
from connector_pipeline.platforms.woocommerce.reading.broken import (
    MOST_BROKEN,
    MOST_IN_PARTS,
    PageTooLarge,
    join_lists,
    memory_of,
)
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    IDS_AT_ONCE,
    PRODUCTS_ENDPOINT,
)
from connector_pipeline.platforms.woocommerce.reading.list_page import list_page
from connector_pipeline.platforms.woocommerce.talking.asking import Asks, Question

_FIELDS: Final = ("id", "type", "status", "variations")

# One product and the witness.
_FEWEST: Final = 2

# Of the question that shows whether the shop answers at all.
_RETRIES: Final = 3

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
        _Asking(session, max(_FEWEST, at_once), witness_id).ask,
        absent={product_id: variants[product_id] for product_id in sorted(variants, key=int)},
        witness=witness_id,
        at_once=max(_FEWEST, at_once),
        asked_of=PRODUCTS_ENDPOINT,
        is_gone=partial(_is_gone, statuses=statuses),
    )


@dataclass(slots=True)
class _Asking:
    """Asks for products by id, `at_once` at a time, and around those over which the shop breaks."""

    session: Asks
    at_once: int
    witness: str
    failing: set[str] = field(default_factory=set[str])

    async def ask(self, ids: list[str]) -> AnswerForIds[Product]:
        """The answer for these ids, the witness among them. Ids that fail are left open."""
        answers: list[Answer] = []
        await self._collect([each for each in ids if each not in self.failing], answers)
        pages = [list_page(answer, 1, PRODUCTS_ENDPOINT) for answer in answers]
        found = {str(object_id(product)): product for page in pages for product in page.objects}
        total = sum(page.total for page in pages)
        # The answer also lacks a product that the shop counts and cannot load. Such a product is
        # not gone. Only smaller questions show which one it is (docs/facts/woocommerce.md, Asking
        # by id).
        all_loaded = total == len(found)
        open_ids = self.failing if all_loaded else [each for each in ids if each not in found]
        asked: list[JsonValue] = [int(each) for each in ids]
        return AnswerForIds(
            RawPage(
                LOOKUP, join_lists(page.body for page in pages), {"asked": asked, "total": total}
            ),
            found,
            open_ids=open_ids,
        )

    async def _collect(self, ids: list[str], answers: list[Answer]) -> None:
        try:
            retries = _RETRIES if ids == [self.witness] else 1
            answers.append(await self._question(ids, retries=retries))
            return
        except HeavyAnswer as heavy:
            if ids == [self.witness]:
                raise heavy.error from heavy
        # The witness alone shows that the shop answers at all.
        await self._collect([self.witness], answers)
        await self._around([each for each in ids if each != self.witness], answers)

    async def _around(self, ids: list[str], answers: list[Answer]) -> None:
        half = (len(ids) + 1) // 2
        parts = [ids] if half == len(ids) else [ids[:half], ids[half:]]
        for part in parts:
            try:
                answers.append(await self._question(part, retries=int(len(part) == 1)))
                if sum(memory_of(each.body) for each in answers) > MOST_IN_PARTS:
                    raise PageTooLarge(PRODUCTS_ENDPOINT, smaller=False).error
            except HeavyAnswer as heavy:
                if len(part) > 1:
                    await self._around(part, answers)
                    continue
                if len(self.failing) >= MOST_BROKEN:
                    raise heavy.error from heavy
                self.failing.add(part[0])

    async def _question(self, ids: list[str], *, retries: int) -> Answer:
        params: dict[str, str | int] = {
            "include": ",".join(ids),
            # `any` is every status but the trash: it finds a draft, and no product in the trash.
            "status": "any",
            "per_page": self.at_once,
            "orderby": "id",
            "order": "asc",
            "_fields": ",".join(_FIELDS),
        }
        return await self.session.ask(Question(PRODUCTS_ENDPOINT, params, retries_if_heavy=retries))


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
