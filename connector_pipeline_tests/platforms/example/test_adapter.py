"""Promises of the example: a whole adapter that does all that every adapter must do."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector_pipeline.model.catalog_item import CatalogItem, ProductStatus, RejectedVariant
from connector_pipeline.model.errors import InvalidResponse, ShopDisconnected
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.platforms.example.adapter import AcmeAdapter
from connector_pipeline_tests.platforms.example.stand_in import AcmeShop, product, variant

SHOP = Shop(
    merchant_id="m-1",
    platform_name="acme",
    platform_shop_id="1",
    domain=AcmeAdapter.example_domain,
)


@pytest.fixture
def acme() -> Iterator[AcmeShop]:
    """A shop of seven products, the third of which has two variants."""
    products = [product(number) for number in range(1, 8)]
    products[2]["variants"].append(variant(32, title="Red"))
    with AcmeShop(*products) as shop:
        yield shop


class Keys:
    """A Token Service that has these keys, one after the other, and then the last one again."""

    def __init__(self, *keys: str):
        self.keys = list(keys)

    async def credentials(self, shop: Shop, model: type[Any]) -> Any:
        """The next key."""
        return model(api_key=self.keys.pop(0) if len(self.keys) > 1 else self.keys[0])


class Reading:
    """One fetch of the shop, in pages of two products."""

    def __init__(self, acme: AcmeShop, *keys: str):
        policy = HttpPolicy(max_retries=2, retry_delay=0.001, allow_private_hosts=True)
        self.adapter = AcmeAdapter(policy, base_url=acme.url, page_size=2)
        self.keys = Keys(*(keys or ("first-key",)))
        self.report = FetchReport()

    async def pages(
        self, since: datetime | None = None, archived: Iterable[RawPage] = ()
    ) -> list[RawPage]:
        """Every page of the shop, or of the changes since a time."""
        fetch = self.adapter.fetch(
            SHOP, self.keys, since=since, report=self.report, archived=archived
        )
        return [page async for page in fetch]

    async def rows(self, since: datetime | None = None) -> list[CatalogItem | RejectedVariant]:
        """The items and rejected variants of these pages."""
        pages = await self.pages(since)
        assert self.report.currency is not None
        return list(self.adapter.normalize(SHOP, self.report.currency, pages))

    async def gone(self, absent: dict[str, str], witness: CatalogItem) -> set[str]:
        """The absent variants that are gone by the answers."""
        lookups = self.adapter.look_up(
            SHOP, self.keys, absent=absent, witness=witness, report=self.report
        )
        return {variant_id async for each in lookups for variant_id in each.gone}


async def test_the_whole_shop_is_read(acme: AcmeShop) -> None:
    """Every variant of every product is read field by field, and the shop's own count agrees."""
    reading = Reading(acme)
    rows = await reading.rows()
    assert [row.variant_id for row in rows] == ["11", "21", "31", "32", "41", "51", "61", "71"]
    assert rows[3] == CatalogItem(
        merchant_id="m-1",
        platform_name="acme",
        platform_shop_id="1",
        domain="mugs.acme.example",
        product_id="3",
        variant_id="32",
        product_title="Mug 3",
        variant_title="Red",
        sku="MUG-32",
        price=Decimal("12.50"),
        currency="SEK",
        inventory=3,
        image_url="https://cdn.acme.example/3.png",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        updated_at=datetime(2026, 1, 3, tzinfo=UTC),
        product_status=ProductStatus.ACTIVE,
    )
    assert (reading.report.complete, reading.report.warnings) == (True, [])
    assert reading.report.details["products"] == 7


async def test_a_shop_that_gives_less_than_it_counts_is_not_complete(acme: AcmeShop) -> None:
    """One product comes twice, and another does not come."""
    acme.products[8] = product(7)
    reading = Reading(acme)
    await reading.pages()
    assert not reading.report.complete
    assert "/v1/products: the shop counts 8 and gave 7" in reading.report.warnings[0]


async def test_an_increment_reads_what_changed(acme: AcmeShop) -> None:
    """The platform's own filter gives the changes, and the list of them is complete."""
    acme.products[5]["modified"] = "2026-02-01T00:00:00Z"
    reading = Reading(acme)
    rows = await reading.rows(since=datetime(2026, 2, 1, tzinfo=UTC))
    assert [row.variant_id for row in rows] == ["51"]
    assert reading.report.complete
    assert not reading.report.read_in_full


