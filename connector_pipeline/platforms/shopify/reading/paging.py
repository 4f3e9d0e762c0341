"""The walk over a shop's catalog: products page by page, and all variants of each product.

A page of a wrong form is yielded before the walk raises its error. So it is in the raw archive,
where somebody can inspect it.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.list_bound import ListBound
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify.cost import largest_of_equal_cost, requested_cost
from connector_pipeline.platforms.shopify.queries import (
    PRODUCTS,
    VARIANTS,
    VARIANTS_PER_PAGE,
    VARIANTS_PER_PRODUCT,
    changed_since,
)
from connector_pipeline.platforms.shopify.reading.chains import (
    Chain,
    ProductsPage,
    VariantsPage,
    variants_chain,
)
from connector_pipeline.platforms.shopify.reading.counts import (
    VariantsCount,
    counted_products,
)
from connector_pipeline.platforms.shopify.reading.deletions import NOT_NAMED_SINCE, Deletions
from connector_pipeline.platforms.shopify.reading.questions import (
    Client,
    Question,
    Questions,
    Reply,
    Thrift,
)
from connector_pipeline.platforms.shopify.reading.shop_page import ShopPage
from connector_pipeline.platforms.shopify.reading.tally import Tally

PRODUCTS_AT_ONCE: Final = 4
"""How many large products' variants are asked for at once.

Their pages cost few points. One at a time, the shop's answers would limit a shop of many large
products, and not its points. A handful at once avoids that, and leaves points to other apps.
"""

_CLOCKS_DIFFER: Final = timedelta(hours=1)
"""How far back deletions are asked for whose time is by Shopify's clock and the begin by ours."""


