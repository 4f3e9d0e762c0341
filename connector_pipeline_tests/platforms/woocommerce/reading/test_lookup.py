"""Promises about asking a WooCommerce shop for products by id."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline_tests.catalog.snapshots import OTHER, item

WITNESS = 7


def product(product_id: int, **fields: Any) -> dict[str, Any]:
    """A published product without variations."""
    return {
        "id": product_id,
        "type": "simple",
        "status": "publish",
        "variations": [],
    } | fields


def variable(product_id: int, *variations: Any, **fields: Any) -> dict[str, Any]:
    """A published product with these variations."""
    return product(product_id, type="variable", variations=list(variations)) | fields


class Keys:
    """A Token Service of one key."""

    async def credentials(self, shop: Shop, model: type[Any]) -> Any:
        return model.model_validate({"consumer_key": "ck", "consumer_secret": "cs"})


class Products:
    """A shop that answers `include` with these products.

    It counts the `broken` ones without listing them, and answers 500 for the `failing` ones.
    """

    def __init__(
        self,
        *products: dict[str, Any],
        broken: tuple[int, ...] = (),
        failing: tuple[int, ...] = (),
    ):
        self.failing = failing
        self.products = {each["id"]: each for each in (product(WITNESS), *products)}
        self.broken = broken
        self.asked: list[list[int]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        query = parse_qs(urlsplit(target).query)
        # The first request has no ids: it finds the URL at which the shop answers.
        ids = [int(each) for each in query.get("include", ["0"])[0].split(",")]
        if "include" in query:
            self.asked.append(ids)
        found = [self.products[each] for each in ids if each in self.products]
        body = json.dumps(found).encode()
        total = len(found) + len([each for each in ids if each in self.broken])
        status = "500 Internal Server Error" if set(ids) & set(self.failing) else "200 OK"
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"X-WP-Total: {total}\r\nX-WP-TotalPages: 1\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """The URL at which it answers."""
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def gone(
        self, absent: dict[str, str], *, statuses: str = "publish", size: int | None = None
    ) -> set[str]:
        """The absent variants that are gone by the answers."""
        witness: CatalogItem = item("7_default", shop=OTHER, product_id=str(WITNESS))
        async with self.serve() as url:
            api = WooCommerceAdapter(
                base_url=url, allow_private_hosts=True, statuses=statuses, retry_delay=0.001
            )
            report = FetchReport(page_sizes={} if size is None else {"products": size})
            lookups = api.look_up(OTHER, Keys(), absent=absent, witness=witness, report=report)
            return {variant_id async for each in lookups for variant_id in each.gone}


@pytest.mark.parametrize(
    ("answered", "variant_id", "is_gone"),
    [
        (None, "1_default", True),
        (None, "11", True),
        (product(1), "1_default", False),
        (product(1, status="draft"), "1_default", True),
        (product(1, status="private"), "1_default", True),
        (variable(1, 11), "1_default", True),
        (product(1), "11", True),
        (variable(1, 11, 12), "11", False),
        (variable(1, 12), "11", True),
        (variable(1, 11, status="draft"), "11", True),
        (product(1, variations=[11]), "11", True),
        (variable(1, "11"), "11", False),
        (variable(1, {"id": 11}, {"id": "12"}), "12", False),
        (variable(1, variations={"0": 12, "2": 11.0}), "11", False),
        (variable(1, variations={"11": {"id": 11}}), "12", True),
        (variable(1, variations={}), "11", True),
    ],
)
async def test_a_variant_that_a_complete_snapshot_would_lack_is_gone(
    answered: dict[str, Any] | None, variant_id: str, is_gone: bool
) -> None:
    """They are deleted, of a status that is not read, or of a product of another type now."""
    shop = Products(*([answered] if answered else []))
    assert await shop.gone({variant_id: "1"}) == ({variant_id} if is_gone else set())


async def test_every_status_that_is_read_counts_as_there() -> None:
    """The lists are read with the same statuses."""
    assert (
        await Products(product(1, status="draft")).gone(
            {"1_default": "1"}, statuses="publish,draft"
        )
        == set()
    )


async def test_products_that_cannot_be_loaded_are_not_gone() -> None:
    """The shop counts them, and only smaller questions show which ones they are."""
    absent = {f"{number}_default": str(number) for number in range(100, 350)}
    broken = (100, 101, 222, 349)
    shop = Products(*(product(number) for number in range(200, 220)), broken=broken)
    kept = {f"{number}_default" for number in (*broken, *range(200, 220))}
    assert await shop.gone(absent) == absent.keys() - kept
    assert max(len(ids) for ids in shop.asked) == 100


async def test_products_that_fail_are_not_gone_and_do_not_keep_the_others() -> None:
    """The shop breaks over each page with one of them. They cost some questions, once."""
    absent = {f"{number}_default": str(number) for number in range(100, 350)}
    failing = (100, 222, 223)
    shop = Products(product(300), broken=(301,), failing=failing)
    kept = {f"{number}_default" for number in (300, 301, *failing)}
    assert await shop.gone(absent) == absent.keys() - kept
    assert len(shop.asked) < 80


async def test_a_shop_that_answers_for_nothing_confirms_nothing() -> None:
    """The witness fails, too, or too many products do; few questions were asked."""
    absent = {f"{number}_default": str(number) for number in range(100, 250)}
    down = Products(failing=(WITNESS,))
    with pytest.raises(PlatformUnavailable, match="answered 500"):
        await down.gone(absent)
    assert len(down.asked) <= 6
    torn = Products(failing=tuple(range(100, 250)))
    with pytest.raises(PlatformUnavailable, match="answered 500"):
        await torn.gone(absent)


@pytest.mark.parametrize("size", [50, 5, 1])
async def test_no_more_is_asked_at_once_than_the_shop_can_answer(size: int) -> None:
    """The lists found out the size, and one question has the witness and one more at least."""
    shop = Products(product(1))
    absent = {f"{number}_default": str(number) for number in range(100, 219)}
    absent["1_default"] = "1"
    assert await shop.gone(absent, size=size) == absent.keys() - {"1_default"}
    assert max(len(ids) for ids in shop.asked) == max(2, size)


async def test_the_witness_has_absent_variants_of_its_own() -> None:
    """The same question answers for them."""
    shop = Products(variable(WITNESS, 71))
    assert await shop.gone({"71": "7", "72": "7"}) == {"72"}
    assert shop.asked == [[WITNESS]]


@pytest.mark.parametrize(
    ("products", "words"),
    [
        ([{"id": WITNESS, "type": "simple"}, {"id": 1}], "status or variations"),
        ([variable(1, "11a")], "status or variations"),
        ([variable(1, {"name": "11"})], "status or variations"),
        ([variable(1, variations={"11": {}})], "status or variations"),
        ([variable(1, variations=False)], "status or variations"),
        ([variable(1, None, variations=None)], "status or variations"),
    ],
)
async def test_a_product_that_cannot_be_judged_confirms_nothing(
    products: list[dict[str, Any]], words: str
) -> None:
    """It is not taken for a product without variations."""
    with pytest.raises(InvalidResponse, match=words):
        await Products(*products).gone({"12": "1"})


async def test_a_shop_that_ignores_the_question_confirms_nothing() -> None:
    """It lists products that were not asked for, or leaves the witness out."""
    stranger = Products()
    stranger.products[1] = product(2)
    with pytest.raises(InvalidResponse, match="not asked for"):
        await stranger.gone({"1_default": "1"})
    forgetful = Products()
    del forgetful.products[WITNESS]
    with pytest.raises(InvalidResponse, match="left it out"):
        await forgetful.gone({"1_default": "1"})
