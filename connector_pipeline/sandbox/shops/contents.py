"""The products of a sandbox's shop: its generated catalog, with the edits made to it since."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from threading import RLock
from typing import Any, TypeVar, cast

from connector_pipeline.sandbox.shopify.catalog import ShopifyCatalog
from connector_pipeline.sandbox.shops.records import Product, Variant, WooProduct, variants_of
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.woocommerce.catalog import WooCatalog

T = TypeVar("T")

_KEPT_VARIANTS = 50_000


class NoSuchRecord(LookupError):
    """The sandbox has no such shop, or the shop has no product or variant of that id."""


class ShopContents:
    """A shop's products, as its readers see them; SandboxShop edits them.

    A product is generated when it is needed, and only edited ones are kept.
    """

    def __init__(self, spec: ShopSpec):
        self.spec = spec
        self.catalog: ShopifyCatalog | WooCatalog = (
            ShopifyCatalog(spec) if spec.platform == "shopify" else WooCatalog(spec)
        )
        self.lock = RLock()
        self._size = spec.products
        self._edited: dict[int, Product] = {}
        self._removed: dict[int, Product] = {}
        self._trashed: dict[int, WooProduct] = {}
        self._removed_variants: dict[int, Variant] = {}
        self._orphans: dict[int, Variant] = {}
        self._answers: dict[Any, Any] = {}
        self._generated: dict[int, Product] = {}
        self._generated_variants = 0

    @property
    def key(self) -> str:
        return f"{self.spec.platform}/{self.spec.domain}"

    def remembered(self, key: Any, compute: Callable[[], T]) -> T:
        """`compute()`, kept until the next edit of the shop."""
        with self.lock:
            if key not in self._answers:
                self._answers[key] = compute()
            return cast("T", self._answers[key])

    # Reading

    def product_ids(self) -> Sequence[int]:
        """The ids of all products, ascending, without removed and trashed ones."""
        return self.remembered("product_ids", self._product_ids)

    def _product_ids(self) -> Sequence[int]:
        gone = self._removed.keys() | self._trashed.keys()
        product_id = self.catalog.product_id
        return [product_id(index) for index in range(self._size) if index not in gone]

    def products(self) -> Iterator[Product]:
        """All products by ascending id, without removed and trashed ones."""
        for product_id in self.product_ids():
            yield self._at(self._index(product_id))

    def product(self, product_id: int) -> Product | None:
        """The product of that id, if it is neither removed nor trashed."""
        index = self.catalog.index_of_product(product_id)
        if index is None or index >= self._size or self._is_gone(index):
            return None
        return self._at(index)

    def trashed(self, product_id: int) -> WooProduct | None:
        """The trashed product of that id (docs/facts/woocommerce.md, Trash and deletions)."""
        index = self.catalog.index_of_product(product_id)
        return None if index is None else self._trashed.get(index)

    def trashed_ids(self) -> list[int]:
        return sorted(product.id for product in self._trashed.values())

    def variant(self, variant_id: int) -> tuple[Product, Variant] | None:
        """A variant with its product."""
        index = self.catalog.index_of_variant(variant_id)
        if index is None or index >= self._size or self._is_gone(index):
            return None
        product = self._at(index)
        for variant in variants_of(product):
            if variant.id == variant_id:
                return product, variant
        return None

    def variant_ids(self, product_id: int) -> Sequence[int]:
        """The ids of a product's variants. It generates none of them."""
        index = self._index(product_id)
        if index in self._edited:
            return [variant.id for variant in variants_of(self._edited[index])]
        return self.catalog.variant_ids(index)

    def updated_at(self, product_id: int) -> datetime:
        index = self._index(product_id)
        known = self._edited.get(index)
        return known.updated_at if known else self.catalog.updated_at(index)

    def created_at(self, product_id: int) -> datetime:
        index = self._index(product_id)
        known = self._edited.get(index)
        return known.created_at if known else self.catalog.created_at(index)

    def status(self, product_id: int) -> str:
        index = self._index(product_id)
        known = self._edited.get(index)
        return known.status if known else self.catalog.status(index)

    def product_type(self, product_id: int) -> str:
        """WooCommerce's type of a product; empty for Shopify's."""
        index = self._index(product_id)
        known = self._edited.get(index)
        if isinstance(known, WooProduct):
            return known.type
        return self.catalog.type(index) if isinstance(self.catalog, WooCatalog) else ""

    def is_edited(self, product_id: int) -> bool:
        """Whether somebody edited the product or one of its variants."""
        return self._index(product_id) in self._edited

    def orphans(self) -> Sequence[Variant]:
        """The variations whose product's row was deleted."""
        return list(self._orphans.values())

    def _index(self, product_id: int) -> int:
        index = self.catalog.index_of_product(product_id)
        if index is None or index >= self._size:
            raise NoSuchRecord(f"{self.key} has no product {product_id}")
        return index

    def _is_gone(self, index: int) -> bool:
        return index in self._removed or index in self._trashed

    def _existing(self, product_id: int) -> Product:
        product = self.product(product_id)
        if product is None:
            raise NoSuchRecord(f"{self.key} has no product {product_id}")
        return product

    def _at(self, index: int) -> Product:
        with self.lock:
            known = self._edited.get(index) or self._generated.get(index)
            if known is None:
                # Bounded, so that the memory of a shop of 100,000 products stays small.
                if self._generated_variants > _KEPT_VARIANTS:
                    self._generated.clear()
                    self._generated_variants = 0
                known = self.catalog.product(index)
                self._generated[index] = known
                self._generated_variants += 1 + len(variants_of(known))
            return known
