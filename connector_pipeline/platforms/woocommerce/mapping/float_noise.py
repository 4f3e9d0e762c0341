"""Takes the noise of PHP's floats off a price (docs/facts/woocommerce.md, Prices).

Plugins compute prices as floats, and 4682.67 times 0.8 is then written 3746.1360000000004. Such a
price has more digits than a float carries, and lies next to one that the catalog can hold.
"""

import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

_COLUMN: Final = Decimal("0.000001")
_CARRIED: Final = 15
"""So many significant digits survive a float. A number of fewer digits is what somebody wrote."""

_ULPS: Final = 8
"""How far a few operations can lead away, in units of the float's last place."""

_REST: Final = Decimal("1e-11")
"""The same for the small rest of a larger sum: 10009.99 - 10000 is 9.989999999999782."""


def without_noise(price: Decimal) -> Decimal:
    """The price of at most six decimals that a float meant, or the number itself.

    A number that is not next to such a price really has more decimals and is returned as it is. So
    is one next to nothing: no price becomes free by rounding.
    """
    digits = price.normalize().as_tuple().digits
    if len(digits) < _CARRIED or price.adjusted() >= _CARRIED:
        return price
    meant = price.quantize(_COLUMN, ROUND_HALF_EVEN).normalize()
    if not meant or meant == price or len(meant.as_tuple().digits) > _CARRIED:
        # A float of more than fifteen digits before the seventh decimal carries that one no more.
        return price
    noise = abs(price - meant)
    return meant if noise <= _ULPS * Decimal(math.ulp(price)) or noise < _REST else price
