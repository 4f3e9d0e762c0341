"""The endpoints of a shop's lists. Only asking shows which ones a shop has for variations.

The version that a shop states does not show it, because plugins and hosts remove routes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import JsonValue

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


_LEARNED: Final = "variations_endpoint"
_AGAIN_AT: Final = "look_again_at"
_LOOK_AGAIN_AFTER: Final = timedelta(days=7)


@dataclass(slots=True)
class Endpoints:
    """The endpoint for variations that one shop has, kept for one reading; None if not asked.

    `learned` is `FetchReport.learned`. Where the shop fails with the list of all its variations, it
    is remembered there for a week, and the whole catalog is read product by product. The list of
    changes is asked for all the same, because it fails only if the changes have such objects.
    """

    variations: str | None = None
    learned: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def to_ask(self) -> Iterator[str]:
        """The shop-wide endpoints to try, in order; none if the shop has only lists by product."""
        if self.variations == VARIATIONS_OF_PRODUCT:
            return
        if self.variations is not None:
            yield self.variations
        yield from (each for each in SHOP_WIDE if each != self.variations)

    @property
    def whole_list_fails(self) -> bool:
        """Whether the shop failed with the list of all its variations in the last week."""
        match self.learned.get(_LEARNED):
            case {"look_again_at": str(written)}:
                try:
                    return datetime.now(UTC) < datetime.fromisoformat(written)
                except (TypeError, ValueError):
                    return False
            case _:
                return False

    def whole_list_failed(self) -> None:
        """Go down to the lists by product, in this sync and in those of the next week."""
        self.variations = VARIATIONS_OF_PRODUCT
        again_at = datetime.now(UTC) + _LOOK_AGAIN_AFTER
        self.learned[_LEARNED] = {
            "endpoint": VARIATIONS_OF_PRODUCT,
            _AGAIN_AT: again_at.isoformat(timespec="seconds"),
        }

    def whole_list_was_read(self) -> None:
        """Forget an earlier failure."""
        self.learned.pop(_LEARNED, None)
