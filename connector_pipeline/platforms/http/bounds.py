"""How much of one answer is read: its bytes, after decoding, and what its JSON costs in memory.

A few bytes of JSON can cost much memory: 60 MB of `[],` cost 1.5 GB. So both are bounded, and a
page past its bound is asked for in smaller pages. Several answers of one shop are in memory at a
time (up to eight pages of a list are asked for ahead), and a run has many shops.
"""

from dataclasses import dataclass
from typing import Final

from connector_pipeline.model.errors import InvalidResponse

MEGABYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bound:
    """The most bytes of a body, and the most bytes that its parsed JSON may take.

    The bytes of the JSON are those that `json_shape.most_memory` estimates, several times of what
    usual JSON takes.
    """

    body: int
    parsed: int


PAGE: Final = Bound(2 * MEGABYTE, 16 * MEGABYTE)
"""A page of a list, or any other answer: 100 products with all their fields take 0.1 to 1 MB."""

LARGE_PAGE: Final = Bound(4 * MEGABYTE, 24 * MEGABYTE)
"""A page of a platform that gives thousands of variants at once: 5,000 take 2 MB."""

CREDENTIALS: Final = Bound(64 * 1024, MEGABYTE)
"""An answer of the Token Service."""

MOST_OF_A_REFUSAL: Final = 256 * 1024
"""The bytes that are read of an answer with a status of 400 or more: its cause is in the first."""


class TooLarge(Exception):
    """An answer is past its bound. `error` is the error to raise where less cannot be asked for."""

    def __init__(self, error: InvalidResponse):
        super().__init__(str(error))
        self.error = error
