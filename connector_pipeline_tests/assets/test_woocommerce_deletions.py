"""Promise: what a WooCommerce shop no longer sells is gone from the catalog with the next sync.

The syncs are increments. WooCommerce leaves no tombstones (docs/facts/woocommerce.md, Trash and
deletions), so an increment looks at the lengths of the lists, and at their ids if something seems
to be gone.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.woocommerce.mishaps import Mishaps
from connector_pipeline_tests.assets.conftest import Pipeline

SPEC = ShopSpec(
    platform="woocommerce",
    domain="shrinking.example",
    merchant_id="merchant-shrinking",
    platform_shop_id="wc-shrinking",
    products=60,
    variants=(0, 4),
    seed=13,
    awkward=False,
)
KEY = "woocommerce/shrinking.example"


@pytest.fixture(autouse=True)
def full_once_a_day(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `auto` choose increments after the first sync."""
    monkeypatch.setenv("FULL_SYNC_EVERY", "24h")


def begin(pipeline: Pipeline, spec: ShopSpec = SPEC) -> SandboxShop:
    """The shop, with a draft that has variations, after its first full sync."""
    shop = pipeline.sandbox.store.put(spec)
    shop.edit_product(of_status(shop, "publish")[-3].id, {"status": "draft"})
    pipeline.register(KEY)
    raw, _ = pipeline.sync(KEY)
    assert (raw["sync_type"], raw["complete"]) == ("full", True)
    assert live(pipeline) == set(pipeline.served(KEY))
    return shop


def live(pipeline: Pipeline) -> set[str]:
    """The catalog's live variants."""
    return set(pipeline.rows(KEY)["variant_id"])


def of_status(shop: SandboxShop, status: str) -> list[WooProduct]:
    """The products of a status that have variations, by id."""
    found = [each for each in shop.products() if isinstance(each, WooProduct)]
    return [each for each in found if each.status == status and each.type == "variable"]


def trash(shop: SandboxShop) -> None:
    """Move a product to the trash."""
    shop.trash_product(of_status(shop, "publish")[2].id, at=now())


def delete_for_good(shop: SandboxShop) -> None:
    """Delete a product without the trash."""
    shop.remove_product(of_status(shop, "publish")[2].id)


def unpublish(shop: SandboxShop) -> None:
    """Make a draft of a product, which the lists that we read then lack."""
    shop.edit_product(of_status(shop, "publish")[2].id, {"status": "draft"}, at=now())


def delete_a_variation(shop: SandboxShop) -> None:
    """Delete one variation. Its product's date does not move."""
    shop.remove_variant(of_status(shop, "publish")[2].variations[0].id, at=now())


def delete_the_newest(shop: SandboxShop) -> None:
    """Delete the last product of the list."""
    shop.remove_product(of_status(shop, "publish")[-1].id)


def delete_many(shop: SandboxShop) -> None:
    """Delete a dozen products."""
    for product in of_status(shop, "publish")[:12]:
        shop.remove_product(product.id)


def delete_one_and_add_one(shop: SandboxShop) -> None:
    """The list is as long as before."""
    delete_for_good(shop)
    (added,) = shop.append_products(1, at=now())
    shop.edit_product(added, {"status": "publish"}, at=now())


def delete_one_and_publish_a_draft(shop: SandboxShop) -> None:
    """The list is as long as before, and its newest object is too."""
    delete_for_good(shop)
    shop.edit_product(of_status(shop, "draft")[0].id, {"status": "publish"}, at=now())


def delete_one_variation_and_bring_one_back(shop: SandboxShop) -> None:
    """The list of variations is as long as before."""
    first, second, *_ = of_status(shop, "publish")
    shop.remove_variant(first.variations[0].id, at=now())
    shop.remove_variant(second.variations[0].id, at=now())
    shop.restore_variant(second.variations[0].id, at=now())


