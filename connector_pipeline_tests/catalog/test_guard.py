"""The snapshots that the guard refuses, and those that it lets through."""

import pytest

from connector_pipeline.catalog.guard import refusal


@pytest.mark.parametrize(
    ("live", "gone", "items"),
    [
        (0, 0, 0),  # an empty shop stays empty
        (10, 0, 10),
        (49, 48, 1),  # a small shop may lose nearly all
        (50, 25, 25),  # exactly half is not more than half
        (100, 0, 0),  # all rejected: nothing is deleted
    ],
)
def test_a_plausible_snapshot_is_believed(live: int, gone: int, items: int) -> None:
    """These shops lose nothing or little, or are too small to judge."""
    assert refusal(live=live, gone=gone, items=items, full=True) is None


@pytest.mark.parametrize(("live", "gone", "items"), [(50, 26, 24), (1000, 501, 900)])
def test_a_snapshot_that_lost_more_than_half_is_refused(live: int, gone: int, items: int) -> None:
    """The refusal gives the numbers."""
    reason = refusal(live=live, gone=gone, items=items, full=True)
    assert reason is not None
    assert {str(live), str(gone), str(items)} <= set(reason.replace("'s", "").split())


@pytest.mark.parametrize("live", [1, 49, 50])
def test_an_empty_snapshot_of_a_shop_with_items_is_refused(live: int) -> None:
    """It is refused however few items the shop has."""
    assert refusal(live=live, gone=live, items=0, full=True) is not None


@pytest.mark.parametrize(
    ("live", "gone", "items", "refused"),
    [
        (10, 9, 0, False),  # nothing changed, and nine were deleted
        (10, 10, 0, True),
        (2, 2, 2, False),  # all variants of the only product were replaced
        (50, 25, 0, False),
        (50, 26, 0, True),
    ],
)
def test_an_increment_may_delete_without_changing_anything(
    live: int, gone: int, items: int, refused: bool
) -> None:
    """It has no items where nothing changed. It never empties a shop or deletes most of it."""
    assert (refusal(live=live, gone=gone, items=items, full=False) is not None) is refused
