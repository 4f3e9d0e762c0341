"""A Shopify shop's catalog, generated product by product from its spec."""

from datetime import datetime, timedelta
from typing import Final

from connector_pipeline.sandbox.shops.awkward import (
    AWKWARD_TITLES,
    COLOURS,
    PLAIN_NOUNS,
    PLAIN_WORDS,
    SIZES,
)
from connector_pipeline.sandbox.shops.draws import draw, money
from connector_pipeline.sandbox.shops.records import ShopifyProduct, ShopifyVariant
from connector_pipeline.sandbox.shops.spec import EPOCH, LARGEST_PRODUCT, ShopSpec

# The same in every shop, so that ids of two shops coincide and readers must keep them apart.
_FIRST_PRODUCT: Final = 8_100_000_000_000
_FIRST_VARIANT: Final = 44_100_000_000_000
_PRODUCT_STEP: Final = 32_768

_BULK_EDIT: Final = EPOCH + timedelta(days=150)
_AWKWARD_STATUS: Final = {19: "DRAFT", 20: "ARCHIVED", 21: "UNLISTED"}
_FREE, _NO_SKU, _EMPTY_SKU, _SKU_ZERO, _NEGATIVE, _UNTRACKED, _NO_IMAGE = 12, 13, 14, 15, 16, 17, 18
_UNPUBLISHED, _VARIANT_CHANGED_LATER = 22, 23


class ShopifyCatalog:
    """Products by index. Nothing is kept: a date or a status costs one draw, a product several."""

    def __init__(self, spec: ShopSpec):
        self.spec = spec
        self._awkward = len(AWKWARD_TITLES) if spec.awkward else 0

    def product_id(self, index: int) -> int:
        return _FIRST_PRODUCT + index * _PRODUCT_STEP

    def index_of_product(self, product_id: int) -> int | None:
        index, rest = divmod(product_id - _FIRST_PRODUCT, _PRODUCT_STEP)
        return index if rest == 0 and index >= 0 else None

    def index_of_variant(self, variant_id: int) -> int | None:
        index = (variant_id - _FIRST_VARIANT) // LARGEST_PRODUCT
        return index if index >= 0 else None

    def variant_ids(self, index: int) -> range:
        first = _FIRST_VARIANT + index * LARGEST_PRODUCT
        return range(first, first + self._variant_count(index))

    def created_at(self, index: int) -> datetime:
        # Three products share a time, because an import creates several within one second.
        return EPOCH + timedelta(seconds=index // 3 * 20)

    def updated_at(self, index: int) -> datetime:
        number = draw(self.spec.seed, index, 1)
        if number % 10 == 0:
            return _BULK_EDIT
        return self.created_at(index) + timedelta(minutes=number // 10 % (200 * 24 * 60))

    def status(self, index: int) -> str:
        if index < self._awkward:
            return _AWKWARD_STATUS.get(index, "ACTIVE")
        number = draw(self.spec.seed, index, 2) % 100
        if number < 94:
            return "ACTIVE"
        return "DRAFT" if number < 97 else "ARCHIVED" if number < 99 else "UNLISTED"

    def product(self, index: int) -> ShopifyProduct:
        number = draw(self.spec.seed, index, 3)
        images = 0 if index == _NO_IMAGE and self._awkward else 1 + number % 3
        if index >= self._awkward and number % 25 == 0:
            images = 0
        image_urls = tuple(self._image_url(index, place) for place in range(images))
        variants = tuple(
            self._variant(index, place, variant_id, image_urls)
            for place, variant_id in enumerate(self.variant_ids(index))
        )
        return ShopifyProduct(
            id=self.product_id(index),
            title=self._title(index, number),
            status=self.status(index),
            published_at=self._published_at(index),
            created_at=self.created_at(index),
            updated_at=self.updated_at(index),
            image_urls=image_urls,
            variants=variants,
        )

    def _published_at(self, index: int) -> datetime | None:
        if index < self._awkward:
            return None if index == _UNPUBLISHED else self.created_at(index)
        unpublished = draw(self.spec.seed, index, 6) % 40 == 0
        return None if unpublished else self.created_at(index)

    def _title(self, index: int, number: int) -> str:
        if index < self._awkward:
            return AWKWARD_TITLES[index]
        word = PLAIN_WORDS[number // 7 % len(PLAIN_WORDS)]
        return f"{word} {PLAIN_NOUNS[number // 131 % len(PLAIN_NOUNS)]} {index}"

    def _variant_count(self, index: int) -> int:
        if index < self._awkward:
            return 1 + index % 3
        if index - self._awkward < len(self.spec.big_products):
            return self.spec.big_products[index - self._awkward]
        least, most = self.spec.variants
        return least + draw(self.spec.seed, index, 4) % (most - least + 1)

    def _image_url(self, index: int, place: int) -> str:
        return f"https://cdn.example/{self.spec.domain}/files/{index}-{place}.jpg?v=17&width=800"

    def _variant(
        self, index: int, place: int, variant_id: int, image_urls: tuple[str, ...]
    ) -> ShopifyVariant:
        awkward = index < self._awkward
        number = draw(self.spec.seed, index, 5, place)
        tracked = number % 10 != 0 and not (awkward and index == _UNTRACKED)
        quantity = number // 10 % 204 - 3
        if awkward and index == _NEGATIVE:
            quantity = -1 - place
        # A variant that is not tracked states no quantity, 0, or one from earlier
        # (docs/facts/shopify.md, Products and variants).
        untracked = (None, 0, quantity)[number // 10 % 3]
        policy = draw(self.spec.seed, index, 7, place) % 5
        updated_at = self.updated_at(index)
        if awkward and index == _VARIANT_CHANGED_LATER:
            updated_at += timedelta(hours=1 + place)
        own_image = image_urls and number // 2048 % 4 == 0
        return ShopifyVariant(
            id=variant_id,
            title=self._variant_title(index, place),
            sku=self._sku(index, place, number),
            price=self._price(index, number),
            inventory_quantity=quantity if tracked else untracked,
            inventory_policy="CONTINUE" if policy == 0 else "DENY",
            tracked=tracked,
            image_url=self._image_url(index, 100 + place) if own_image else None,
            created_at=self.created_at(index),
            updated_at=updated_at,
            position=place + 1,
        )

    def _variant_title(self, index: int, place: int) -> str:
        if self._variant_count(index) == 1:
            return "Default Title"
        if index < self._awkward:
            return f"{AWKWARD_TITLES[index][:40]} / {SIZES[place % len(SIZES)]}"
        around, colour = divmod(place, len(COLOURS))
        edition, size = divmod(around, len(SIZES))
        title = f"{COLOURS[colour]} / {SIZES[size]}"
        return title if edition == 0 else f"{title} / {edition}"

    def _sku(self, index: int, place: int, number: int) -> str | None:
        if index < self._awkward and index in (_NO_SKU, _EMPTY_SKU, _SKU_ZERO):
            return {_NO_SKU: None, _EMPTY_SKU: "", _SKU_ZERO: "0"}[index]
        return None if number % 50 == 1 else f"S{self.spec.seed}-{index}-{place}"

    def _price(self, index: int, number: int) -> str:
        if index < self._awkward and index == _FREE:
            return money(0, self.spec.decimals)
        return money(100 + number // 4096 % 99_900, self.spec.decimals)