EDITS = (
    trash, delete_for_good, unpublish, delete_a_variation, delete_the_newest, delete_many,
    delete_one_and_add_one, delete_one_and_publish_a_draft,
    delete_one_variation_and_bring_one_back,
)  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "analytics"),
    [
        # Each edit with one of the two lists of variations; with the other one in the long form.
        pytest.param(
            edit,
            analytics,
            id=f"{'wc-analytics' if analytics else 'variations'}-{edit.__name__}",
            marks=() if number % 2 == analytics else pytest.mark.slow,
        )
        for number, edit in enumerate(EDITS)
        for analytics in (False, True)
    ],
)
def test_what_is_deleted_is_gone_with_the_next_increment(
    pipeline: Pipeline, edit: Callable[[SandboxShop], None], analytics: bool
) -> None:
    """The shop is asked by id before, and everything else stays."""
    shop = begin(pipeline, replace(SPEC, root_variations=not analytics))
    edit(shop)
    raw, items = pipeline.sync(KEY)
    assert (raw["sync_type"], raw["complete"], raw["warnings"]) == ("incremental", True, [])
    assert live(pipeline) == set(pipeline.served(KEY))
    assert items["deleted"] > 0
    # The next one knows what was found, and asks for the lengths of the lists alone.
    pipeline.sandbox.requests.clear()
    raw, items = pipeline.sync(KEY)
    assert (items["deleted"], raw["complete"]) == (0, True)
    assert live(pipeline) == set(pipeline.served(KEY))


def test_a_shop_in_which_nothing_is_gone_costs_two_requests_more(pipeline: Pipeline) -> None:
    """Of a thousand products the lengths of the two lists are asked for, and no ids."""
    shop = begin(pipeline, replace(SPEC, products=1000))
    pipeline.sandbox.requests.clear()
    raw, _ = pipeline.sync(KEY)
    unchanged = raw["requests"]
    assert unchanged <= 3 + 1 + 2
    delete_for_good(shop)
    raw, items = pipeline.sync(KEY)
    assert items["deleted"] > 0
    lists = (len(of_status(shop, "publish")) + 1_000) // 99 + sum(
        len(each.variations) for each in shop.products() if isinstance(each, WooProduct)
    ) // 99
    assert raw["requests"] <= unchanged + lists + 5


def test_additions_alone_cost_no_pass_over_the_ids(pipeline: Pipeline) -> None:
    """The catalog lacks an added product, so it is known why the list is longer."""
    shop = begin(pipeline)
    (added,) = shop.append_products(1, at=now())
    shop.edit_product(added, {"status": "publish"}, at=now())
    pipeline.sync(KEY)
    asked = pipeline.sandbox.requests.requests(service="woocommerce", domain=SPEC.domain)
    ids_alone = [each for each in asked if "_fields=id&" in each.query]
    assert ids_alone
    assert {"per_page=1&" in f"{each.query}&" for each in ids_alone} == {True}
    assert live(pipeline) == set(pipeline.served(KEY))


def test_what_cannot_be_confirmed_stays_and_is_asked_for_again(pipeline: Pipeline) -> None:
    """The shop does not answer when it is asked by id. The next increment deletes the product."""
    shop = begin(pipeline)
    before = live(pipeline)
    delete_for_good(shop)
    match = {"domain": SPEC.domain, "path_contains": "/v3/products"}
    # The questions before: where the shop answers, changes, a length, and two pages of ids.
    pipeline.sandbox.faults.set([{"match": match, "kind": "status", "status": 503, "skip": 4}])
    raw, _ = pipeline.sync(KEY)
    assert not raw["complete"]
    assert "asking for them by id failed" in raw["warnings"][0]
    assert live(pipeline) == before
    pipeline.sandbox.faults.clear()
    pipeline.sync(KEY)
    assert live(pipeline) == set(pipeline.served(KEY))


def test_a_list_that_lacks_live_products_deletes_none(pipeline: Pipeline) -> None:
    """What the ids lack is asked for, and the shop gives it."""
    shop = begin(pipeline)
    before = live(pipeline)
    left_out = tuple(each.id for each in of_status(shop, "publish")[3:6])
    shop.mishaps = Mishaps(left_out=left_out)
    delete_for_good(shop)
    raw, _ = pipeline.sync(KEY)
    assert raw["details"]["suspected"] > raw["details"]["gone"] > 0
    assert live(pipeline) == set(pipeline.served(KEY))
    assert live(pipeline) < before


def test_a_look_at_all_ids_comes_once_in_a_while(pipeline: Pipeline) -> None:
    """It finds what no length shows: an object took the place of another behind our back."""
    shop = begin(pipeline)
    dead = of_status(shop, "publish")[4]
    hidden = of_status(shop, "draft")[0]
    shop.remove_product(dead.id)
    # Straight in the database: no date moves.
    shop.edit_product(hidden.id, {"status": "publish"})
    # The variations of drafts are counted, too.
    look(pipeline, variations=-len(dead.variations))
    pipeline.sync(KEY)
    assert {str(each.id) for each in dead.variations} <= live(pipeline)
    look(pipeline, at=datetime.now(UTC) - timedelta(hours=2))
    pipeline.sync(KEY)
    assert not {str(each.id) for each in dead.variations} & live(pipeline)