@pytest.mark.parametrize("kept", range(6))
async def test_an_interrupted_fetch_goes_on_where_it_stopped(acme: AcmeShop, kept: int) -> None:
    """After any page, it yields the same pages and asks for no archived one again."""
    whole = await Reading(acme).pages()
    acme.requests.clear()
    resumed = Reading(acme)
    assert await resumed.pages(archived=whole[:kept]) == whole
    assert len(acme.requests) == min(4, 5 - kept)
    assert resumed.report.complete


async def test_only_what_the_shop_says_is_gone_is_gone(acme: AcmeShop) -> None:
    """These are a deleted product, and a variant that its product lacks."""
    reading = Reading(acme)
    witness = (await reading.rows())[0]
    assert isinstance(witness, CatalogItem)
    del acme.products[4]
    absent = {"41": "4", "39": "3", "51": "5", "12": "1"}
    assert await reading.gone(absent, witness) == {"41", "39", "12"}


async def test_a_shop_that_lacks_the_witness_is_not_believed(acme: AcmeShop) -> None:
    """It listed that product a moment ago, so its answer shows nothing about the others."""
    reading = Reading(acme)
    witness = (await reading.rows())[0]
    assert isinstance(witness, CatalogItem)
    acme.products.clear()
    with pytest.raises(InvalidResponse, match="left it out"):
        await reading.gone({"41": "4"}, witness)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"price": "free"}, "price: is not an amount of money ('free')"),
        ({"stock": 1.5}, "stock: is not a whole number (1.5)"),
        ({"modified": "yesterday"}, "modified: is not a time with a time zone ('yesterday')"),
        ({"id": "x"}, "variant_id: is not text (None)"),
        ({"sku": "a\x00b"}, "sku: contains a NUL character"),
    ],
)
async def test_a_variant_that_cannot_be_read_is_kept_with_its_reason(
    acme: AcmeShop, fields: dict[str, Any], reason: str
) -> None:
    """No other variant is lost with it."""
    acme.products[1]["variants"] = [variant(11, **fields), variant(12)]
    reject, good, *_ = await Reading(acme).rows()
    assert isinstance(reject, RejectedVariant)
    assert (reject.product_id, reject.reason) == ("1", reason)
    assert reject.raw["variant"]["title"] == "Blue"
    assert isinstance(good, CatalogItem)


async def test_a_key_that_was_replaced_is_fetched_anew(acme: AcmeShop) -> None:
    """A merchant replaces the key while the shop is read."""
    acme.key = "second-key"
    assert len(await Reading(acme, "first-key", "second-key").rows()) == 8


async def test_a_revoked_key_disconnects_the_shop(acme: AcmeShop) -> None:
    """The platform refuses a fresh key too. The error names the shop and not the key."""
    acme.key = "another-key"
    with pytest.raises(ShopDisconnected) as caught:
        await Reading(acme).pages()
    assert str(caught.value).startswith("acme/mugs.acme.example: /v1/shop answered 401")
    assert "first-key" not in str(caught.value)


async def test_a_shop_that_refused_us_is_asked_for_its_first_page(acme: AcmeShop) -> None:
    """That is what the contract asks of an adapter that knows no smaller question."""
    reading = Reading(acme)
    await reading.adapter.answers(SHOP, reading.keys)
    acme.key = "another-key"
    with pytest.raises(ShopDisconnected):
        await reading.adapter.answers(SHOP, reading.keys)


async def test_a_rate_limit_is_waited_out(acme: AcmeShop) -> None:
    """The wait is the one in the platform's own header."""
    acme.refusals = 2
    reading = Reading(acme)
    assert len(await reading.rows()) == 8
    assert reading.report.retries == 2
    assert reading.report.waited_seconds >= 0.15


def test_the_adapter_is_made_from_the_settings() -> None:
    """It uses the settings for all platforms, and its shops are at their domains."""
    made = AcmeAdapter.from_settings(load_settings(connector_max_retries=5))
    assert (made.policy.max_retries, made.asked_elsewhere) == (5, None)
