"""Promises about rate limits as platforms state them."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.platforms.kit.rest.rate_headers import RateHeaders

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
LIMITS = RateHeaders(
    retry_after=("X-Wait", "X-Wait-Ms", "Retry-After"), used=("X-Calls",), leaks_per_second=2
)
NAMES = [
    *LIMITS.retry_after,
    *LIMITS.remaining,
    *LIMITS.reset,
    *LIMITS.combined,
    *LIMITS.used,
]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:09 GMT"}, 9),
        ({"Retry-After": "Wed, 31 Dec 2025 00:00:09 GMT"}, 0),
        ({"X-Wait": "3", "Retry-After": "7"}, 3),
        ({"X-Wait": "soon", "Retry-After": "7"}, 7),
        ({"X-Wait-Ms": "1500"}, 1.5),
        ({"X-RateLimit-Reset": "12"}, 12),
        ({"X-RateLimit-Reset": str(EPOCH + 12)}, 12),
        ({"X-RateLimit-Reset": str((EPOCH + 12) * 1000)}, 12),
        ({"X-RateLimit-Reset": "2026-01-01T00:00:12Z"}, 12),
        ({"X-RateLimit-Reset": "2026-01-01T00:00:12"}, 12),
        ({"X-RateLimit-Reset": str(EPOCH - 5)}, 0),
        ({"RateLimit": '"default";r=0;t=30'}, 30),
        ({"RateLimit": "limit=100, remaining=0, reset=30"}, 30),
        ({"RateLimit": '"minute";r=5;t=20, "hour";r=0;t=900'}, 900),
        ({"X-Calls": "40/40"}, 0.5),
    ],
)
def test_a_refusal_says_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """The platform's own header for waits is read first, then its limit."""
    assert LIMITS.after_refusal(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, None),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "12"}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}, 12),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "3"}, 3),
        ({"X-RateLimit-Remaining": "0"}, None),
        ({"X-RateLimit-Reset": "12"}, None),
        ({"RateLimit": '"default";r=49;t=30'}, None),
        ({"RateLimit": '"default";r=0;t=30'}, 30),
        ({"X-Calls": "39/40"}, None),
        ({"X-Calls": "40/40"}, 0.5),
    ],
)
def test_the_last_request_allowed_says_when_the_next_is(
    headers: dict[str, str], seconds: float | None
) -> None:
    """An answer that was not the last one allowed asks for no wait."""
    assert LIMITS.after_answer(headers, NOW) == seconds


WRITTEN = (
    st.text(max_size=40)
    | st.from_regex(r'\A"?[a-z]*"?;r=\d+;t=-?\d+\Z')
    | st.from_regex(r"\A-?\d+(\.\d+)?(/\d+)?\Z")
    | st.datetimes().map(datetime.isoformat)
    | st.sampled_from(["NaN", "Infinity", "1e999", "9" * 400, "0x10", "\u0663", "-1", ""])
)


@given(st.dictionaries(st.sampled_from(NAMES), WRITTEN))
@example({"X-RateLimit-Reset": "0001-01-01T00:00:00+14:00"})
@example({"RateLimit-Reset": "9999-12-31T23:59:59-14:00", "RateLimit-Remaining": "0"})
def test_nothing_that_is_written_there_breaks_the_reading(headers: dict[str, str]) -> None:
    """Any header gives a finite number of seconds, or none."""
    for wait in (LIMITS.after_refusal(headers, NOW), LIMITS.after_answer(headers, NOW)):
        assert wait is None or 0 <= wait < 1e15
