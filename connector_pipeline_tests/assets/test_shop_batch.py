"""Each shop of a run is materialized or failed on its own account."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    AssetRecordsFilter,
    AssetsDefinition,
    BackfillPolicy,
    DagsterInstance,
    DynamicPartitionsDefinition,
    MetadataValue,
    asset,
    materialize,
)
from dagster._utils import Counter as QueryCounter
from dagster._utils import traced_counter
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.assets.shop_batch import Evaluate, ShopBatch, summarize
from connector_pipeline.model.errors import (
    ConnectorError,
    DatabaseUnavailable,
    Defect,
    PlatformUnavailable,
    ShopDisconnected,
)

KEYS = [f"shopify/shop-{number}.myshopify.com" for number in range(6)]


def counting_asset(
    failing: Mapping[str, ConnectorError], evaluate: Evaluate | None = None
) -> AssetsDefinition:
    """An asset that reports a number for each shop and fails those it is told to fail."""

    @asset(partitions_def=DynamicPartitionsDefinition(name="shops"))
    def counted(context: AssetExecutionContext) -> None:
        batch = ShopBatch(context, evaluate=evaluate)
        for number, key in enumerate(batch.partition_keys):
            if key in failing:
                batch.failed(key, failing[key])
            else:
                batch.succeeded(key, {"number": MetadataValue.int(number)})
        batch.finish()

    return counted.with_attributes(backfill_policy=BackfillPolicy.multi_run(100))


def outcomes(
    failing: Mapping[str, ConnectorError], keys: list[str], evaluate: Evaluate | None = None
) -> tuple[Counter[str], bool]:
    """How often each partition was materialized by one run over `keys`, and its success."""
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", keys)
        ranged = {
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        }
        result = materialize(
            [counting_asset(failing, evaluate)],
            instance=instance,
            partition_key=keys[0] if len(keys) == 1 else None,
            tags=ranged if len(keys) > 1 else {},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        records = instance.fetch_materializations(
            AssetRecordsFilter(asset_key=AssetKey("counted")), limit=100
        ).records
        return Counter(str(record.partition_key) for record in records), result.success


@pytest.mark.parametrize(
    "bad", [[], KEYS[:1], KEYS[-1:], KEYS[1:4], KEYS], ids=["none", "first", "last", "some", "all"]
)
def test_exactly_the_good_shops_are_materialized_once(bad: list[str]) -> None:
    """None twice, none missing, and a run with a bad shop fails."""
    materialized, success = outcomes({key: PlatformUnavailable("it is down.") for key in bad}, KEYS)
    assert materialized == Counter(key for key in KEYS if key not in bad)
    assert success == (not bad)


@pytest.mark.parametrize("bad", [[], KEYS[:1]], ids=["good", "bad"])
def test_a_run_over_one_shop_is_its_outcome(bad: list[str]) -> None:
    """As from the UI, a single partition."""
    materialized, success = outcomes({key: ShopDisconnected("no.") for key in bad}, KEYS[:1])
    assert (sum(materialized.values()), success) == ((0, False) if bad else (1, True))


def test_what_a_shop_costs_does_not_grow_with_the_partitions() -> None:
    """Dagster's own way reads all partitions for each shop, which are tens of thousands."""
    lookups: list[int] = []
    for number in (1, 2):
        counter = QueryCounter()
        token = traced_counter.set(counter)
        materialized, success = outcomes({}, KEYS[: 3 * number])
        traced_counter.reset(token)
        assert (sum(materialized.values()), success) == (3 * number, True)
        lookups.append(
            sum(calls for what, calls in counter.counts().items() if "dynamic_partition" in what)
        )
    assert lookups[0] == lookups[1] > 0


@pytest.mark.parametrize("bad", [[], KEYS[1:4], KEYS], ids=["none", "some", "all"])
def test_the_good_shops_are_checked_by_the_batch_only_if_others_failed(bad: list[str]) -> None:
    """Otherwise the checks that follow the step do it."""
    asked: list[list[str]] = []

    def evaluate(keys: Sequence[str]) -> list[AssetCheckEvaluation]:
        asked.append(sorted(keys))
        return []

    outcomes({key: ShopDisconnected("no.") for key in bad}, KEYS, evaluate)
    good = [key for key in KEYS if key not in bad]
    assert asked == ([good] if bad and good else [])


@pytest.mark.parametrize("error", [DatabaseUnavailable("it is down."), RuntimeError("a defect")])
def test_checks_that_cannot_be_evaluated_fail_no_shop(error: Exception) -> None:
    """The good shops are materialized all the same."""

    def evaluate(keys: Sequence[str]) -> list[AssetCheckEvaluation]:
        raise error

    bad = {KEYS[0]: ShopDisconnected("no.")}
    materialized, success = outcomes(bad, KEYS, evaluate)
    assert materialized == Counter(KEYS[1:])
    assert not success


@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        st.sampled_from([PlatformUnavailable, ShopDisconnected]),
        min_size=1,
    )
)
def test_the_failure_names_every_failed_shop_under_what_to_do(
    failed: dict[str, type[ConnectorError]],
) -> None:
    """One heading per kind of trouble, every shop below its own."""
    errors = {key: kind(f"of {key}.").of(key) for key, kind in failed.items()}
    text = summarize(errors, of=len(KEYS))
    assert text.startswith(f"{len(errors)} of {len(KEYS)} shops failed")
    assert all(text.count(f"{key}: of {key}.") == 1 for key in errors)
    for kind, number in Counter(failed.values()).items():
        assert f"{kind.__name__} ({number}). {kind.default_remedy}" in text


def test_a_thousand_failures_can_be_read() -> None:
    """Most shops first, a hundred named of a kind, the rest counted."""
    failed: dict[str, ConnectorError] = {
        f"shopify/shop-{number}.myshopify.com": PlatformUnavailable("it is down. " * 100)
        for number in range(900)
    }
    for number in range(100):
        key = f"woocommerce/shop-{number}.example"
        failed[key] = ShopDisconnected("no.", remedy=f"Ask the merchant of {key}.")
    text = summarize(failed, of=1000)
    lines = text.splitlines()
    assert lines[0] == "1000 of 1000 shops failed; the others are done."
    assert lines[1].startswith("PlatformUnavailable (900). ")
    assert lines[102] == "  and 800 more: see `failed_shops`."
    assert lines[-1] == "And 91 more with other troubles: see `failed_shops`."
    assert len(text) < 50_000


def test_a_single_shops_failure_is_a_sentence() -> None:
    """What failed, for which shop, and what to do."""
    error = ShopDisconnected("the token was revoked.").of(KEYS[0])
    text = summarize({KEYS[0]: error}, of=1)
    assert text == (
        f"ShopDisconnected: {KEYS[0]}: the token was revoked. {ShopDisconnected.default_remedy}"
    )


def test_a_defect_tells_where_and_not_what() -> None:
    """An unforeseen exception may quote a request, and with it a credential."""
    try:
        raise RuntimeError("shpat_secret")
    except RuntimeError as error:
        defect = Defect.from_exception(error)
    assert "shpat_secret" not in str(defect)
    assert f"RuntimeError at {Path(__file__).name}:" in str(defect)
