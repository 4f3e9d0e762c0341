"""Changes prices in many shops, one after the other at a rate, as their merchants would."""

import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from threading import Lock, Thread
from typing import Any, Final

from connector_pipeline.sandbox.shops.contents import NoSuchRecord
from connector_pipeline.sandbox.shops.edits import InvalidEdit, now
from connector_pipeline.sandbox.shops.records import WooProduct, variants_of
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.store import Store

_MOST: Final = 100_000
_TRIES: Final = 100


@dataclass(frozen=True, slots=True)
class PricePlan:
    """`count` edits over `shops` of the sandbox's shops (None: all), `per_second` of them.

    The shops take turns. Which product changes, and to which price, follows from `seed`.
    """

    count: int = 200
    shops: int | None = None
    per_second: float = 10.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.count <= _MOST:
            raise InvalidEdit(f"count: expected 1 to {_MOST}")
        if self.per_second <= 0 or (self.shops is not None and self.shops < 1):
            raise InvalidEdit("per_second and shops are positive")


@dataclass(frozen=True, slots=True)
class PriceEdit:
    """One edit. `variant_id` is as in the catalog; `at` is the real time of the edit."""

    platform: str
    domain: str
    product_id: str
    variant_id: str
    price: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"at": self.at.isoformat()}


class PriceEdits:
    """The edits of one plan at a time, made in a thread."""

    def __init__(self, store: Store):
        self._store = store
        self._lock = Lock()
        self._plan: PricePlan | None = None
        self._made: list[PriceEdit] = []
        self._under_way = False

    def start(self, body: Mapping[str, Any]) -> None:
        """Begin to follow a plan. Raises InvalidEdit, also while another one is followed."""
        unknown = sorted(body.keys() - {each.name for each in fields(PricePlan)})
        if unknown:
            raise InvalidEdit(f"unknown: {', '.join(unknown)}")
        plan = PricePlan(**body)
        shops = [shop for shop in self._store if shop.product_ids()][: plan.shops]
        if not shops:
            raise InvalidEdit("no shop has products")
        with self._lock:
            if self._under_way:
                raise InvalidEdit("the edits of the plan before are still being made")
            self._plan, self._made, self._under_way = plan, [], True
        Thread(target=self._follow, args=(plan, shops), name="price-edits", daemon=True).start()

    def _follow(self, plan: PricePlan, shops: list[SandboxShop]) -> None:
        chances = random.Random(plan.seed)  # noqa: S311  no secrets
        began = time.monotonic()
        for number in range(plan.count):
            time.sleep(max(0.0, began + number / plan.per_second - time.monotonic()))
            with suppress(NoSuchRecord):
                edit = change_price(shops[number % len(shops)], chances)
                with self._lock:
                    self._made.append(edit)
        with self._lock:
            self._under_way = False

    def as_json(self) -> dict[str, Any]:
        """The plan, and the edits so far."""
        with self._lock:
            plan = None if self._plan is None else asdict(self._plan)
            return {
                "plan": plan,
                "done": not self._under_way,
                "made": [each.as_json() for each in self._made],
            }


def change_price(shop: SandboxShop, chances: random.Random) -> PriceEdit:
    """Give a variant that is in the catalog another price. Raises NoSuchRecord if none is found."""
    digits = shop.spec.decimals
    price = f"{chances.randrange(100, 99_999) / 10**digits:.{digits}f}"
    for _ in range(_TRIES):
        product_id = chances.choice(shop.product_ids())
        product = shop.product(product_id)
        if isinstance(product, WooProduct) and product.status != "publish":
            continue
        if isinstance(product, WooProduct) and product.type in ("simple", "external"):
            variant_id = f"{product_id}_default"
            shop.edit_product(product_id, {"price": price}, at=now())
        elif product is not None and variants_of(product):
            variant = chances.choice(variants_of(product))
            variant_id = str(variant.id)
            shop.edit_variant(variant.id, {"price": price}, at=now())
        else:
            continue
        return PriceEdit(
            shop.spec.platform,
            shop.spec.domain,
            str(product_id),
            variant_id,
            price,
            datetime.now(UTC),
        )
    raise NoSuchRecord(f"{shop.key} has no price to change")
