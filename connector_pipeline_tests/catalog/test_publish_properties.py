"""Compare publish with a model in a few lines of Python, over random sequences of snapshots."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connector_pipeline.catalog.guard import refusal
from connector_pipeline.model.catalog_item import CatalogItem, ProductStatus, RejectedVariant
from connector_pipeline.model.errors import SnapshotShrank
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline_tests.catalog.snapshots import Publisher, item, rejected


@dataclass
class Row:
    """A row of the model; `changed` is the number of the publish that last changed it."""

    content: CatalogItem
    changed: int
    deleted: bool = False


@dataclass
class Model:
    """The catalog and the rejects of one shop, changed as publish promises to change them."""

    rows: dict[str, Row] = field(default_factory=dict[str, Row])

    def publish(
        self,
        number: int,
        items: list[CatalogItem],
        rejects: list[RejectedVariant],
        *,
        sync_type: SyncType,
        complete: bool,
        whole_products: bool,
        gone: list[str],
    ) -> PublishCounts | None:
        """Publish a snapshot. Returns the counts, or None if the guard refuses."""
        snapshot = {each.variant_id: each for each in items}
        duplicates = len(items) - len(snapshot)
        if sync_type is not SyncType.FULL:
            # Just deleted, and answered as before: a replica may lag.
            stale = [key for key in snapshot if key in self.rows and self.rows[key].deleted]
            for key in stale:
                del snapshot[key]
        live = {key for key, row in self.rows.items() if not row.deleted}

        def covers(key: str) -> bool:
            return (complete and sync_type is SyncType.FULL) or key in gone

        def may_be(key: str, reject: RejectedVariant) -> bool:
            if reject.variant_id is not None:
                return reject.variant_id == key
            return reject.product_id in (None, self.rows[key].content.product_id)

        absent = {
            key
            for key in live - snapshot.keys()
            if covers(key) and not any(may_be(key, reject) for reject in rejects)
        }
        full = sync_type is SyncType.FULL
        if refusal(live=len(live), gone=len(absent), items=len(snapshot), full=full):
            if full:
                return None
            absent = set()
        inserted = updated = revived = withdrawn = 0
        for key, content in snapshot.items():
            row = self.rows.get(key)
            inserted += row is None
            revived += row is not None and row.deleted
            updated += row is not None and not row.deleted and row.content != content
            if row is None or row.deleted or row.content != content:
                self.rows[key] = Row(content, number)
        for key in absent:
            self.rows[key] = Row(self.rows[key].content, number, deleted=True)
        for key, row in self.rows.items():
            stated = sorted(
                (reject.variant_id is None, reject.product_status.value)
                for reject in rejects
                if reject.product_status not in (None, ProductStatus.ACTIVE)
                and (reject.variant_id, reject.product_id) != (None, None)
                and may_be(key, reject)
            )
            active = row.content.product_status is ProductStatus.ACTIVE and not row.deleted
            if active and stated and key not in snapshot:
                status = ProductStatus(stated[0][1])
                content = row.content.model_copy(update={"product_status": status})
                self.rows[key] = Row(content, number)
                updated += 1
                withdrawn += 1
        return PublishCounts(
            items=len(snapshot),
            inserted=inserted,
            updated=updated,
            unchanged=len(snapshot) - inserted - (updated - withdrawn) - revived,
            revived=revived,
            deleted=len(absent),
            rejected=len(rejects),
            duplicates=duplicates,
        )


products = st.integers(0, 2).map(str)
ids = st.builds("{}-{}".format, products, st.integers(0, 3))
contents = st.fixed_dictionaries(
    {
        "sku": st.sampled_from([None, "", "a", "A"]),
        "price": st.sampled_from([None, Decimal(0), Decimal("1.0"), Decimal("1.00")]),
        "inventory": st.sampled_from([None, 0, -1]),
        "sellable": st.sampled_from([None, True, False]),
    }
)
items_of_a_shop = st.lists(
    st.builds(lambda key, changes: item(key, **changes), ids, contents), max_size=12
)
statuses = st.sampled_from([None, ProductStatus.ACTIVE, ProductStatus.DRAFT, ProductStatus.UNKNOWN])
# Rejects with a variant id, with a product id alone, and with neither.
rejects_of_a_shop = st.lists(
    st.builds(lambda key, stated: rejected(key, product_status=stated), ids, statuses)
    | st.builds(
        lambda product, stated: rejected(None, product_id=product, product_status=stated),
        products | st.none(),
        statuses,
    ),
    max_size=2,
)
snapshots = st.tuples(
    items_of_a_shop,
    rejects_of_a_shop,
    st.fixed_dictionaries(
        {
            "sync_type": st.sampled_from(SyncType),
            "complete": st.booleans(),
            "whole_products": st.booleans(),
            "gone": st.lists(ids, max_size=4),
        }
    ),
)
WHOLE = {"sync_type": SyncType.FULL, "complete": True, "whole_products": False, "gone": []}
storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sequence=st.lists(snapshots, max_size=5))
@example([([item("0-0")], [], WHOLE), ([], [], WHOLE)])
def test_publish_does_what_the_model_does(
    publisher: Publisher, registry: ShopRegistry, sequence: list[Any]
) -> None:
    """After every snapshot counts, contents, tombstones and changes agree."""
    with publisher.database.connect() as connection:
        connection.execute("TRUNCATE catalog.catalog_items, connector.rejected_variants")
    model = Model()
    seen: dict[str, Any] = {}
    for number, (items, rejects, arguments) in enumerate(sequence):
        expected = model.publish(number, items, rejects, **arguments)
        if expected is None:
            with pytest.raises(SnapshotShrank):
                publisher(items, rejects, **arguments)
        else:
            assert publisher(items, rejects, **arguments) == expected
        rows = publisher.rows()
        assert rows.keys() == model.rows.keys()
        for key, row in model.rows.items():
            assert row.content.model_dump() == {
                name: rows[key][name] for name in row.content.model_dump()
            }
            assert (rows[key]["deleted_at"] is not None) == row.deleted
            # Nothing of a row may change, its ctid included, unless this publish changed the row.
            assert (rows[key] != seen.get(key)) == (expected is not None and row.changed == number)
        seen = rows


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.fixed_dictionaries(
        {
            "product_title": storable,
            "variant_title": storable,
            "sku": st.none() | storable,
            "image_url": st.none() | storable,
            "price": st.none()
            | st.decimals(
                min_value=Decimal(-(10**13)), max_value=Decimal(10**13), places=6, allow_nan=False
            ),
            "inventory": st.none() | st.integers(-(2**31), 2**31 - 1),
            "sellable": st.none() | st.booleans(),
            "updated_at": st.none() | st.datetimes(timezones=st.timezones()),
        }
    )
)
def test_every_value_an_item_may_hold_comes_back(
    publisher: Publisher, changes: dict[str, Any]
) -> None:
    """It comes back equal through COPY, and counts as unchanged the second time."""
    try:
        given_item = item("1", **changes)
    except (ValueError, OverflowError):
        return  # the model refuses it (a time before year 1 in UTC, say)
    publisher([given_item])
    row = publisher.rows()["1"]
    assert given_item.model_dump() == {name: row[name] for name in given_item.model_dump()}
    assert publisher([given_item]).unchanged == 1
