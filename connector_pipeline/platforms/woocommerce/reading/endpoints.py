"""Where a shop's lists are, and which of the endpoints for variations it has: found by asking.

The version a shop states is no help: plugins and hosts take routes away.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from connector_pipeline.platforms.woocommerce.mapping.normalize import ANALYTICS_VARIATIONS

PRODUCTS_ENDPOINT: Final = "/wc/v3/products"
ALL_VARIATIONS: Final = "/wc/v3/variations"
VARIATIONS_OF_PRODUCT: Final = "/wc/v3/products/{id}/variations"

IDS_AT_ONCE: Final = 100
"""How many objects are asked for by id in one request (docs/facts/woocommerce.md, Asking by id).

A request for 200 ids was answered by a header too big for a shop's web server.
"""

SHOP_WIDE: Final = (ALL_VARIATIONS, ANALYTICS_VARIATIONS)
"""Lists over all products, the better one first: the other takes a shop twice the time.

(docs/facts/woocommerce.md, Variations: endpoints.)
"""


@dataclass(slots=True)
class Endpoints:
    """What one shop was found to have, remembered for one reading. None: not asked yet."""

    variations: str | None = None

    def to_ask(self) -> Iterator[str]:
        """The shop-wide lists worth asking for, in order; none where only per-parent pages are."""
        if self.variations == VARIATIONS_OF_PRODUCT:
            return
        if self.variations is not None:
            yield self.variations
        yield from (each for each in SHOP_WIDE if each != self.variations)
