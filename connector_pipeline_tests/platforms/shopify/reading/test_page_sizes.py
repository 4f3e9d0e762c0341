"""Promises of the page sizes: they shrink at once, are remembered, and grow again."""

from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.shopify.reading.page_sizes import (
    FIRST_PATIENCE,
    LONGEST_PATIENCE,
    PageSizes,
)

USUAL = {"shop": {}, "products": {"first": 250, "variants": 250}, "variants": {"variants": 2048}}


def read(sizes: PageSizes, pages: int, *, most: int = 250) -> int:
    """Read so many full pages, none of more than `most` products; return how many failed."""
    failures = 0
    while pages:
        asked = sizes.of("products")
        if asked["first"] > most:
            assert sizes.too_heavy("products", asked)
            failures += 1
        else:
            sizes.read_well("products", asked, asked["first"])
            pages -= 1
    return failures


def test_a_page_too_heavy_halves_the_products_first() -> None:
    """Then the variants of a single product, down to a size that no shop can find heavy."""
    sizes = PageSizes(USUAL, {})
    tried = [sizes.of("products")]
    while sizes.too_heavy("products", tried[-1]):
        tried.append(sizes.of("products"))
    assert [each["first"] for each in tried[:8]] == [250, 125, 62, 31, 15, 7, 3, 1]
    assert [each["variants"] for each in tried[7:]] == [250, 125, 62, 31, 15, 10]
    assert sizes.of("variants") == {"variants": 2048}


def test_the_next_sync_begins_with_the_size_that_was_borne() -> None:
    """The memory is the report's, and holds nothing of a shop without trouble."""
    memory: dict[str, int] = {}
    read(PageSizes(USUAL, memory), 3)
    assert memory == {}
    read(PageSizes(USUAL, memory), 1, most=100)
    assert PageSizes(USUAL, memory).of("products") == {"first": 62, "variants": 250}


def test_a_single_failure_is_forgotten_after_some_full_pages() -> None:
    """The usual size must be borne for as many pages again."""
    memory: dict[str, int] = {}
    sizes = PageSizes(USUAL, memory)
    sizes.too_heavy("products", sizes.of("products"))
    read(sizes, FIRST_PATIENCE)
    assert sizes.of("products")["first"] == 250
    assert memory
    read(sizes, FIRST_PATIENCE)
    assert memory == {}


def test_a_shop_that_stays_heavy_is_asked_for_too_much_ever_more_seldom() -> None:
    """Of 1,000 pages few fail, and of the next 1,000 fewer."""
    memory: dict[str, int] = {}
    first = read(PageSizes(USUAL, memory), 1000, most=100)
    second = read(PageSizes(USUAL, memory), 1000, most=100)
    assert first <= 10
    assert second <= 1000 // LONGEST_PATIENCE + 1


def test_a_page_that_is_not_full_says_nothing_of_its_size() -> None:
    """An increment of a few products would make a heavy shop's pages grow."""
    sizes = PageSizes(USUAL, {})
    sizes.too_heavy("products", sizes.of("products"))
    for _ in range(10 * FIRST_PATIENCE):
        sizes.read_well("products", sizes.of("products"), 124)
    assert sizes.of("products")["first"] == 125


def test_a_page_too_expensive_is_not_remembered() -> None:
    """Its cost follows from its size and the shop's plan, and no failure is needed to know it."""
    memory: dict[str, int] = {}
    sizes = PageSizes(USUAL, memory)
    assert sizes.too_expensive("products", sizes.of("products"), bucket=False)
    assert sizes.of("products")["first"] == 125
    assert memory == {}


@given(st.dictionaries(st.sampled_from(["products.first", "products.good", "x"]), st.integers()))
def test_no_memory_makes_a_page_of_nothing(memory: dict[str, int]) -> None:
    """The memory comes from the database, and an older release may have written it."""
    asked = PageSizes(USUAL, memory).of("products")
    assert 1 <= asked["first"] <= 250


@given(st.lists(st.booleans(), max_size=60))
def test_sizes_stay_within_the_usual(outcomes: list[bool]) -> None:
    """Whatever fails and whatever is read well."""
    memory: dict[str, int] = {}
    for good in outcomes:
        sizes = PageSizes(USUAL, memory)
        asked = sizes.of("products")
        assert 1 <= asked["first"] <= 250
        assert 10 <= asked["variants"] <= 250
        if good:
            sizes.read_well("products", asked, asked["first"])
        elif not sizes.too_heavy("products", asked):
            assert asked == {"first": 1, "variants": 10}