def without_variations(shop: SandboxShop) -> list[WooProduct]:
    """The published products without variations, by id."""
    found = [each for each in shop.products() if isinstance(each, WooProduct)]
    return [each for each in found if each.status == "publish" and not each.variations]


def ids_asked(pipeline: Pipeline) -> int:
    """The questions for pages of ids since the log was cleared last; it is cleared."""
    asked = pipeline.sandbox.requests.requests(service="woocommerce", domain=SPEC.domain)
    pipeline.sandbox.requests.clear()
    queries = [f"&{each.query}&" for each in asked if "_fields=id&" in each.query]
    return len([each for each in queries if "&per_page=1&" not in each])


def test_a_rejected_product_that_keeps_changing_costs_one_look(pipeline: Pipeline) -> None:
    """The catalog lacks it for good, so it is no addition with each of its changes."""
    shop = pipeline.sandbox.store.put(SPEC)
    rejected, *_ = without_variations(shop)
    shop.edit_product(rejected.id, {"price": "11.3456789"})
    pipeline.register(KEY)
    pipeline.sync(KEY)
    shop.edit_product(rejected.id, {"price": "12.3456789"}, at=now())
    pipeline.sync(KEY)
    ids_asked(pipeline)
    for price in ("13.3456789", "14.3456789"):
        shop.edit_product(rejected.id, {"price": price}, at=now())
        pipeline.sync(KEY)
        assert ids_asked(pipeline) == 0
    delete_for_good(shop)
    pipeline.sync(KEY)
    assert ids_asked(pipeline) > 0
    assert live(pipeline) == set(pipeline.served(KEY)) - {f"{rejected.id}_default"}


@pytest.mark.parametrize("orphans", [False, True], ids=["a broken product", "orphans"])
def test_a_shop_that_fails_with_its_ids_is_not_asked_for_them_in_every_increment(
    pipeline: Pipeline, orphans: bool
) -> None:
    """After two passes in vain the next one waits for an hour, and finds what is gone since."""
    spec = replace(SPEC, root_variations=False, orphans_break_analytics=True) if orphans else SPEC
    shop = begin(pipeline, spec)
    variable = of_status(shop, "publish")
    if orphans:
        # The newest of all, so the length of the list is asked for twice.
        shop.orphan_variations_of(variable[-1].id)
        pipeline.sync(KEY)
        shop.remove_variant(variable[0].variations[0].id, at=now())
    else:
        shop.broken[variable[-2].id] = None
        shop.remove_product(without_variations(shop)[0].id)
    passes: list[int] = []
    for _ in range(4):
        ids_asked(pipeline)
        raw, items = pipeline.sync(KEY)
        assert (raw["complete"], items["deleted"]) == (True, 0)
        passes.append(ids_asked(pipeline))
    assert passes[0] == passes[1] > 0
    assert passes[2:] == [0, 0]
    look(pipeline, at=datetime.now(UTC) - timedelta(hours=2), failed_for=timedelta(hours=2))
    shop.broken.clear()
    with_orphans = len(shop.orphans()) > 0
    pipeline.sync(KEY)
    assert ids_asked(pipeline) > 0
    assert with_orphans or live(pipeline) == set(pipeline.served(KEY))


def look(
    pipeline: Pipeline,
    *,
    at: datetime | None = None,
    variations: int = 0,
    failed_for: timedelta = timedelta(),
) -> None:
    """Change what the connector remembers of its last look at the lists."""
    with pipeline.database.connect() as connection, connection.transaction():
        [(learned,)] = connection.execute(
            "SELECT learned FROM connector.shops WHERE domain = %s", (SPEC.domain,)
        ).fetchall()
        learned["listed"]["variations"] += variations
        if at is not None:
            learned["listed"]["at"] = at.isoformat()
        for failed in learned["listed"]["failed"].values():
            failed["at"] = (datetime.now(UTC) - failed_for).isoformat()
        connection.execute(
            "UPDATE connector.shops SET learned = %s WHERE domain = %s",
            (psycopg.types.json.Jsonb(learned), SPEC.domain),
        )
