"""One shop of a sandbox: what its platform has of it beside the products, and how it is edited."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from connector_pipeline.sandbox.shopify.bulk_operations import BulkOperations
from connector_pipeline.sandbox.shopify.short_lists import ShortLists
from connector_pipeline.sandbox.shopify.throttle import LeakyBucket
from connector_pipeline.sandbox.shopify.trouble import Trouble
from connector_pipeline.sandbox.shops.contents import NoSuchRecord, ShopContents
from connector_pipeline.sandbox.shops.credentials import ShopCredentials
from connector_pipeline.sandbox.shops.edits import edited, now
from connector_pipeline.sandbox.shops.records import (
    Product,
    ShopEvent,
    ShopifyProduct,
    ShopifyVariant,
    Variant,
    WooProduct,
    WooVariation,
    variants_of,
)
from connector_pipeline.sandbox.shops.replica import Replica
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.webhooks.happening import Happening, Kind, Listener
from connector_pipeline.sandbox.webhooks.shopify_subscriptions import ShopifySubscriptions
from connector_pipeline.sandbox.webhooks.woo_webhooks import WooWebhooks
from connector_pipeline.sandbox.woocommerce.mishaps import NONE

if TYPE_CHECKING:
    from connector_pipeline.sandbox.woocommerce.scripted_edits import Script

_FIRST_EVENT = 91_000_000_001


class SandboxShop(ShopContents):
    """One shop: its contents, what its platform has of it beside them, and edits.

    Any thread may read and edit: tests edit while the server reads.
    """

    def __init__(self, spec: ShopSpec):
        super().__init__(spec)
        self.credentials = ShopCredentials(spec.domain)
        self.bucket = LeakyBucket()
        self.bulk = BulkOperations(spec.domain)
        self.trouble = Trouble()
        self.subscriptions = ShopifySubscriptions(spec.domain)
        """An app's subscriptions at Shopify."""
        self.webhooks = WooWebhooks()
        """The webhooks that a WooCommerce shop has on record."""
        self.listener: Listener | None = None
        """Hears of each edit that a platform may send webhooks of."""
        self.broken: dict[int, str | None] = {}
        """Objects whose pages fail: by id, the field that cannot be made, or None if none of the
        object's fields can (docs/facts/woocommerce.md, Pages that fail)."""
        self.mishaps = NONE
        """The mishaps of a WooCommerce shop's lists."""
        self.script: Script | None = None
        """The edits that a WooCommerce merchant makes while the shop is read."""
        self.forms: dict[str, str] = {}
        """Fields that come in another JSON type than documented: by field, the form's name."""
        self.events: list[ShopEvent] = []
        """Creations and deletions, oldest first (docs/facts/shopify.md, Deletions)."""
        self.short = ShortLists()
        """How Shopify's lists leave objects out."""
        self._replica: Replica[SandboxShop] = Replica()

    def stay_behind(self, seconds: float) -> None:
        """Show each edit to readers so many seconds late: inf shows none, 0 shows all at once."""
        with self.lock:
            self._replica.stay_behind(seconds, self._as_it_is())

    def as_read(self) -> "SandboxShop":
        """The shop as the platform's readers see it now."""
        with self.lock:
            return self._replica.shown() or self

    def _as_it_is(self) -> "SandboxShop":
        state = copy(self)
        for name in ("_edited", "_removed", "_trashed", "_removed_variants", "_orphans", "events"):
            setattr(state, name, copy(getattr(self, name)))
        state._answers = {}
        return state

    def listen(self, listener: Listener) -> None:
        """Let the listener hear of everything from now on."""
        self.listener = listener
        self.bulk.awaited = lambda: listener.awaits_bulk(self)
        self.bulk.ended = lambda each: self.happened(Kind.BULK_FINISHED, each.number)
        listener.joined(self)

    def happened(self, kind: Kind, about: int = 0, *, at: datetime | None = None) -> None:
        """Say that something happened, to whoever listens. An edit says so by itself."""
        if self.listener is not None:
            self.listener.happened(self, Happening(kind, about, at or now()))

    def edit_product(
        self, product_id: int, changes: Mapping[str, Any], *, at: datetime | None = None
    ) -> Product:
        """Set fields, and `updated_at` to `at` unless the changes name it. Raises NoSuchRecord."""
        with self.lock:
            product = self._existing(product_id)
            moved: dict[str, Any] = {} if at is None else {"updated_at": at}
            kept = self._keep(edited(product, moved | dict(changes)))
            self._edit_happened(Kind.PRODUCT_UPDATED, product_id, at)
            return kept

    def edit_variant(
        self, variant_id: int, changes: Mapping[str, Any], *, at: datetime | None = None
    ) -> Variant:
        """Set fields of a variant. Raises NoSuchRecord.

        Shopify moves the product's date too, WooCommerce only if the price changed
        (docs/facts/woocommerce.md, Which dates move).
        """
        with self.lock:
            found = self.variant(variant_id)
            if found is None:
                raise NoSuchRecord(f"{self.key} has no variant {variant_id}")
            product, variant = found
            moved: dict[str, Any] = {} if at is None else {"updated_at": at}
            changed = edited(variant, moved | dict(changes))
            product = _with_variants(
                product,
                [changed if other.id == variant_id else other for other in variants_of(product)],
            )
            whole = isinstance(product, ShopifyProduct) or "price" in changes
            if at is not None and whole:
                product = replace(product, updated_at=at)
            self._keep(product)
            self._edit_happened(Kind.VARIANT_UPDATED, variant_id, at)
            if "inventory_quantity" in changes:
                self._edit_happened(Kind.STOCK_CHANGED, variant_id, at)
            if whole:
                self._edit_happened(Kind.PRODUCT_UPDATED, product.id, at)
            return changed

    def remove_product(self, product_id: int, *, at: datetime | None = None) -> None:
        """Delete for good: lists lack it, and its id is a 404. Raises NoSuchRecord.

        Of the deletion an event tells, at the time `at`, else now.
        """
        with self.lock:
            self._removed[self._index(product_id)] = self._existing(product_id)
            self._tell("destroy", product_id, at or now())
            self._changed()
            self.happened(Kind.PRODUCT_DELETED, product_id, at=at)

    def orphan_variations_of(self, product_id: int) -> list[int]:
        """Delete a product's row alone, as importers do: its variations become orphans.

        Returns their ids. Raises NoSuchRecord.
        """
        with self.lock:
            orphans = variants_of(self._existing(product_id))
            self._orphans |= {each.id: each for each in orphans}
            self.remove_product(product_id)
            return [each.id for each in orphans]

    def trash_product(self, product_id: int, *, at: datetime | None = None) -> None:
        """Move to WooCommerce's trash: lists lack it, and its id still answers."""
        with self.lock:
            product = self._existing(product_id)
            if not isinstance(product, WooProduct):
                raise NoSuchRecord(f"{self.key}: only WooCommerce has a trash")
            self._trashed[self._index(product_id)] = replace(
                product, updated_at=at or product.updated_at
            )
            self._changed()
            self.happened(Kind.PRODUCT_TRASHED, product_id, at=at)

    def remove_variant(self, variant_id: int, *, at: datetime | None = None) -> None:
        """Delete one variant, which on Shopify changes its product, too. Raises NoSuchRecord."""
        with self.lock:
            found = self.variant(variant_id)
            if found is None:
                raise NoSuchRecord(f"{self.key} has no variant {variant_id}")
            product, variant = found
            self._removed_variants[variant_id] = variant
            left = [other for other in variants_of(product) if other.id != variant_id]
            product = _with_variants(product, left)
            if at is not None and isinstance(product, ShopifyProduct):
                product = replace(product, updated_at=at)
            self._keep(product)
            if isinstance(product, ShopifyProduct):
                self._edit_happened(Kind.PRODUCT_UPDATED, product.id, at)

    def restore_product(self, product_id: int, *, at: datetime | None = None) -> Product:
        """Bring a removed or trashed product back. Raises NoSuchRecord."""
        with self.lock:
            index = self._index(product_id)
            removed, trashed = self._removed.pop(index, None), self._trashed.pop(index, None)
            product = removed or trashed
            if product is None:
                raise NoSuchRecord(f"{self.key} has no removed product {product_id}")
            kept = self._keep(replace(product, updated_at=at or product.updated_at))
            kind = Kind.PRODUCT_CREATED if trashed is None else Kind.PRODUCT_RESTORED
            self._edit_happened(kind, product_id, at)
            return kept

    def restore_variant(self, variant_id: int, *, at: datetime | None = None) -> Variant:
        """Bring a removed variant back to its place. Raises NoSuchRecord."""
        with self.lock:
            index = self.catalog.index_of_variant(variant_id)
            variant = self._removed_variants.get(variant_id)
            if variant is None or index is None or self._is_gone(index):
                raise NoSuchRecord(f"{self.key} has no removed variant {variant_id}")
            del self._removed_variants[variant_id]
            variant = replace(variant, updated_at=at or variant.updated_at)
            product = self._at(index)
            variants = sorted([*variants_of(product), variant], key=lambda each: each.id)
            product = _with_variants(product, variants)
            if at is not None and isinstance(product, ShopifyProduct):
                product = replace(product, updated_at=at)
            self._keep(product)
            self._edit_happened(Kind.VARIANT_CREATED, variant_id, at)
            if isinstance(product, ShopifyProduct):
                self._edit_happened(Kind.PRODUCT_UPDATED, product.id, at)
            return variant

    def append_products(self, count: int, *, at: datetime | None = None) -> list[int]:
        """Add products with the highest ids, created and updated `at`. Returns their ids."""
        with self.lock:
            added = range(self._size, self._size + max(0, count))
            self._size = added.stop
            for index in added:
                product = self.catalog.product(index)
                if at is not None:
                    born = [
                        replace(variant, created_at=at, updated_at=at)
                        for variant in variants_of(product)
                    ]
                    product = _with_variants(product, born)
                    product = replace(product, created_at=at, updated_at=at)
                self._edited[index] = product
                self._tell("create", product.id, product.created_at)
            self._changed()
            ids = [self.catalog.product_id(index) for index in added]
            for product_id in ids:
                self._edit_happened(Kind.PRODUCT_CREATED, product_id, at)
            return ids

    def _edit_happened(self, kind: Kind, about: int, at: datetime | None) -> None:
        # An edit that moves no date is one straight in the shop's database: nothing hears of it.
        if at is not None:
            self.happened(kind, about, at=at)

    def _keep(self, product: Product) -> Product:
        self._edited[self._index(product.id)] = product
        self._changed()
        return product

    def _tell(self, action: str, product_id: int, at: datetime) -> None:
        number = _FIRST_EVENT + len(self.events)
        self.events.append(ShopEvent(number, action, "PRODUCT", product_id, at))

    def _changed(self) -> None:
        self._answers.clear()
        if self._replica.is_behind:
            self._replica.keep(self._as_it_is())


def _with_variants(product: Product, variants: Sequence[Variant]) -> Product:
    if isinstance(product, ShopifyProduct):
        return replace(product, variants=cast("tuple[ShopifyVariant, ...]", tuple(variants)))
    return replace(product, variations=cast("tuple[WooVariation, ...]", tuple(variants)))