class CatalogWalk:
    """One walk. It fills in the report's currency, completeness, warnings and details.

    It yields a page `shop` first, and once more at the end if the count of products disagrees. It
    yields pages `products` (facts: `after`, the cursor they were asked for with), and after each
    the pages `variants` (facts: `product_id`, `after`) of its products with more variants than fit
    on it. It asks for the next products page while the one before is being archived.

    Where Shopify counts other products than were read, the walk reads on behind the last one:
    cursors are keysets on ids, so products that were created meanwhile come last. Where it counts
    more variants, the walk asks which products have more, and reads those products' variants again.

    With `since`, it reads only the products that changed since then (facts: `changed`, the search),
    each with all its variants. A product that changes during the reading comes again. Then it
    yields the pages `deletions`, and the report gets the products that they name.
    """

    def __init__(
        self,
        client: Client,
        *,
        batch_size: int,
        report: FetchReport,
        variants_count: VariantsCount,
        since: datetime | None = None,
        archived: ArchivedPages,
    ):
        self._client = client
        self._archived = archived
        self._questions = Questions(client, batch_size=batch_size, report=report, archived=archived)
        self._report = report
        self._since = since
        self._changed = None if since is None else changed_since(since)
        self._variants_count = variants_count
        self._pages = 0
        self._tally = Tally(everything=since is None)
        self._read_again = 0
        # Variants of products that Shopify could not read, which are rejected.
        self._explained = 0
        self._batch_size = batch_size
        self._counted_again = False
        # Shopify's counts of the single products, all of them, are met by what was read.
        self._products_agree = False

    async def pages(self) -> AsyncGenerator[RawPage, None]:
        """Yield every page. Raises InvalidResponse, and what the client raises."""
        async with self._questions:
            reply = await self._questions.answer(Question("shop"), ShopPage.of)
            shop = ShopPage.of(reply.data)
            if self._since is None:
                self._variants_count.ahead()
            yield self._page(reply)
            self._report.currency = shop.currency
            steps = (
                self._everything(shop) if self._since is None else self._changes(self._since, shop)
            )
            async with aclosing(steps) as pages:
                async for page in pages:
                    yield page
        self._report.details.update(products=self._tally.products, variants=self._tally.variants)

    async def _changes(self, since: datetime, shop: ShopPage) -> AsyncGenerator[RawPage]:
        async with Deletions(
            self._client, since, self._archived, self._report.learned
        ) as deletions:
            deletions.ahead()
            async with aclosing(self._listed(self._chain(shop))) as pages:
                async for page in pages:
                    yield page
            # Shopify does not count changes, and their ids do not ascend. Every chain was followed
            # to its end, and a search with a warning from Shopify raised an error.
            problems = self._tally.problems()
            self._report.complete = not problems
            self._report.warnings += problems
            async with aclosing(deletions.pages(self._report)) as pages:
                async for page in pages:
                    self._pages += 1
                    self._report.details["pages"] = self._pages
                    yield page
            self._report.perhaps_gone |= deletions.products
            self._report.details["deletions"] = len(deletions.products)

    async def _everything(self, shop: ShopPage) -> AsyncGenerator[RawPage]:
        began = datetime.now(UTC)
        async with aclosing(self._listed(self._chain(shop), shop)) as pages:
            async for page in pages:
                yield page
        missing = await self._variants_count.missing(self._tally.variants)
        if missing or not shop.counts(self._tally.products):
            # The merchant may have added or deleted products meanwhile: ask once more.
            self._counted_again = True
            reply = await self._questions.answer(Question("shop"), ShopPage.of)
            yield self._page(reply)
            shop = ShopPage.of(reply.data)
            if not shop.counts(self._tally.products) and self._tally.end is not None:
                async with aclosing(self._listed(self._chain(shop, self._tally.end))) as pages:
                    async for page in pages:
                        yield page
        async with aclosing(self._missing_variants()) as pages:
            async for page in pages:
                yield page
        if self._read_again:
            self._report.details["products_read_again"] = self._read_again
        await self._judge(shop, began)

    def _chain(self, shop: ShopPage, cursor: str | None = None) -> "Chain[ProductsPage]":
        counted = shop.products if shop.exact and isinstance(shop.products, int) else None
        return Chain(
            "products",
            ProductsPage.of,
            cursor,
            at_most=self._batch_size,
            bound=ListBound("products", counted),
            may_come_again=self._since is not None,
        )

    async def _listed(
        self, chain: "Chain[ProductsPage]", shop: ShopPage | None = None
    ) -> AsyncGenerator[RawPage]:
        """Yield the pages of products from the chain's cursor to its end, with all variants."""
        while chain.more:
            question = self._products_after(chain.cursor)
            reply = await self._questions.answer(question, chain.read)
            try:
                products = chain.read(reply.data)
                chain.follow(products)
            except InvalidResponse:
                yield self._page(reply)
                raise
            self._tally.add(products)
            if chain.more:
                following = self._products_after(chain.cursor)
                self._questions.ahead(following, None if shop is None else self._thrift(shop))
            yield self._page(reply)
            async with aclosing(self._rest_of(products)) as rest:
                async for page in rest:
                    yield page

    def _products_after(self, cursor: str | None) -> Question:
        return Question("products", after=cursor, changed=self._changed)

    def _thrift(self, shop: ShopPage) -> Thrift | None:
        """The smaller sizes for a page that is one of the last two by the shop's count.

        A page waits until the bucket holds the points that it requests. The points that it does
        not use come back, but only later pages profit from them, and there are few or none left. A
        shop of 900 products is read from a bucket of 400 points in less than half the time.
        """
        left = shop.products - self._tally.products if isinstance(shop.products, int) else 0
        if not shop.exact or not 0 < left <= 2 * self._batch_size:
            return None
        sizes = {"first": left, "variants": largest_of_equal_cost(self._tally.most_variants)}
        return Thrift(sizes, _cheaper_than_a_page)

    async def _rest_of(self, products: ProductsPage) -> AsyncGenerator[RawPage, None]:
        """Yield the variants pages of products that have more variants than fit on the page."""
        chains = [
            (product.number, variants_chain(product.number, product))
            for product in products.products
            if product.following is not None
        ]
        for position, (number, chain) in enumerate(chains):
            for other_number, other in chains[position : position + PRODUCTS_AT_ONCE]:
                self._questions.ahead(Question("variants", other.cursor, other_number))
            async with aclosing(self._variants_of(number, chain)) as pages:
                async for page in pages:
                    yield page

    async def _variants_of(
        self, number: str, chain: "Chain[VariantsPage | None]"
    ) -> AsyncGenerator[RawPage]:
        """Yield the pages of one product's variants from the chain's cursor to its end."""
        while chain.more:
            question = Question("variants", chain.cursor, number)
            reply = await self._questions.answer(question, chain.read)
            yield self._page(reply)
            variants = chain.read(reply.data)
            if variants is None:
                # The product was deleted after its products page was read. No rest can be read.
                self._report.warnings.append(
                    f"Product {number} was deleted while it was being read."
                )
                break
            self._tally.more_variants(number, variants)
            chain.follow(variants)

    async def _missing_variants(self) -> AsyncGenerator[RawPage]:
        """Yield the variants of the products that have more than were read, if Shopify says so."""
        if not await self._variants_count.missing(self._tally.variants):
            return
        agree = 0
        all_counted = counted_products(
            self._client, expected=self._tally.products, newest_first=False
        )
        async with aclosing(all_counted) as counted:
            async for product in counted:
                read = self._tally.read.variants_of(product.number)
                if read is None or product.variants is None:
                    continue
                if product.variants <= read:
                    agree += 1
                    continue
                number = str(product.number)
                if self._questions.is_unread(number):
                    self._explained += product.variants - read
                    agree += 1
                    continue
                self._read_again += 1
                self._tally.forget_variants(product.number, read)
                chain = variants_chain(number)
                async with aclosing(self._variants_of(number, chain)) as pages:
                    async for page in pages:
                        yield page
                agree += product.variants <= (self._tally.read.variants_of(product.number) or 0)
        self._products_agree = agree == self._tally.products

    def _page(self, reply: Reply) -> RawPage:
        self._pages += 1
        self._report.details.update(
            pages=self._pages, products=self._tally.products, variants=self._tally.variants
        )
        if self._archived.taken:
            self._report.details["pages_from_archive"] = self._archived.taken
        return reply.page

    async def _judge(self, shop: ShopPage, began: datetime) -> None:
        """Set `complete` and `all_read` by what Shopify counts, and warn of what is missing."""
        tally = self._tally
        problems = tally.problems()
        missing = await self._variants_count.missing(tally.variants + self._explained)
        if missing:
            counted = tally.variants + self._explained + missing
            said = f"Shopify counts {counted} variants, but {tally.variants} were read"
            if self._products_agree:
                # The total contradicts the counts of the products, which are asked for last.
                said = f"{said}, which are all by its counts of the single products."
                self._report.warnings.append(said)
            else:
                problems.append(f"{said}: {missing} are missing.")
        deleted = 0
        if self._counted_again:
            # Products that were read and then deleted must not stand for others that are missing.
            deletions = Deletions(self._client, began - _CLOCKS_DIFFER, ArchivedPages())
            deleted = await deletions.among(tally.read)
        disagreement = shop.disagreement(tally.products, deleted)
        self._report.complete = not problems and not missing and disagreement is None
        if self._report.complete:
            # Absences show all deletions.
            self._report.learned.pop(NOT_NAMED_SINCE, None)
        self._report.all_read = not problems and not shop.missing(tally.products - deleted)
        if disagreement is not None:
            problems.append(disagreement)
        self._report.warnings += problems


def _cheaper_than_a_page(data: object) -> bool:
    """Whether the missing variants of a small page cost no more than the page at its usual size."""
    try:
        page = ProductsPage.of(data)
    except InvalidResponse:
        return True
    cut = sum(product.following is not None for product in page.products)
    rest = cut * requested_cost(VARIANTS, {"variants": VARIANTS_PER_PAGE})
    usual = {"first": len(page.products), "variants": VARIANTS_PER_PRODUCT}
    return rest <= requested_cost(PRODUCTS, usual)
