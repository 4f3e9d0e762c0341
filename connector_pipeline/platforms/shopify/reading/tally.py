"""Counts what a walk has read, and notices pages by which something may be missing."""

from connector_pipeline.platforms.shopify.reading.chains import ProductsPage, VariantsPage
from connector_pipeline.platforms.shopify.reading.counts import ReadProducts


class Tally:
    """The products and variants of a walk over `everything`, or over the changes.

    `read` has the products of a walk over everything. `end` is the cursor behind the last product,
    `most_variants` the largest number that came with one.
    """

    def __init__(self, *, everything: bool):
        self._everything = everything
        self.read = ReadProducts()
        self.products = 0
        self.variants = 0
        self.most_variants = 1
        self.end: str | None = None
        self._last_id = 0
        self._ids_ascend = True
        self._empty_page_of: str | None = None

    def add(self, page: ProductsPage) -> None:
        """Count a page of products with the variants on it."""
        self.end = page.end or self.end
        if not page.products and page.following is not None:
            self._empty_page_of = "products"
        for product in page.products:
            number = int(product.number)
            # Ids that ascend are distinct, without a set of them all.
            self._ids_ascend = self._ids_ascend and number > self._last_id
            self._last_id = number
            self.products += 1
            self.most_variants = max(self.most_variants, product.variants)
            if self._everything:
                self.read.add(number)
            self.more_variants(product.number, product)

    def more_variants(self, number: str, page: VariantsPage) -> None:
        """Count more variants of a product."""
        if not page.variants and page.following is not None:
            self._empty_page_of = f"variants of product {number}"
        self.variants += page.variants
        if self._everything:
            self.read.more_variants(int(number), page.variants)

    def forget_variants(self, number: int, variants: int) -> None:
        """Count the variants of a product no more: they are read again."""
        self.variants -= variants
        self.read.more_variants(number, -variants)

    def problems(self) -> list[str]:
        """Why something may be missing although the counts agree; empty if nothing says so."""
        problems: list[str] = []
        if self._empty_page_of is not None:
            # A broken page with status 200 looks the same.
            problems.append(
                f"Shopify sent an empty page of {self._empty_page_of} that was not the last."
            )
        # The order of changes is another one.
        if self._everything and not self._ids_ascend:
            problems.append(
                "Shopify sent products out of the order of their ids: some may be missing."
            )
        return problems
