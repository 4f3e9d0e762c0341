"""The leaky bucket restores points with time, by a clock that only tests move."""

from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.sandbox.shopify.throttle import LeakyBucket


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_points_restore_with_time_and_no_further_than_the_maximum() -> None:
    """It restores 100 points a second, up to 2,000."""
    clock = Clock()
    bucket = LeakyBucket(clock=clock)
    assert bucket.take(1500)
    assert not bucket.take(501)
    clock.now += 0.01
    assert bucket.take(501)
    clock.now += 1000
    assert bucket.status() == {
        "maximumAvailable": 2000.0,
        "currentlyAvailable": 2000,
        "restoreRate": 100.0,
    }


def test_the_wait_that_the_status_gives_is_enough() -> None:
    """It is (requested - currentlyAvailable) / restoreRate seconds; a little less is too short."""
    clock = Clock()
    bucket = LeakyBucket(1000, 50, clock)
    bucket.take(900)
    status = bucket.status()
    clock.now += (400 - status["currentlyAvailable"]) / status["restoreRate"]
    assert bucket.take(400)


steps = st.tuples(st.sampled_from(["take", "refund", "wait"]), st.floats(0, 3000))


@given(st.lists(steps))
def test_the_bucket_never_leaves_its_bounds(steps: list[tuple[str, float]]) -> None:
    """They hold for any sequence of takes, refunds and waits."""
    clock = Clock()
    bucket = LeakyBucket(2000, 100, clock)
    for kind, amount in steps:
        if kind == "wait":
            clock.now += amount
        elif kind == "take":
            bucket.take(amount)
        else:
            bucket.refund(amount)
        assert 0 <= bucket.available <= 2000
