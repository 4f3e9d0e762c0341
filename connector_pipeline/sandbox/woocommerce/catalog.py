"""A WooCommerce shop's catalog, generated product by product from its spec."""

from datetime import datetime, timedelta
from typing import Final, Literal

from connector_pipeline.sandbox.shops.awkward import (
    AWKWARD_TITLES,
    COLOURS,
    PLAIN_NOUNS,
    PLAIN_WORDS,
    SIZES,
)
from connector_pipeline.sandbox.shops.draws import draw, money
from connector_pipeline.sandbox.shops.records import WooProduct, WooVariation
from connector_pipeline.sandbox.shops.spec import EPOCH, ShopSpec

_BULK_EDIT: Final = EPOCH + timedelta(days=150)
_COLOUR, _SIZE = "Färg", "Storlek"

_AWKWARD_STATUS: Final = {11: "pending", 19: "future", 20: "draft", 21: "private"}
_AWKWARD_TYPE: Final = {8: "external", 22: "grouped"} | dict.fromkeys(
    (0, 5, 10, 12, 13, 15, 16, 19), "simple"
)
_INHERITED, _PARENT_STOCK, _ANY, _UNMANAGED, _DISABLED, _NO_PRICE = 2, 3, 4, 5, 6, 7
_FOUR_DECIMALS, _FREE, _NO_SKU_NO_PRICE, _EMPTY_SKU, _SKU_ZERO, _NEGATIVE = 10, 12, 13, 14, 15, 16
_NO_VARIATIONS, _NO_IMAGE, _VARIATION_CHANGED_LATER = 17, 18, 23


