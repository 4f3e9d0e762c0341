"""The endpoints of a shop's lists. Only asking shows which ones a shop has for variations.

The version that a shop states does not show it, because plugins and hosts remove routes.
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

A header of the answer to 200 ids was too big for a shop's web server.
"""

SHOP_WIDE: Final = (ALL_VARIATIONS, ANALYTICS_VARIATIONS)
"""The lists of all variations of a shop, the better one first: the other takes twice the time.

See docs/facts/woocommerce.md, Variations: endpoints.
"""


@dataclass(slots=True)
class Endpoints:
    """The endpoint for variations that one shop has, kept for one reading; None if not asked."""

    variations: str | None = None

    def to_ask(self) -> Iterator[str]:
        """The shop-wide endpoints to try, in order; none if the shop has only lists by product."""
        if self.variations == VARIATIONS_OF_PRODUCT:
            return
        if self.variations is not None:
            yield self.variations
        yield from (each for each in SHOP_WIDE if each != self.variations)
