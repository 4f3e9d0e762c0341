"""Promises about lists of WooCommerce shops that have no end."""

import json

import pytest

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.woocommerce.reading.lists import ListReader
from connector_pipeline.platforms.woocommerce.reading.page_sizes import PageSizes
from connector_pipeline.platforms.woocommerce.reading.shop_lists import products
from connector_pipeline.platforms.woocommerce.talking.asking import Question


class Growing:
    """A shop that states with each page that there are two pages more."""

    def __init__(self, total: int):
        self.total = total
        self.asked = 0

    async def ask(self, question: Question) -> Answer:
        """The page that is asked for, of products that nobody had before."""
        self.asked += 1
        number, size = int(question.params["page"]), int(question.params["per_page"])
        objects = [{"id": number * size + each, "status": "publish"} for each in range(size)]
        self.total = max(self.total, (number + 2) * size)
        headers = {"X-WP-Total": str(self.total), "X-WP-TotalPages": str(self.total // size)}
        return Answer(200, headers, json.dumps(objects).encode(), objects)


async def test_a_list_that_grows_with_every_page_ends_in_an_error_with_the_numbers() -> None:
    """Twice as many products as the first page counted are read, and some more."""
    shop = Growing(1_000)
    reader = ListReader(shop, sizes=PageSizes({}, 100), ahead=4, archived=ArchivedPages())
    numbers = "2600 objects came, 1000 were counted, and at most 2500 are read"
    with pytest.raises(InvalidResponse, match=numbers):
        async for _ in reader.pages(products("publish")):
            pass
    assert shop.asked < 40
