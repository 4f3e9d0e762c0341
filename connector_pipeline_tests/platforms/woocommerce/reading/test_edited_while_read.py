"""Promise: a shop that is edited while it is read becomes complete, and no live item is unread."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.woocommerce.mishaps import Mishaps
from connector_pipeline.sandbox.woocommerce.scripted_edits import ACTIONS, Script, ScriptedEdit
from connector_pipeline_tests.platforms.woocommerce.shop_reading import ENDPOINTS, SMALL, Reading

SHOP = replace(SMALL, domain="edited.example", products=24, awkward=False)

edits = st.lists(
    st.builds(
        ScriptedEdit,
        before=st.integers(2, 40),
        action=st.sampled_from(ACTIONS),
        which=st.integers(0, 40),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    """One sandbox for the module."""
    with SandboxServer(()) as running:
        yield running


@dataclass
class Witnessed(Script):
    """A script that keeps the variants that the shop sold before each answer since the first."""

    always: set[str] | None = field(default=None)

    def before_answer(self, shop: SandboxShop) -> None:
        """Make the edits, and forget the variants that are gone, if only for a while."""
        super().before_answer(shop)
        now = {row["variant_id"] for row in expected_items(shop)}
        self.always = now if self.always is None else self.always & now


def read(
    sandbox: SandboxServer, spec: ShopSpec, script: Witnessed, mishaps: Mishaps, size: int
) -> tuple[Reading, set[str]]:
    """Read the shop while the merchant edits; the variants that were read."""
    shop = sandbox.store.put(spec)
    shop.mishaps, shop.script = mishaps, script
    reading = Reading(sandbox, spec, batch_size=size)
    asyncio.run(reading.read())
    return reading, {row["variant_id"] for row in reading.items()}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@given(
    steps=edits,
    size=st.sampled_from([5, 7, 10, 100]),
    unloadable=st.booleans(),
    orphans=st.sampled_from([0, 3]),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_all_is_read_only_if_nothing_that_stayed_was_missed(
    sandbox: SandboxServer,
    endpoint: str,
    steps: list[ScriptedEdit],
    size: int,
    unloadable: bool,
    orphans: int,
) -> None:
    """A list skips live products where deleted and added ones hide it in the totals."""
    spec = replace(SHOP, orphan_variations=orphans, **ENDPOINTS[endpoint])
    victim = sandbox.store.put(spec).product_ids()[4]
    script = Witnessed(steps)
    mishaps = Mishaps(unloadable=(victim,)) if unloadable else Mishaps()
    reading, found = read(sandbox, spec, script, mishaps, size)
    assert script.always is not None
    if reading.report.complete or reading.report.all_read:
        missed = script.always - found
        of_victim = {
            row["variant_id"] for row in reading.expected() if row["product_id"] == str(victim)
        }
        assert missed <= (of_victim if unloadable else set())


@pytest.mark.parametrize("action", ["trash", "delete", "unpublish"])
@pytest.mark.parametrize("request_number", range(3, 7))
def test_an_added_product_does_not_hide_that_the_list_skipped_one(
    sandbox: SandboxServer, action: str, request_number: int
) -> None:
    """The totals of all pages and the ids agree, and a live product is on none of them."""
    gone, added = (ScriptedEdit(request_number, each) for each in (action, "add"))
    script = Witnessed([gone, added])
    reading, found = read(sandbox, SHOP, script, Mishaps(), 5)
    assert script.always is not None
    assert script.always <= found
    assert reading.report.all_read


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_merchant_who_edits_before_each_answer_does_not_keep_a_shop_from_being_read(
    sandbox: SandboxServer, endpoint: str
) -> None:
    """Of ten readings, each with an edit a request, nearly all have everything, in one go."""
    spec = replace(SHOP, products=120, **ENDPOINTS[endpoint])
    all_read = 0
    for seed in range(10):
        chance = random.Random(seed)
        script = Witnessed(
            [
                ScriptedEdit(before, chance.choice(ACTIONS), chance.randrange(120))
                for before in range(2, 200)
            ]
        )
        reading, found = read(sandbox, spec, script, Mishaps(), 10)
        all_read += reading.report.all_read
        assert script.always is not None
        assert not reading.report.all_read or script.always <= found
    assert all_read >= 9
