"""Makes items and rows of a whole snapshot's pages."""

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from connector_pipeline.model.catalog_item import CatalogItem, CatalogRow, RejectedVariant, rows_of
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.remarks import Remarks
from connector_pipeline.platforms.woocommerce.mapping.normalize import Normalizer
from connector_pipeline.platforms.woocommerce.mapping.plain_pages import PlainPages

_log: Final = logging.getLogger(__name__)


def items_of(
    shop: Shop, currency: str, pages: Iterable[RawPage]
) -> Iterator[CatalogItem | RejectedVariant]:
    """Make catalog items of raw pages, and log how many variations are left out by rule."""
    with _normalizer(shop, currency) as normalizer:
        for page in pages:
            yield from normalizer.items(page)


def rows_of_pages(
    shop: Shop, currency: str, pages: Iterable[RawPage], remarks: Remarks | None = None
) -> Iterator[CatalogRow | RejectedVariant]:
    """The same as bare rows. A page without odd values is decoded faster; see `PlainPages`."""
    with _normalizer(shop, currency, remarks) as normalizer:
        plain_pages = PlainPages(shop, currency, normalizer)
        for page in pages:
            rows = plain_pages.rows(page)
            yield from rows_of(normalizer.items(page)) if rows is None else rows


@contextmanager
def _normalizer(shop: Shop, currency: str, remarks: Remarks | None = None) -> Generator[Normalizer]:
    """A normalizer of a snapshot's pages. An error in the block gets the shop's partition key."""
    normalizer = Normalizer(shop, currency, remarks)
    try:
        yield normalizer
    except ConnectorError as error:
        error.of(shop.partition_key)
        raise
    if normalizer.left_out:
        _log.info(
            "%s: %d variations left out, whose product was not read or no longer has any",
            shop.partition_key,
            normalizer.left_out,
        )