class WooCatalog:
    """Products by index. Nothing is kept: a date or a status costs one draw, a product several."""

    def __init__(self, spec: ShopSpec):
        self.spec = spec
        self._awkward = len(AWKWARD_TITLES) if spec.awkward else 0
        # Products and variations have ids of one sequence, because both are WordPress posts.
        self._first = 1000 + spec.orphan_variations
        self._step = max(4, spec.variants[1], *spec.big_products, 0) + 1

    def product_id(self, index: int) -> int:
        return self._first + index * self._step

    def index_of_product(self, product_id: int) -> int | None:
        index, rest = divmod(product_id - self._first, self._step)
        return index if rest == 0 and index >= 0 else None

    def index_of_variant(self, variant_id: int) -> int | None:
        index, rest = divmod(variant_id - self._first, self._step)
        return index if rest != 0 and index >= 0 else None

    @property
    def orphan_ids(self) -> range:
        """Ids below all others, so that the first page by id is short.

        docs/facts/woocommerce.md, Lists: order and totals.
        """
        return range(self._first - self.spec.orphan_variations, self._first)

    def variant_ids(self, index: int) -> range:
        first = self.product_id(index) + 1
        return range(first, first + self._variation_count(index))

    def created_at(self, index: int) -> datetime:
        return EPOCH + timedelta(seconds=index // 3 * 20)

    def updated_at(self, index: int) -> datetime:
        number = draw(self.spec.seed, index, 1)
        if number % 10 == 0:
            return _BULK_EDIT
        return self.created_at(index) + timedelta(minutes=number // 10 % (200 * 24 * 60))

    def variant_updated_at(self, index: int, place: int) -> datetime:
        """When the variation last changed. An order moves its date, and not the parent's.

        docs/facts/woocommerce.md, Which dates move.
        """
        moved = timedelta(minutes=draw(self.spec.seed, index, 6, place) % (30 * 24 * 60))
        if index < self._awkward and index == _VARIATION_CHANGED_LATER:
            return self.updated_at(index) + timedelta(hours=1) + moved
        return max(self.created_at(index), self.updated_at(index) + moved - timedelta(days=20))

    def status(self, index: int) -> str:
        if index < self._awkward:
            return _AWKWARD_STATUS.get(index, "publish")
        number = draw(self.spec.seed, index, 2) % 100
        if number < 92 or self._is_former_variable(index):
            return "publish"
        return ("draft", "draft", "pending", "private", "future")[number % 5]

    def type(self, index: int) -> str:
        if index < self._awkward:
            return _AWKWARD_TYPE.get(index, "variable")
        if self._is_former_variable(index):
            return "simple"
        if self._variation_count(index) > 0:
            return "variable"
        number = draw(self.spec.seed, index, 7) % 20
        return "grouped" if number == 0 else "external" if number == 1 else "simple"

    def product(self, index: int) -> WooProduct:
        awkward = index if index < self._awkward else None
        number = draw(self.spec.seed, index, 3)
        kind = self.type(index)
        images = 0 if awkward == _NO_IMAGE or (awkward is None and number % 25 == 0) else 1
        images += number // 25 % 3 if images else 0
        managed = kind in ("simple", "variable") and number // 128 % 3 != 0
        if kind == "variable":
            managed = awkward == _PARENT_STOCK or (awkward is None and number // 128 % 12 == 0)
        if awkward in (_UNMANAGED, _NEGATIVE):
            managed = awkward == _NEGATIVE
        quantity = -4 if awkward == _NEGATIVE else number // 512 % 200
        return WooProduct(
            id=self.product_id(index),
            name=self._name(index, number),
            type=kind,
            status=self.status(index),
            sku=self._sku(index),
            price=self._price(index, kind, number),
            manage_stock=managed,
            stock_quantity=quantity if managed else None,
            stock_status="outofstock" if number % 30 == 7 else "instock",
            backorders=_backorders(number // 65_536),
            catalog_visibility="hidden" if number % 30 == 8 else "visible",
            image_urls=tuple(self._image_url(f"{index}-{place}") for place in range(images)),
            attributes=self._attributes(index),
            grouped_ids=tuple(self.product_id(child) for child in (0, 5, 12))
            if kind == "grouped"
            else (),
            created_at=self.created_at(index),
            updated_at=self.updated_at(index),
            variations=tuple(
                self._variation(index, place, variant_id, managed)
                for place, variant_id in enumerate(self.variant_ids(index))
            ),
        )

    def _is_former_variable(self, index: int) -> bool:
        first = self._awkward + len(self.spec.big_products)
        return first <= index < first + self.spec.former_variables

    def _variation_count(self, index: int) -> int:
        if index < self._awkward:
            kind = _AWKWARD_TYPE.get(index, "variable")
            return 0 if kind != "variable" or index == _NO_VARIATIONS else 2 + index % 2
        if self._is_former_variable(index):
            return 3
        if index - self._awkward < len(self.spec.big_products):
            return self.spec.big_products[index - self._awkward]
        least, most = self.spec.variants
        count = least + draw(self.spec.seed, index, 4) % (most - least + 1)
        return count if count > 1 else 0

    def _name(self, index: int, number: int) -> str:
        if index < self._awkward:
            return AWKWARD_TITLES[index]
        word = PLAIN_WORDS[number // 7 % len(PLAIN_WORDS)]
        return f"{word} {PLAIN_NOUNS[number // 131 % len(PLAIN_NOUNS)]} {index}"

    def _sku(self, index: int) -> str:
        if index < self._awkward and index in (_NO_SKU_NO_PRICE, _EMPTY_SKU, _SKU_ZERO):
            return "0" if index == _SKU_ZERO else ""
        return f"W{self.spec.seed}-{index}"

    def _price(self, index: int, kind: str, number: int) -> str:
        awkward = index if index < self._awkward else None
        if kind in ("variable", "grouped") or awkward == _NO_SKU_NO_PRICE:
            return ""
        if awkward in (_FREE, _FOUR_DECIMALS):
            return "0" if awkward == _FREE else "0.1234"
        return self._typed(100 + number // 4096 % 99_900)

    def _typed(self, amount: int) -> str:
        """A price as merchants type it: sometimes "949.95", sometimes "950".

        docs/facts/woocommerce.md, Prices.
        """
        if amount % 3 == 0:
            return str(amount // 10**self.spec.decimals + 1)
        return money(amount, self.spec.decimals)

    def _image_url(self, name: str) -> str:
        return f"https://{self.spec.domain}/wp-content/uploads/2026/01/{name}.png"

    def _attributes(self, index: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
        count = self._variation_count(index)
        if count == 0:
            return ()
        if count <= len(COLOURS) and index % 2 == 0:
            return ((_COLOUR, COLOURS[:count]),)
        sizes = tuple(self._size(around) for around in range(-(-count // len(COLOURS))))
        return ((_COLOUR, COLOURS[: min(count, len(COLOURS))]), (_SIZE, sizes))

    def _size(self, around: int) -> str:
        edition, size = divmod(around, len(SIZES))
        return SIZES[size] if edition == 0 else f"{SIZES[size]} {edition}"

    def _variation(
        self, index: int, place: int, variant_id: int, parent_manages: bool
    ) -> WooVariation:
        awkward = index if index < self._awkward else None
        number = draw(self.spec.seed, index, 5, place)
        manage_stock: bool | Literal["parent"] = number % 10 != 0
        if awkward == _PARENT_STOCK or (parent_manages and not manage_stock):
            manage_stock = "parent"
        around, colour = divmod(place, len(COLOURS))
        attributes = tuple(
            (name, COLOURS[colour] if name == _COLOUR else self._size(around))
            for name, _ in self._attributes(index)
        )
        if awkward == _ANY:
            attributes = attributes if place else ()
        inherits = awkward in (_INHERITED, _EMPTY_SKU)
        own_image = not inherits and awkward != _NO_IMAGE and number // 2048 % 4 == 0
        return WooVariation(
            id=variant_id,
            attributes=attributes,
            sku=None if inherits or number % 20 == 1 else f"W{self.spec.seed}-{index}-{place}",
            price="" if awkward == _NO_PRICE else self._typed(100 + number // 4096 % 99_900),
            manage_stock=manage_stock,
            stock_quantity=number // 10 % 204 - 3 if manage_stock is True else None,
            stock_status="onbackorder" if number % 30 == 10 else "instock",
            backorders=_backorders(number // 65_536),
            image_url=self._image_url(f"{index}-v{place}") if own_image else None,
            status="private" if awkward == _DISABLED and place == 1 else "publish",
            created_at=self.created_at(index),
            updated_at=self.variant_updated_at(index, place),
        )


def _backorders(number: int) -> str:
    return ("yes", "notify", "no", "no", "no", "no")[number % 6]
